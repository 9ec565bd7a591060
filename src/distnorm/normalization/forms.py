"""What a saved normalization may hold: the form of its settings and notes, and of its tensors.

A checksum says that a file is as somebody wrote it, not that it makes sense: counts may be
negative or contradict the sums, fields may lack, numbers may be none.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from distnorm.arrays import NDArray
from distnorm.errors import DistnormError
from distnorm.methods.statistics import SideStatistics
from distnorm.normalization.state import PRIORS
from distnorm.system.schema import (
    Mismatch,
    anything,
    closed,
    flag,
    list_of,
    number,
    one_of,
    optional,
    record,
    scalar,
    table,
    text,
    whole,
)

__all__ = ["SETTINGS", "check_class_images", "check_side", "check_statistics"]

Tensors = Mapping[str, NDArray]

_REMEDY = "fetch or fit it again"
_LENGTH = 0.05  # rows of half precision are not quite of length 1
_share, _numbers = number(0, 1), list_of(number())


def _rising(*names: str) -> Any:
    """Columns of as many numbers, of which the first does not fall and the others are shares."""
    shares = {name: list_of(_share, low=1) for name in names[1:]}
    columns = record({names[0]: list_of(number(), low=1), **shares})

    def form(value: Any, place: str) -> None:
        columns(value, place)
        first = value[names[0]]
        if len({len(value[name]) for name in names}) > 1:
            raise Mismatch(place, value, f"as many of {', '.join(names)}")
        if any(a > b for a, b in pairwise(first)):
            raise Mismatch(f"{place}.{names[0]}", first, "rising numbers")

    return form


def _by_query(value: Any, place: str) -> None:
    record({"rate": _share})(value, place)
    rates = dict.fromkeys(("median", "percentile_95", "highest"), _share)
    sides = {key: part for key, part in value.items() if key != "rate"}
    table(record({"variation": optional(number(0)), **rates}))(sides, place)


_MADE_BY = {"score": record({"method": text, "strength": table(number())}), "params": table(scalar)}
_OVERLAP = closed({"fitted": whole(0), "rows": whole(0), "exact": flag})
_CALIBRATION = record(
    {
        **_MADE_BY,
        "n_rows": table(whole(1)),
        "n_pairs": whole(1),
        "pairs": text,
        "hidden_matches": whole(0),
        "cross_fitted": flag,
        "knots": _rising("score", "rate", "low", "high"),
        "by_query": _by_query,
    },
    {"right_pairs": optional(_share), "shared_rows": table(optional(_OVERLAP))},
)
_PROBABILITY = record(
    {
        **_MADE_BY,
        "method": one_of("isotonic", "platt"),
        "prior": number(1e-300, 1 - 1e-16),
        "n_matches": whole(0),
        "n_non_matches": whole(0),
        "expected_calibration_error": _share,
    },
    {
        "knots": _rising("score", "probability"),
        "curve": record({"slope": number(), "intercept": number()}),
    },
)
_CANDIDATE = closed(
    {
        "method": text,
        "strength": number(),
        "gain": number(),
        "error": number(),
        "interval": list_of(number(), 2),
        "net": number(),
        "folds": whole(0),
        "mutual_agreement": number(),
        "occupancy": number(),
    },
    {"strengths": _numbers, "gains": _numbers, "outweighed": text},
)
_CHOICE = closed(
    {
        "method": text,
        "strength": number(),
        "why": text,
        "evidence": text,
        "samples": whole(0),
        "gallery": whole(0),
        "candidates": list_of(_CANDIDATE),
    },
    {
        "folds": whole(0),
        "more": text,
        "effective_samples": optional(number()),
        "effective_items": optional(number()),
        "coverage": optional(number()),
        "kinds": optional(number()),
    },
)
_CLASS_PRIOR = closed(
    {
        "wanted": one_of(*PRIORS),
        "kind": one_of("none", "balance", "shift"),
        "why": text,
        "temperature": number(1e-300),
        "classes": text,
        "bias": list_of(number(), low=1),
        "images": whole(1),
        "figures": table(optional(number())),
    }
)
_NOTE = record(
    {}, {"name": text, "store": text, "id": optional(text), "commit": optional(whole(0))}
)
_SPREAD = record({"skewness": number(), "occupancy": number()})


def _selection(value: Any, place: str) -> None:
    """A choice of ours, or another's words on what was chosen."""
    table(anything)(value, place)
    if "sides" in value:
        record({"sides": table(_CHOICE), "seed": whole(), "warnings": list_of(text)})(value, place)


def _hubs(value: Any, place: str) -> None:
    record({"rows": table(whole(0))})(value, place)
    sides = {key: part for key, part in value.items() if key != "rows"}
    table(record({"before": _SPREAD, "after": _SPREAD}))(sides, place)


_NOTES = {
    "selection": optional(_selection),
    "calibration": optional(_CALIBRATION),
    "probability": optional(_PROBABILITY),
    "fitted_on": optional(
        record(
            {
                "samples": optional(whole(1)),
                "seed": optional(whole(0)),
                "inputs": table(list_of(_NOTE)),
            }
        )
    ),
    "hubs": optional(_hubs),
    "class_prior": optional(_CLASS_PRIOR),
    "data": optional(text),
}

SETTINGS = record(
    {
        "method": text,
        "strength": table(number()),
        "params": table(scalar),
        "sides": list_of(text, 2),
        "input": text,
        "model": optional(text),
        "prompt": optional(text),
        "dimension": optional(whole(1)),
        "counts": table(whole(0)),
        "statistics": table(
            record({"count": whole(0), "unit_length": optional(flag)}, {"given": flag})
        ),
    },
    {
        "weights": text,
        "sketch": flag,
        "prior": one_of(*PRIORS),
        "notes": record({}, _NOTES),
        "chosen": table(anything),
    },
)
"""Form of the settings of a saved normalization."""


