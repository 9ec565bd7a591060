"""Options that travel together: a dataclass whose fields are options of a command."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import Field, field, fields
from typing import Any

import click

__all__ = ["option", "options_of"]

Command = Callable[..., Any]


def option(*names: str, **settings: Any) -> Any:
    """A field of a group of options; the arguments are click's."""
    return field(metadata={"option": click.option(*names, **settings)})


def options_of(group: type[Any], name: str) -> Callable[[Command], Command]:
    """Add the options of a dataclass; the command gets an instance as keyword ``name``."""

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def collected(*args: Any, **values: Any) -> Any:
            own = {field.name: values.pop(field.name) for field in fields(group)}
            return command(*args, **values, **{name: group(**own)})

        for each in _last_first(group):
            collected = each.metadata["option"](collected)
        return collected

    return add


def _last_first(group: type[Any]) -> list[Field[Any]]:
    """Fields from the last one on; those of a base class come after the group's own."""
    own = [each for each in fields(group) if each.name in group.__annotations__]
    inherited = [each for each in fields(group) if each not in own]
    return [*own, *inherited][::-1]
