"""The command line as its script sees it: `distnorm.cli:main`, and nothing below it by name."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from inspect import signature
from typing import Any
from unittest import mock

import click
from click.testing import CliRunner, Result

from distnorm.cli import main

__all__ = ["about_parameters", "command_line", "help_text", "run", "walk"]

_PLAIN = {"NO_COLOR": "1", "TERM": "dumb"}


def command_line() -> click.Command:
    """The command that the script ``distnorm`` hands its arguments to."""
    caught: list[click.Command] = []
    with mock.patch.object(click.Command, "main", lambda self, *_, **__: caught.append(self)):
        main()
    return caught[0]


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command and sub-command, by what a user types: "distnorm compare retrieval"."""
    yield " ".join(("distnorm", *path)), command
    if hasattr(command, "list_commands"):
        context = click.Context(command, info_name=path[-1] if path else "distnorm")
        for name in sorted(command.list_commands(context)):
            yield from walk(command.get_command(context, name), (*path, name))


def about_parameters(command: click.Command) -> dict[str, Any]:
    """What a script that calls the command rests on: names, types, defaults, what is required."""
    context = click.Context(command, info_name="x")
    found: dict[str, Any] = {
        "group": hasattr(command, "list_commands"),
        "hidden": command.hidden,
        "arguments": [],
        "options": {},
    }
    for parameter in command.params:
        about = {
            "type": _type(parameter.type),
            "required": parameter.required,
            "multiple": bool(getattr(parameter, "multiple", False)),
            "nargs": parameter.nargs,
            "default": _default(parameter, context),
        }
        if isinstance(parameter, click.Option):
            about["flag"] = bool(parameter.is_flag)
            about["off"] = sorted(parameter.secondary_opts)
            found["options"][" ".join(sorted(parameter.opts))] = about
        else:
            found["arguments"].append({"name": parameter.human_readable_name, **about})
    return found


def help_text(path: str) -> str:
    """``--help`` of one command at 80 columns."""
    done = run(*path.split()[1:], "--help", columns=80)
    assert done.exit_code == 0, done.output
    return done.stdout


def run(
    *words: Any,
    columns: int = 200,
    given: bytes | str | None = None,
    environment: Mapping[str, str] = {},
) -> Result:
    """Run ``distnorm WORDS`` in this process."""
    # click below 8.2 mixes what is for people into what is for programs, unless told not to.
    apart = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
    runner = CliRunner(env={"COLUMNS": str(columns), **_PLAIN, **environment}, **apart)
    arguments = [str(word) for word in words]
    done = runner.invoke(command_line(), arguments, prog_name="distnorm", input=given)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError(f"distnorm {shlex.join(arguments)}") from done.exception
    return done


def _default(parameter: click.Parameter, context: click.Context) -> Any:
    value = parameter.get_default(context)
    if value is None or type(value).__name__ in ("Sentinel", "UNSET"):
        # A flag that nothing is said about is off, whatever this version of click calls it.
        return False if getattr(parameter, "is_flag", False) and _plain_flag(parameter) else None
    return list(value) if isinstance(value, tuple) else value


def _plain_flag(parameter: Any) -> bool:
    return not parameter.secondary_opts


def _type(kind: click.ParamType) -> dict[str, Any]:
    """A type without what only concerns how click checks it."""
    about = kind.to_info_dict()
    wanted = ("name", "choices", "min", "max", "min_open", "max_open", "exists", "file_okay",
              "dir_okay")  # fmt: skip
    found = {key: about[key] for key in wanted if key in about}
    if "choices" in found:
        found["choices"] = list(found["choices"])
    return found
