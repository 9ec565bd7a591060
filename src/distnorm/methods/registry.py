"""The registry of methods: names, defaults, parameters, where each comes from."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distnorm.errors import DistnormError

__all__ = [
    "METHODS",
    "MethodSpec",
    "check_params",
    "find_method",
    "parse_method",
    "resolve_strength",
]


@dataclass(frozen=True)
class MethodSpec:
    """One method.

    Attributes
    ----------
    name : str
    title : str
    family : str
        dot, linear, quadratic, bank, transport, transform or auto.
    strength : float
        Default strength, for both query modalities.
    reference : str
    params : mapping
        Parameter names and defaults.
    keeps_bank : bool
        Whether fitted rows are kept.
    order : int
        Order of the moments kept.
    input : str
        ``"unit"`` or ``"raw"`` rows.
    factor : float
        What the two-sided score is multiplied by to equal the published one.
    """

    name: str
    title: str
    family: str
    strength: float
    reference: str
    params: Mapping[str, Any] = field(default_factory=dict)
    keeps_bank: bool = False
    order: int = 1
    input: str = "unit"
    factor: float = 1.0

    @property
    def is_query_shift(self) -> bool:
        """Whether the ranking needs nothing but a change of the query vector."""
        return self.family in ("dot", "linear")


_DN = "Zhou et al., NeurIPS 2023, arXiv 2302.11084"
_SCALE = {"beta": None, "scale": 1.5}

METHODS: dict[str, MethodSpec] = {
    spec.name: spec
    for spec in (
        MethodSpec("dot", "dot product", "dot", 0.0, "zeroth order"),
        MethodSpec("dn", "Distribution Normalization", "linear", 0.5, _DN),
        MethodSpec("dn*", "Distribution Normalization, strength 1/4", "linear", 0.25, _DN),
        MethodSpec(
            "dn2",
            "second-order Distribution Normalization",
            "quadratic",
            0.5,
            "arXiv 2602.24012 and Inference Calibration for the idea",
            {**_SCALE, "shrinkage": None, "rank": None},
            order=2,
        ),
        MethodSpec(
            "is",
            "inverted softmax over a bank",
            "bank",
            0.5,
            "Smith et al., ICLR 2017 (strength 1)",
            _SCALE,
            keeps_bank=True,
            order=2,
        ),
        MethodSpec(
            "nnn",
            "nearest neighbor normalization",
            "bank",
            0.5,
            "Chowdhury et al., EMNLP 2024",
            {"k": None},
            keeps_bank=True,
        ),
        MethodSpec(
            "ridge",
            "linear fit to nearest neighbor normalization: a query shift",
            "linear",
            0.5,
            "distnorm.methods.ridge; the bias it is fitted to: Chowdhury et al., EMNLP 2024",
            {"k": None, "weight": 0.1},
            keeps_bank=True,
        ),
        MethodSpec(
            "csls",
            "cross-domain similarity local scaling",
            "bank",
            0.5,
            "Conneau et al., ICLR 2018",
            {"k": 10},
            keeps_bank=True,
            factor=2.0,
        ),
        MethodSpec(
            "qbnorm",
            "dynamic inverted softmax (gated)",
            "bank",
            1.0,
            "Bogolin et al., CVPR 2022",
            {"beta": 20.0},
            keeps_bank=True,
        ),
        MethodSpec(
            "sinkhorn",
            "dual potentials of an entropic transport",
            "transport",
            0.75,
            "Wang et al., Dual Bank Sinkhorn, 2025",
            {**_SCALE, "iterations": 50, "tolerance": 1e-5},
            keeps_bank=True,
            order=2,
        ),
        MethodSpec(
            "centered",
            "centred cosine: subtract the mean, re-normalise",
            "transform",
            1.0,
            "GR-CLIP; I0T",
        ),
        MethodSpec(
            "dn-renorm",
            "DN on raw embeddings, re-normalised (the authors' zero-shot variant)",
            "transform",
            0.5,
            _DN,
            input="raw",
        ),
        MethodSpec(
            "auto",
            "chosen from the samples, for queries of each side by itself",
            "auto",
            1.0,
            "distnorm.selection",
            {"seed": 0, "shift": False},
            keeps_bank=True,
            order=2,
        ),
    )
}


def find_method(name: object) -> MethodSpec:
    """The method called ``name``.

    Raises
    ------
    DistnormError
        For an unknown name, with the nearest ones.
    """
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
    """Strength for each query side from a number, a mapping, or nothing.

    Raises
    ------
    DistnormError
        For a value that is no finite real number, or a side that is none of the two.
    """
    if not isinstance(strength, Mapping):
        value = default if strength is None else strength
        return {side: _real(value, "strength") for side in sides}
    unknown = [key for key in strength if key not in sides]
    if unknown:
        raise DistnormError(
            f"a strength for {unknown[0]!r}",
            f"the sides {sides[0]!r} and {sides[1]!r}",
            "rename it",
        )
    return {side: _real(strength.get(side, default), f"strength[{side!r}]") for side in sides}


def _real(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise DistnormError(
            f"{name} = {value!r}",
            "a finite real number",
            "0 is the dot product, 0.5 the paper's DN",
        )
    return float(value)


def check_params(spec: MethodSpec, params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of ``spec`` with defaults filled in.

    Raises
    ------
    DistnormError
        For an unknown parameter or a value out of range.
    """
    for key in params:
        if key not in spec.params:
            raise DistnormError(
                f"parameter {key!r} for {spec.name}",
                f"one of {', '.join(spec.params)}" if spec.params else "no parameters",
                "see distnorm.METHODS",
            )
    values = {**spec.params, **params}
    for key in ("beta", "scale", "tolerance", "weight"):
        value = values.get(key)
        if value is not None and _real(value, key) <= 0:
            raise DistnormError(f"{key} = {value!r}", "a number above 0", "see the method's docs")
    for key in ("k", "rank", "iterations"):
        value = values.get(key)
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if value is not None and not (whole and int(value) >= 1):
            raise DistnormError(f"{key} = {value!r}", "a positive integer", "see the method's docs")
    seed = values.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or seed < 0:
        raise DistnormError(f"seed = {seed!r}", "an integer from 0 on", "leave it out for 0")
    if values.get("shift", False) not in (False, True):
        raise DistnormError(f"shift = {values['shift']!r}", "True or False", "leave it out")
    weight = values.get("shrinkage")
    if weight is not None and not 0 <= _real(weight, "shrinkage") <= 1:
        raise DistnormError(
            f"shrinkage = {weight!r}", "a number in [0, 1]", "leave it out for auto"
        )
    return values


def parse_method(text: str) -> tuple[str, float | None, dict[str, Any]]:
    """Read ``name[@strength][:key=value,...]``: "dn@0.3", "nnn@0.25:k=16", "is:beta=50".

    Raises
    ------
    DistnormError
        For an unknown method or a malformed number.
    """
    head, _, tail = text.strip().partition(":")
    name, _, number = head.partition("@")
    spec = find_method(name)
    params: dict[str, Any] = {}
    for part in filter(None, tail.split(",")):
        key, _, value = part.partition("=")
        params[key] = _number(value, text)
    return spec.name, float(_number(number, text)) if number else None, params


def _number(value: str, text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    raise DistnormError(f"{value!r} in {text!r}", "a number", "write e.g. nnn@0.25:k=16")
