"""What is known about a normalization's statistics beside themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

__all__ = ["Notes"]


@dataclass(frozen=True)
class Notes:
    """Notes that a file keeps and that new statistics make void, in values that JSON holds.

    Attributes
    ----------
    selection : dict, optional
        What ``auto`` chose and why, see `distnorm.selection.Selection`.
    calibration : dict, optional
        What pairs that do not match score, see `distnorm.calibration.calibrate`.
    probability : dict, optional
        P(match), see `distnorm.calibration.fit_probability`.
    fitted_on : dict, optional
        Inputs that the statistics were taken from.
    hubs : dict, optional
        Of the card: hubs before and after.
    data : str, optional
        Of the card: a sentence on the data.
    other : dict
        Whatever else a file says.
    """

    selection: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    probability: dict[str, Any] | None = None
    fitted_on: dict[str, Any] | None = None
    hubs: dict[str, Any] | None = None
    data: str | None = None
    other: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Notes:
        """Notes as a file has them."""
        names = {item.name for item in fields(cls)} - {"other"}
        typed = {key: value for key, value in values.items() if key in names}
        return cls(**typed, other={k: v for k, v in values.items() if k not in names})

    def to_dict(self) -> dict[str, Any]:
        """Those that there are, for JSON."""
        values = {**vars(self), **self.other}
        del values["other"]
        return {key: value for key, value in values.items() if value is not None}

    def chosen(self, selection: dict[str, Any]) -> Notes:
        """These with another choice, which makes void what was read off the scores before it."""
        return replace(self, selection=selection, calibration=None, probability=None)