def check_statistics(file: str, settings: Mapping[str, Any]) -> None:
    """Raise unless what the settings say of counts, sides and choices goes together."""
    counts = {side: about["count"] for side, about in settings["statistics"].items()}
    notes = settings.get("notes", {})
    chosen = (notes.get("selection") or {}).get("sides", {})
    probability = notes.get("probability") or {"knots": None}
    for wrong, what in (
        (counts != settings["counts"], f"counts of {settings['counts']} and of {counts}"),
        (not set(counts) <= set(settings["sides"]), f"statistics of {', '.join(counts)}"),
        (
            bool(chosen) and set(chosen) != set(settings["sides"]),
            f"a choice for {', '.join(chosen)}",
        ),
        (not {"knots", "curve"} & set(probability), "probabilities without a curve"),
    ):
        if wrong:
            sides = " and ".join(settings["sides"])
            raise DistnormError(f"{file} with {what}", f"what fits its sides, {sides}", _REMEDY)


def check_side(
    file: str, side: str, count: int, unit: bool | None, tensors: Tensors, empty: SideStatistics
) -> None:
    """Raise unless tensors of a side can be statistics of ``count`` rows for its method.

    With weight w (the count, unless rows were weighted), |sum|^2 <= w squares, and w = squares
    for rows of unit length.
    """
    moments = empty.moments
    shapes: dict[str, tuple[Any, ...]] = {"sum": (None,), "totals": (None,)}
    if moments.order > 1:
        shapes |= {"second": (None, None)} if moments.rank is None else {"factor": (None, None)}
    if empty.bank is not None:
        shapes["bank"] = (count, None)
    if "sketch" in tensors or "sketch_counts" in tensors:
        shapes |= {"sketch": (None,), "sketch_counts": (None,)}
    if "sketch_points" in tensors:
        shapes["sketch_points"] = (None, None)
    for name, shape in shapes.items():
        values = tensors.get(name)
        if values is None or values.ndim != len(shape) or shape[0] not in (None, len(values)):
            found = "no" if values is None else f"shape {values.shape} as"
            raise DistnormError(
                f"{file} with {found} {side}.{name}", "it, for its method and counts", _REMEDY
            )
    d = len(tensors["sum"])
    for name, values in tensors.items():
        wide = {"second": (d, d), "factor": (len(values), d), "bank": (len(values), d)}
        kind = "u" if name in ("sketch", "sketch_counts") else "f"
        fits = values.shape == wide.get(name, values.shape) and values.dtype.kind == kind
        if not fits or not np.isfinite(values).all():
            raise DistnormError(
                f"{file} with {side}.{name} of shape {values.shape} and dtype {values.dtype}",
                f"finite numbers of {d} dimensions",
                _REMEDY,
            )
    _check_sketch(file, side, count, tensors)
    totals = tensors["totals"]
    if len(totals) not in (2, 3, 4) or (totals < 0).any():
        raise DistnormError(f"{file} with {side}.totals of {totals}", "totals of rows", _REMEDY)
    squares, weight = float(totals[0]), float(totals[2]) if len(totals) > 2 else float(count)
    length = float(np.dot(tensors["sum"], tensors["sum"]))
    if length > weight * squares * (1 + 1e-6) or (
        unit and abs(squares - weight) > _LENGTH * weight
    ):
        raise DistnormError(
            f"{file} with {count} {side} rows, which do not fit their sums",
            "the number of rows that were added up",
            _REMEDY,
        )


def check_class_images(
    file: str, prior: Mapping[str, Any] | None, kept: Tensors, dimension: int | None
) -> None:
    """Raise unless the images that tell a class prior are there and fit together."""
    if (prior is None) != (not kept):
        raise DistnormError(f"{file} with half of a class prior", "prior and images", _REMEDY)
    if not kept:
        return
    n = len(kept["keys"]) if "keys" in kept and kept["keys"].ndim == 1 else 0
    forms = {
        "keys": ((n,), np.uint64),
        "rows": ((n, dimension), np.float32),
        "counts": ((n,), np.int64),
        "places": ((n,), np.int64),
        "totals": ((2,), np.uint64),
    }
    for name, (shape, kind) in forms.items():
        values = kept.get(name)
        if values is None or not n or values.shape != shape or values.dtype != kind:
            raise DistnormError(f"{file} with damaged class images ({name})", "images", _REMEDY)
    whole = kept["keys"], kept["counts"], kept["places"]
    rising = (whole[0][1:] > whole[0][:-1]).all()
    fits = rising and whole[0][-1] <= kept["totals"][0] and np.isfinite(kept["rows"]).all()
    if not (fits and (whole[1] > 0).all() and (whole[2] >= 0).all()):
        raise DistnormError(f"{file} with class images that contradict", "images", _REMEDY)


def _check_sketch(file: str, side: str, count: int, tensors: Tensors) -> None:
    """Raise unless hashes rise up to their limit and come no more often than there are rows."""
    if "sketch" not in tensors:
        return
    sketch, counts = tensors["sketch"], tensors["sketch_counts"]
    fits = sketch.dtype == np.uint64 and len(sketch) == len(counts) + 1
    fits &= len(tensors.get("sketch_points", ())) <= len(counts)
    if not fits or (sketch[:-2] >= sketch[1:-1]).any() or (sketch[-2:-1] > sketch[-1]).any():
        raise DistnormError(
            f"{file} with a {side}.sketch that is none", "rising hashes and a limit", _REMEDY
        )
    if (counts < 1).any():
        raise DistnormError(f"{file} with {side}.sketch_counts of 0", "rows", _REMEDY)
