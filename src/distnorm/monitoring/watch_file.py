"""What the state of a watch may hold: a file of `distnorm.storage`, or one of older versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from distnorm import storage
from distnorm.arrays import Float32
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.system import schema
from distnorm.system.schema import closed, flag, list_of, number, optional, record, table, whole

__all__ = ["check_watch", "read_watch"]

Rows = dict[str, Float32]

_WHAT, _REMEDY = "the state of a watch", "remove the state file to start anew"
_share = number(0, 1)
_TEST = closed(
    {
        "distance": number(0),
        "expected": number(0),
        "dimensions": number(0),
        "assumed": flag,
        "p_value": _share,
        "counts": list_of(whole(0), 2),
    }
)
_LOOK = closed(
    {"side": schema.text, "rows": whole(0), "test": _TEST, "level": _share, "alarm": flag}
)
_FORM = record(
    {
        "false_alarm_rate": _share,
        "window": whole(1),
        "rows": table(whole(0)),
        "looks": table(whole(0)),
        "alarm": optional(_LOOK),
        "last": table(_LOOK),
        "fits": schema.text,
    },
    {"block": whole(1)},
)


def read_watch(name: str) -> tuple[dict[str, Any], Rows]:
    """What a file says of a watch, and the rows that it keeps."""
    old = _older(name)
    if old is not None:
        return old
    about, rows, _ = storage.read(name, what=_WHAT, remedy=_REMEDY)
    if "watch" not in about:
        raise DistnormError(f"{name}, which is no state of a watch", _WHAT, _REMEDY)
    return schema.check(about, _FORM, file=name, remedy=_REMEDY), rows


def check_watch(name: str, about: Mapping[str, Any], rows: Rows, norm: ScoreNormalization) -> None:
    """Raise unless a state's counts fit each other, its rows and the normalization."""
    sides, window = set(norm.sides), about["window"]
    wrong = set(about["rows"]) != sides or set(about["looks"]) != sides
    wrong = wrong or not set(rows) <= sides or not set(about["last"]) <= sides
    for side, x in {} if wrong else rows.items():
        fits = x.ndim == 2 and x.shape[1] == norm.dimension and x.dtype == np.float32
        few = min(about["rows"][side], window)
        wrong = wrong or not fits or len(x) != few or not np.isfinite(x).all()
    wrong = wrong or any(n and side not in rows for side, n in about["rows"].items())
    if wrong:
        raise DistnormError(
            f"{name} with counts that do not fit its rows", "a state as watch wrote it", _REMEDY
        )


def _older(name: str) -> tuple[dict[str, Any], Rows] | None:
    """Of a file of older versions, None for any other file."""
    try:
        with safe_open(name, framework="numpy") as file:
            text = (file.metadata() or {}).get("distnorm_watch")
            if text is None:
                return None
            rows = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, UnicodeError, TypeError, ValueError):
        return None
    return schema.parse(text, _FORM, file=name, remedy=_REMEDY), rows
