"""What a comparison gives: one summary a metric, one result a method, all of them together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from distnorm.comparison.verdict import Verdict, judge
from distnorm.moments import Overlap
from distnorm.system.records import plain_fields
from distnorm.tasks.shared_rows import plain_shared_rows

__all__ = ["Comparison", "MethodResult", "MetricSummary"]


@dataclass(frozen=True)
class MetricSummary:
    """One metric of one method over the splits."""

    mean: float
    std: float  # over splits; 0 for one
    delta: float  # mean difference to the dot product
    delta_ci95: tuple[float, float] | None  # its bootstrap interval; a median rank has none

    @property
    def significant(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        return self.delta_ci95 is not None and (self.delta_ci95[0] > 0 or self.delta_ci95[1] < 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**plain_fields(self), "significant": self.significant}


@dataclass(frozen=True)
class MethodResult:
    """One method's metrics and everything that affects its ranking."""

    method: str
    strength: dict[str, float]
    params: dict[str, Any]
    n_fit: dict[str, int]
    transductive: bool
    metrics: dict[str, MetricSummary]
    score: str = ""  # what was ranked or measured: `score_kinds`
    shared_rows: dict[str, Overlap] = field(default_factory=dict)  # of the split with most, by side

    def __repr__(self) -> str:
        """One line with its first metrics."""
        first = ", ".join(f"{k}={v.mean:.3f}" for k, v in [*self.metrics.items()][:4])
        return f"MethodResult({self.method!r}, {first})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "method": self.method,
            "score": self.score,
            "strength": dict(self.strength),
            "params": dict(self.params),
            "n_fit": dict(self.n_fit),
            "transductive": self.transductive,
            "shared_rows": plain_shared_rows(self.shared_rows),
            "metrics": {name: summary.to_dict() for name, summary in self.metrics.items()},
        }


@dataclass(frozen=True)
class Comparison:
    """All methods on one data set; `to_dict` is the JSON of ``distnorm compare``."""

    task: str  # retrieval, classification or captions
    sizes: dict[str, int]  # ``n_images`` and what else there is so many of
    protocol: dict[str, Any]  # where statistics came from
    results: tuple[MethodResult, ...]  # the dot product first
    diagnostics: dict[str, Any] | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """One line: data, protocol, methods."""
        names = ", ".join(result.method for result in self.results)
        sizes = ", ".join(f"{n} {what.removeprefix('n_')}" for what, n in self.sizes.items())
        return f"Comparison({sizes}, {self.protocol['statistics']}, methods: {names})"

    def __getitem__(self, method: str) -> MethodResult:
        """The first result of a method's name."""
        return next(result for result in self.results if result.method == method)

    def verdict(self, images: str = "IMAGES", texts: str = "TEXTS") -> Verdict | None:
        """What to do now, with the next command for data of these names; None without a method."""
        return judge(self.task, self.results, images, texts, self.protocol.get("sides"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, schema 1."""
        return {
            "schema": 1,
            "task": self.task,
            **self.sizes,
            "protocol": dict(self.protocol),
            "results": [result.to_dict() for result in self.results],
            "verdict": None if (verdict := self.verdict()) is None else verdict.to_dict(),
            "diagnostics": self.diagnostics,
        }
