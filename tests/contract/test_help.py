"""Every command keeps its options, arguments, types and defaults, and the help it prints."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from contract.commands import about_parameters, command_line, help_text, walk

HELP = Path(__file__).parent / "help"
AGAIN = "if that is meant, record anew: python tests/contract/record.py help"
RECORDED = json.loads((HELP / "commands.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def commands():
    """Every command by what a user types."""
    return dict(walk(command_line()))


def test_there_are_the_recorded_commands(commands):
    assert sorted(commands) == sorted(RECORDED["commands"]), AGAIN


@pytest.mark.parametrize("path", sorted(RECORDED["commands"]))
def test_a_command_takes_what_it_took(commands, path):
    """Names, types, choices, defaults and what is required; the wording is another test's."""
    assert path in commands, AGAIN
    found = json.loads(json.dumps(about_parameters(commands[path])))
    assert found == RECORDED["commands"][path], AGAIN


def test_the_help_reads_as_recorded(commands):
    """The wording may change at any time: with its snapshot, so that the change is seen."""
    if version("click").split(".")[:2] != RECORDED["click"].split(".")[:2]:
        pytest.skip(f"help was laid out by click {RECORDED['click']}, not {version('click')}")
    files = {path.replace(" ", "-"): path for path in commands}
    recorded = {files.get(path.stem, path.stem): path for path in HELP.glob("*.txt")}
    assert sorted(recorded) == sorted(commands), AGAIN
    for path, file in recorded.items():
        assert help_text(path) == file.read_text("utf-8"), f"{path} --help: {AGAIN}"
