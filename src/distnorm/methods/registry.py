"""The registry of methods: one line each, and how their names are read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from distnorm.errors import DistnormError
from distnorm.methods.auto import AUTO
from distnorm.methods.bank import CSLS, INVERTED_SOFTMAX, NNN
from distnorm.methods.base import Method, real
from distnorm.methods.gated import QBNORM
from distnorm.methods.linear import DN, DN_QUARTER, DOT
from distnorm.methods.quadratic import DN2
from distnorm.methods.ridge import RIDGE
from distnorm.methods.sinkhorn import SINKHORN
from distnorm.methods.statistics import check_weighting
from distnorm.methods.transforms import CENTERED, DN_RENORM

__all__ = ["METHODS", "find_method", "list_methods", "parse_method", "resolve_strength"]


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        DOT,
        DN,
        DN_QUARTER,
        DN2,
        INVERTED_SOFTMAX,
        NNN,
        RIDGE,
        CSLS,
        QBNORM,
        SINKHORN,
        CENTERED,
        DN_RENORM,
        AUTO,
    )
}


def list_methods() -> tuple[str, ...]:
    """The names that `distnorm.make` takes; `distnorm.METHODS` says more about each.

    Examples
    --------
    >>> list_methods()[:3]
    ('dot', 'dn', 'dn*')
    """
    return tuple(METHODS)


def find_method(name: object) -> Method:
    """The method called ``name``."""
    if isinstance(name, str) and name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(str(name).lower(), METHODS, n=3, cutoff=0.4)
    raise DistnormError(
        f"method {name!r}",
        f"one of {', '.join(METHODS)}",
        f"did you mean {' or '.join(map(repr, near))}?" if near else "pick a name from the list",
    )


def resolve_strength(
    strength: float | Mapping[str, float] | None, default: float, sides: tuple[str, str]
) -> dict[str, float]:
    """Strength for each query side from a number, a mapping, or nothing."""
    if not isinstance(strength, Mapping):
        value = default if strength is None else strength
        return {side: real("strength", value) for side in sides}
    unknown = [key for key in strength if key not in sides]
    if unknown:
        raise DistnormError(
            f"a strength for {unknown[0]!r}",
            f"the sides {sides[0]!r} and {sides[1]!r}",
            "rename it",
        )
    return {side: real(f"strength[{side!r}]", strength.get(side, default)) for side in sides}


def parse_method(text: str) -> tuple[str, float | None, dict[str, Any]]:
    """Read ``name[@strength][:key=value,...]``: "dn@0.3", "nnn@0.25:k=16", "is:beta=50".

    "dn:strength=0.3" is another way to write "dn@0.3"; "nnn:weights=density" weighs fitted rows
    by `distnorm.moments.density_weights`, "nnn:prior=auto" classes by how often they come.

    Raises `DistnormError` for an unknown method or parameter, or a malformed number.
    """
    if not isinstance(text, str):
        raise DistnormError(
            f"the method {text!r}", "a name, such as 'dn' or 'nnn@0.25:k=16'", "pass its name"
        )
    head, _, tail = text.strip().partition(":")
    name, _, number = head.partition("@")
    method = find_method(name)
    strength = real("strength", _number(number, text)) if number else None
    params: dict[str, Any] = {}
    for part in filter(None, tail.split(",")):
        key, _, value = map(str.strip, part.partition("="))
        if key in params or (key == "strength" and strength is not None):
            raise DistnormError(f"{key} twice in {text!r}", "each once", "drop one")
        if key == "strength":
            strength = real("strength", _number(value, text))
        elif key == "weights":
            check_weighting(value)
            params[key] = value
        elif key == "prior":
            params[key] = value
        else:
            params[key] = _number(value, text)
    own = {key: value for key, value in params.items() if key not in ("weights", "prior")}
    method.check_params(own)
    return method.name, strength, params


def _number(value: str, text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    raise DistnormError(f"{value!r} in {text!r}", "a number", "write e.g. nnn@0.25:k=16")
