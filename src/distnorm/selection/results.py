"""What a choice gives: one `SideChoice` a query side, with all its candidates, in a `Selection`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["RULE", "SAMPLE_FIGURES", "Candidate", "Selection", "SideChoice"]

SAMPLE_FIGURES = ("effective_samples", "effective_items", "coverage", "kinds")
"""What a `SideChoice` says of its samples."""

RULE = "planted matches, version 5"


@dataclass(frozen=True)
class Candidate:
    """One method at the strength that served it best.

    Attributes
    ----------
    method : str
    strength : float
    gain : float
        Estimated change of recall@1 against the dot product, in [-1, 1]: of planted matches, or
        of labelled pairs. Good for comparing candidates; planted, it is no forecast.
    error : float
        Standard error of ``gain`` over the queries.
    interval : pair of float
        Bootstrap interval of ``gain``, 95 %.
    net : float
        What candidates are compared by: ``gain`` less the price of the strength.
    folds : int
        Folds in which ``gain`` is above 0.
    mutual_agreement, occupancy : float
        Shares of held-out queries that are their best item's best query, and of gallery items
        that are some query's best.
    strengths, gains : tuple of float
        The whole curve of this method.
    outweighed : str
        What spoke against it, in words; empty for the chosen one and the dot product.
    """

    method: str
    strength: float
    gain: float
    error: float
    interval: tuple[float, float]
    net: float
    folds: int
    mutual_agreement: float
    occupancy: float
    strengths: tuple[float, ...] = ()
    gains: tuple[float, ...] = ()
    outweighed: str = ""


@dataclass(frozen=True)
class SideChoice:
    """What was chosen for queries of one side, and why.

    Attributes
    ----------
    method : str
    strength : float
    why : str
        A sentence.
    evidence : {"planted", "labelled", "none"}
    samples : int
        Distinct unlabelled rows, or labelled queries, that the choice rests on.
    gallery : int
        Items they were ranked against.
    folds : int
    candidates : tuple of Candidate
        The dot product first; empty without evidence.
    more : str
        What more samples would buy.
    effective_samples : float or None
        Sum of the samples' weights by density; None without planted matches.
    effective_items, coverage, kinds : float or None
        Items that are some sample's best, and how the samples cover all of them
        (`distnorm.methods.coverage`), at most 1.
    """

    method: str
    strength: float
    why: str
    evidence: str
    samples: int
    gallery: int
    folds: int = 0
    candidates: tuple[Candidate, ...] = ()
    more: str = ""
    effective_samples: float | None = None
    effective_items: float | None = None
    coverage: float | None = None
    kinds: float | None = None

    def __repr__(self) -> str:
        """One line: the choice and its reason."""
        return f"SideChoice({self.method}@{self.strength:.3g}: {self.why})"


@dataclass(frozen=True)
class Selection:
    """The choice for both sides; `to_dict` is what the saved file carries.

    Attributes
    ----------
    sides : dict from side to SideChoice
        The side of the *queries*.
    seed : int
    warnings : tuple of str
        What looks wrong with the samples.
    rule : str
        What chose it, and which version of that.
    """

    sides: dict[str, SideChoice]
    seed: int = 0
    warnings: tuple[str, ...] = field(default=())
    rule: str = RULE

    def __getitem__(self, side: str) -> SideChoice:
        """The choice for queries of ``side``."""
        return self.sides[side]

    def __repr__(self) -> str:
        """One line: what queries of each side get."""
        sides = ", ".join(f"{s}: {c.method}@{c.strength:.3g}" for s, c in self.sides.items())
        return f"Selection({sides})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rule": self.rule,
            "seed": self.seed,
            "warnings": list(self.warnings),
            "sides": {side: _plain(asdict(choice)) for side, choice in self.sides.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Selection:
        """Read what `to_dict` gave."""
        sides = {}
        for side, about in values["sides"].items():
            candidates = tuple(Candidate(**_tuples(entry)) for entry in about["candidates"])
            sides[side] = SideChoice(**{**about, "candidates": candidates})
        rule = values.get("rule", RULE)
        return cls(sides, values["seed"], tuple(values["warnings"]), rule)


def _tuples(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
