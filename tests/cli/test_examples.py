"""Every command's help begins with one line that the command itself understands."""

import shlex

import click
import pytest

from contract.commands import command_line, help_text, run, walk
from distnorm.cli.examples import BEGINNING, EXAMPLES

COMMANDS = dict(walk(command_line()))


def test_every_command_has_an_example_and_no_other_has():
    assert {f"distnorm {path}" for path in EXAMPLES} == COMMANDS.keys() - {"distnorm"}


def shown_in_help():
    return [line for line in BEGINNING.splitlines() if line.strip().startswith("distnorm ")]


@pytest.mark.parametrize("line", [*EXAMPLES.values(), *shown_in_help()])
def test_an_example_names_what_its_command_has(line):
    words = shlex.split(line)
    command = max((p for p in COMMANDS if words[: len(p.split())] == p.split()), key=len)
    parameters = COMMANDS[command].params
    options = {name: p for p in parameters if isinstance(p, click.Option) for name in p.opts}
    arguments = [p for p in parameters if isinstance(p, click.Argument) and p.required]
    rest, values, named = words[len(command.split()) :], 0, set()
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            named.add(options[word].name)
            if not options[word].is_flag:
                rest.pop(0)
        else:
            values += 1
    assert values >= len(arguments)
    assert {p.name for p in options.values() if p.required} <= named


@pytest.mark.parametrize("path", sorted(EXAMPLES))
def test_help_begins_with_the_example(path):
    first = help_text(f"distnorm {path}").split("\n\n")[1]
    assert " ".join(first.replace("\\\n", " ").split()) == f"$ {EXAMPLES[path]}"


def test_no_command_says_where_to_begin():
    done = run()
    assert done.exit_code == 2
    assert "\\n" not in done.stderr
    assert done.stderr.rstrip().endswith("I have photos and no vectors yet")
