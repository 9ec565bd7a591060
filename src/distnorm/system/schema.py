"""Declared forms of JSON: what a file of ours or of others may hold, checked where it is read.

A form takes a value and the place where it stands, and raises `Mismatch` unless the value fits.
`parse` reads a text and `check` a value that has been read; both turn what does not fit into one
`DistnormError`. Fields that a form does not name are left alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from distnorm.errors import DistnormError

__all__ = [
    "Form",
    "Mismatch",
    "anything",
    "check",
    "closed",
    "either",
    "flag",
    "list_of",
    "number",
    "one_of",
    "optional",
    "parse",
    "record",
    "scalar",
    "table",
    "text",
    "whole",
]

Form = Callable[[Any, str], None]

_SHOWN = 40


class Mismatch(Exception):
    """A value at a place that is not what was declared."""

    def __init__(self, place: str, value: Any, expected: str) -> None:
        super().__init__(place)
        self.place, self.value, self.expected = place, value, expected


def parse(content: str | bytes, form: Form, *, file: str, remedy: str) -> Any:
    """The JSON in ``content``, not too deep and without NaN, if it is of the form; or raise."""
    try:
        value = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        raise DistnormError(
            f"{file}, which is {'too deeply nested' if deep else 'damaged: it is no JSON'}",
            "the file as it was written",
            remedy,
        ) from error
    return check(value, form, file=file, remedy=remedy)


def check(value: Any, form: Form, *, file: str, remedy: str) -> Any:
    """``value``, if it is of the form; raises a DistnormError that names the place."""
    try:
        form(value, "")
    except Mismatch as error:
        place = f" at {error.place!r}" if error.place else ""
        what = "no value" if error.value is _ABSENT else _short(error.value)
        raise DistnormError(
            f"{file} with {what}{place}, which is damaged", error.expected, remedy
        ) from error
    return value


def anything(value: Any, place: str) -> None:
    """Whatever JSON holds."""


def text(value: Any, place: str) -> None:
    """A string."""
    if not isinstance(value, str):
        raise Mismatch(place, value, "a text")


def flag(value: Any, place: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise Mismatch(place, value, "true or false")


def scalar(value: Any, place: str) -> None:
    """Nothing, a text, true, false, or a finite number."""
    if value is not None and not isinstance(value, (str, bool)):
        number()(value, place)


def number(low: float = -math.inf, high: float = math.inf) -> Form:
    """A finite number within bounds."""

    def form(value: Any, place: str) -> None:
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        # Whole numbers of JSON have no largest one.
        if not plain or not abs(value) < 1e300 or not low <= value <= high:
            raise Mismatch(place, value, _within("a number", low, high))

    return form


def whole(low: float = -math.inf, high: float = 2**63 - 1) -> Form:
    """A whole number within bounds."""

    def form(value: Any, place: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Mismatch(place, value, _within("a whole number", low, high))

    return form


def one_of(*choices: Any) -> Form:
    """One of some plain values."""

    def form(value: Any, place: str) -> None:
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise Mismatch(place, value, f"one of {', '.join(map(repr, choices))}")

    return form


def optional(inner: Form) -> Form:
    """Nothing (null), or a value of a form."""

    def form(value: Any, place: str) -> None:
        if value is not None:
            inner(value, place)

    return form


def either(*forms: Form) -> Form:
    """A value of one of several forms."""

    def form(value: Any, place: str) -> None:
        misfits = []
        for inner in forms:
            try:
                return inner(value, place)
            except Mismatch as error:
                misfits.append(error)
        # The form that got furthest says what is wrong within.
        deepest = max(misfits, key=lambda error: len(error.place))
        if deepest.place != place:
            raise deepest
        expected = " or ".join(dict.fromkeys(error.expected for error in misfits))
        raise Mismatch(place, value, expected)

    return form


def list_of(inner: Form, length: int | None = None, *, low: int = 0) -> Form:
    """A list of values of one form."""

    def form(value: Any, place: str) -> None:
        if not isinstance(value, list) or length not in (None, len(value)) or len(value) < low:
            size = f" of {length}" if length is not None else f" of {low} or more" if low else ""
            raise Mismatch(place, value, f"a list{size}")
        for at, part in enumerate(value):
            inner(part, _join(place, str(at)))

    return form


def table(inner: Form, keys: Callable[[str], bool] | None = None) -> Form:
    """An object whose values are of one form, under keys of which ``keys`` is true."""

    def form(value: Any, place: str) -> None:
        if not isinstance(value, Mapping):
            raise Mismatch(place, value, "an object")
        for key, part in value.items():
            if keys is not None and not keys(key):
                raise Mismatch(_join(place, key), key, "another key")
            inner(part, _join(place, key))

    return form


def record(required: Mapping[str, Form], more: Mapping[str, Form] | None = None) -> Form:
    """An object with fields of given forms, some of which may be missing."""

    def form(value: Any, place: str) -> None:
        if not isinstance(value, Mapping):
            raise Mismatch(place, value, "an object")
        for name, inner in required.items():
            if name not in value:
                raise Mismatch(_join(place, name), _ABSENT, "one")
            inner(value[name], _join(place, name))
        for name, inner in (more or {}).items():
            if name in value:
                inner(value[name], _join(place, name))

    return form


def closed(required: Mapping[str, Form], more: Mapping[str, Form] | None = None) -> Form:
    """As `record`, without any other field."""
    names, inner = {*required, *(more or {})}, record(required, more)

    def form(value: Any, place: str) -> None:
        inner(value, place)
        for name in value:
            if name not in names:
                raise Mismatch(_join(place, name), name, "only known fields")

    return form


_ABSENT = object()


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _short(value: Any) -> str:
    if isinstance(value, (list, Mapping)):
        kind = "a list" if isinstance(value, list) else "an object"
        return f"{kind} of {len(value)}"
    try:
        words = repr(value)
    except ValueError:  # a whole number of thousands of digits
        words = "a huge number"
    return words if len(words) <= _SHOWN else words[:_SHOWN] + "..."


def _within(what: str, low: float, high: float) -> str:
    if low == -math.inf:
        return what
    top = "" if high in (math.inf, 2**63 - 1) else f" to {high:g}"
    return f"{what} from {low:g}{top or ' on'}"
