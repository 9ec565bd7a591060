"""What a number is called, so that a corrected score is never taken for a cosine.

    cosine            x.y of unit rows, in [-1, 1]
    dot product       x.y of rows of any length
    ranking score     q.y - s b(y): ranks items for one query; not comparable between queries
    two-sided score   x.y - s_Y b_Y(x) - s_X b_X(y): comparable between all pairs, has thresholds
    caption score     a rule's mixture of the above with references, e.g. 2.5 max(cos, 0)
    false-alarm rate  share of non-matching pairs that score as high, in [0, 1]; small is good
    probability       P(match) at a stated prior, in [0, 1]

Every result names one of these kinds and, for a corrected score, its method: ``dn two-sided
score``, ``is ranking score``. Thresholds belong to two-sided scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distnorm.calibration.scorer import Scorer

__all__ = ["KINDS", "ScoreKind", "score_kind"]

KINDS = (
    "cosine",
    "dot product",
    "ranking score",
    "two-sided score",
    "caption score",
    "false-alarm rate",
    "probability",
)
"""All kinds there are."""


@dataclass(frozen=True)
class ScoreKind:
    """What a score is: one of `KINDS`, by a method of `distnorm.METHODS`."""

    kind: str
    method: str
    strength: Mapping[str, float]  # by query side

    @property
    def label(self) -> str:
        """The name in tables and files: ``cosine``, ``dn two-sided score``."""
        plain = self.kind in ("cosine", "dot product", "false-alarm rate", "probability")
        return self.kind if plain else f"{self.method} {self.kind}"

    def __str__(self) -> str:
        """The label."""
        return self.label

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "kind": self.kind,
            "label": self.label,
            "method": self.method,
            "strength": dict(self.strength),
            "is_cosine": self.kind == "cosine",
        }


def score_kind(
    norm: Scorer | None, *, query: str | None = None, rule: str | None = None
) -> ScoreKind:
    """What `similarity`, `ranking` for queries of one side, or a caption rule gives.

    Parameters
    ----------
    norm : ScoreNormalization or None
        None is the dot product of unit rows.
    query : str, optional
        Side of the queries of a ranking score; left out, the score is two-sided.
    rule : str, optional
        Of `distnorm.score_captions`; "plain" is the two-sided score itself.

    Examples
    --------
    >>> import distnorm
    >>> score_kind(distnorm.make("dn")).label, score_kind(distnorm.make("dot")).label
    ('dn two-sided score', 'cosine')
    >>> score_kind(distnorm.make("is"), query="text").label
    'is ranking score'
    """
    if rule not in (None, "plain"):
        plain = score_kind(norm)
        return ScoreKind("caption score", f"{plain.method} {rule}", plain.strength)
    if norm is None:
        return ScoreKind("cosine", "dot", {})
    # What is in force can be told only of a fitted `auto`.
    fitted = any(norm.counts.values())
    strength = {s: norm.correction(s).strength if fitted else norm.strength[s] for s in norm.sides}
    relevant = [query] if query is not None and norm.spec.two_sided else list(strength)
    if not norm.spec.corrects or not any(strength[side] for side in relevant):
        moments = [norm.moments(side) for side in norm.sides]
        unit = norm.input == "unit" or all(m is not None and m.unit_length for m in moments)
        return ScoreKind("cosine" if unit else "dot product", norm.method, strength)
    kind = "two-sided score" if query is None else "ranking score"
    return ScoreKind(kind, norm.method, strength)
