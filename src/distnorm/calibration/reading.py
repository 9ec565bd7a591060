"""Reading a calibration: rates of scores, thresholds of rates, percentiles, each with bounds.

Between the knots of the table the logarithm of the rate is linear in the score. Rates below 1e-8
are given as 1e-8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import Array, Float64, NDArray, to_numpy
from distnorm.calibration.score_kinds import score_kind
from distnorm.calibration.scorer import Scorer
from distnorm.errors import DistnormError
from distnorm.system.records import plain_fields

__all__ = [
    "Estimate",
    "as_scores",
    "calibration_of",
    "check_settings",
    "false_alarm_rate",
    "percentile",
    "threshold",
]


_WIDE = 10.0


@dataclass(frozen=True)
class Estimate:
    """A number or an array with a 95 % interval; works as the number itself.

    Attributes
    ----------
    value, low, high : float or ndarray
    reliable : bool or ndarray of bool
        False where the sample is too small to know: the bounds of the false-alarm rate there
        are more than a factor 10 apart.
    """

    value: Any
    low: Any
    high: Any
    reliable: Any

    def __float__(self) -> float:
        """The value."""
        return float(self.value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        """The value, for NumPy: ``scores >= norm.threshold(1e-3)`` works."""
        del copy
        return np.array(self.value, dtype=dtype)

    def __str__(self) -> str:
        """Value and interval, and whether to trust it."""
        if np.ndim(self.value):
            return repr(self)
        word = "" if self.reliable else " (too small a sample to know)"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]{word}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return plain_fields(self)


def calibration_of(norm: Scorer) -> Mapping[str, Any]:
    """The table in ``norm.notes``, if it is one of this very method and strength."""
    table = norm.notes.calibration
    if table is None or "knots" not in table:
        dropped = ", which new statistics made void" * ("calibration" in norm.notes.dropped)
        raise DistnormError(
            f"a normalization without calibration{dropped}",
            "the scores of non-matching pairs",
            f"call calibrate({norm.names.plural(norm.sides[0])}, "
            f"{norm.names.plural(norm.sides[1])}) first, or run `distnorm calibrate`",
        )
    check_settings(norm, table)
    return table


def check_settings(norm: Scorer, table: Mapping[str, Any]) -> None:
    """Raise unless ``table`` was made by this method, strength and parameters."""
    # Under `auto` the strengths in force, which a calibration states, are the chosen ones.
    score = score_kind(norm)
    made = table["score"]["method"], table["score"]["strength"], table["params"]
    if made != (score.method, score.strength, norm.params):
        raise DistnormError(
            f"a calibration of {made[0]} at strength {made[1]}",
            f"one of {score.method} at {score.strength}",
            "calibrate again after changing settings",
        )


def false_alarm_rate(table: Mapping[str, Any], scores: Array) -> Estimate:
    """P(a non-matching pair scores higher), for each score."""
    values = as_scores(scores)
    knots = _knots(table)
    value, low, high = (_rate_at(values, knots, key) for key in ("rate", "low", "high"))
    return _estimate(value, low, high, high <= _WIDE * low)


def percentile(table: Mapping[str, Any], scores: Array) -> Estimate:
    """Share of non-matching pairs that score lower, times 100."""
    rate = false_alarm_rate(table, scores)
    return _estimate(
        100 * (1 - np.asarray(rate.value)),
        100 * (1 - np.asarray(rate.high)),
        100 * (1 - np.asarray(rate.low)),
        np.asarray(rate.reliable),
    )


def threshold(table: Mapping[str, Any], rate: float) -> Estimate:
    """The score that a share ``rate`` of non-matching pairs exceeds."""
    number = isinstance(rate, (int, float, np.floating)) and not isinstance(rate, bool)
    if not number or not 1e-8 <= rate < 1:
        raise DistnormError(
            f"false-alarm rate {rate!r}", "a number from 1e-8 to below 1", "e.g. 1e-3"
        )
    knots = _knots(table)
    value, low, high = (_score_at(float(rate), knots, key) for key in ("rate", "low", "high"))
    bounds = [float(_rate_at(np.asarray(value), knots, key)) for key in ("low", "high")]
    return _estimate(
        np.asarray(value),
        np.asarray(low),
        np.asarray(high),
        np.asarray(bounds[1] <= _WIDE * bounds[0]),
    )


def _estimate(value: Float64, low: Float64, high: Float64, reliable: Any) -> Estimate:
    if value.ndim:
        return Estimate(value, low, high, np.asarray(reliable))
    return Estimate(float(value), float(low), float(high), bool(reliable))


def as_scores(scores: Any) -> Float64:
    """Scores of any library, or plain numbers, in float64."""
    plain = isinstance(scores, (int, float, list, tuple, np.generic))
    values = np.asarray(scores, np.float64) if plain else to_numpy(scores, np.float64)
    if np.isnan(values).any():
        raise DistnormError("a score that is no number", "finite scores", "mend it")
    return values


def _knots(table: Mapping[str, Any]) -> dict[str, Float64]:
    return {key: np.asarray(values, np.float64) for key, values in table["knots"].items()}


def _rate_at(values: Float64, knots: Mapping[str, Float64], key: str) -> Float64:
    """Below the first knot the rate rises to 1 as far as one more knot away."""
    score, rate = knots["score"], np.maximum(knots[key], 1e-12)
    start = score[0] - (score[-1] - score[0]) / 10
    logarithm = np.interp(values, np.append(start, score), np.log(np.append(1.0, rate)))
    return np.asarray(np.exp(logarithm))


def _score_at(rate: float, knots: Mapping[str, Float64], key: str) -> float:
    """Inverse of `_rate_at`; the outermost knots where the rate is outside the table."""
    score, rates = knots["score"], np.log(np.maximum(knots[key], 1e-12))
    start = score[0] - (score[-1] - score[0]) / 10
    falling = np.minimum.accumulate(np.append(0.0, rates))
    return float(np.interp(-np.log(rate), -falling, np.append(start, score)))
