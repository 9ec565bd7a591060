"""What the commands write as JSON, and the codes they exit with, are as recorded."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from contract.cases import CASES, play
from contract.commands import command_line, walk
from contract.comparing import differences

JSON = Path(__file__).parent / "json"
AGAIN = "if that is meant, record anew: python tests/contract/record.py json"


@pytest.mark.parametrize("name", sorted(CASES))
def test_json_is_as_recorded(name, tmp_path):
    case = CASES[name]
    for module in case.needs:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    recorded = json.loads((JSON / f"{name}.json").read_text("utf-8"))
    found = json.loads(json.dumps(play(case, tmp_path)))
    lines = differences(recorded, found, rel=case.rel, abs_=case.abs_, share=case.share)
    assert not lines, "\n".join([*lines[:20], AGAIN])


def test_every_command_that_writes_json_has_a_case():
    commands = {
        path
        for path, command in walk(command_line())
        if any("--json" in parameter.opts for parameter in command.params)
    }
    steps = [f"distnorm {step} " for case in CASES.values() for step in case.steps]
    missing = [path for path in commands if not any(s.startswith(f"{path} ") for s in steps)]
    assert not missing, "add a case to tests/contract/cases.py"
    assert sorted(path.stem for path in JSON.glob("*.json")) == sorted(CASES), AGAIN
