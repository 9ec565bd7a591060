"""What is known about a normalization's statistics beside themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

__all__ = ["Notes"]


@dataclass(frozen=True)
class Notes:
    """Notes that a file keeps and that new statistics make void, in values that JSON holds."""

    # what ``auto`` chose and why, see `distnorm.selection.Selection`
    selection: dict[str, Any] | None = None
    # what pairs that do not match score, see `distnorm.calibration`
    calibration: dict[str, Any] | None = None
    probability: dict[str, Any] | None = None  # P(match), see `distnorm.calibration`
    # how often classes come, see `distnorm.tasks.class_prior`
    class_prior: dict[str, Any] | None = None
    # the images that tell it, which a file keeps as tensors
    class_images: Mapping[str, Any] | None = field(default=None, compare=False)
    fitted_on: dict[str, Any] | None = None  # inputs that the statistics were taken from
    hubs: dict[str, Any] | None = None  # of the card: hubs before and after
    data: str | None = None  # of the card: a sentence on the data
    other: dict[str, Any] = field(default_factory=dict)  # whatever else a file says
    # the first four that new statistics have made void; not saved
    dropped: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Notes:
        """Notes as a file has them."""
        names = {item.name for item in fields(cls)} - {"other", "dropped", "class_images"}
        typed = {key: value for key, value in values.items() if key in names}
        return cls(**typed, other={k: v for k, v in values.items() if k not in names})

    def to_dict(self) -> dict[str, Any]:
        """Those that there are, for JSON."""
        values = {**vars(self), **self.other}
        del values["other"], values["dropped"], values["class_images"]
        return {key: value for key, value in values.items() if value is not None}

    def void(self, *others: Notes) -> Notes:
        """None of these, or of ``others`` either, but which of them were dropped."""
        names = ("selection", "calibration", "probability", "class_prior")
        every = (self, *others)
        gone = [n for n in names if any(getattr(e, n) is not None or n in e.dropped for e in every)]
        return Notes(dropped=tuple(gone))
