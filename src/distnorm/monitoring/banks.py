"""What the bank of a normalization is worth: how many kinds of queries, about how many items.

The figures are those of `distnorm.moments.weights` and `distnorm.methods.coverage`: the sum of
the bank's weights by density, and from how many of the items its rows come. A query log in which
the same is asked again and again is worth few rows, one about a corner of the gallery covers few
items, and methods with a bank then push down what people ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from distnorm.arrays import Array, CheckedRows, take_rows
from distnorm.methods.coverage import NARROW, coverage_of
from distnorm.moments import density_weights
from distnorm.normalization import ScoreNormalization
from distnorm.tasks.class_prior import class_prior_facts

__all__ = ["MOST_ROWS", "BankFigures", "bank_figures", "figure_facts", "repeat_warnings", "spaced"]

MOST_ROWS = 5000
_MANY_REPEATS = 0.4
"""Worth of a row below which a bank is called skewed; two even draws of an item give about .47."""
_SAFE_ROWS = 50


@dataclass(frozen=True)
class BankFigures:
    """A bank's rows and what they are worth, and its items where those are fitted too."""

    side: str  # whose rows
    weights: str  # how they count
    rows: int
    compared: int  # rows that were looked at, evenly spaced
    effective_rows: float  # sum of their weights by density
    items: int | None = None
    effective_items: float | None = None
    # about the share of the items that rows ask for, by rows weighed by density
    coverage: float | None = None
    # kinds of queries against those of as many even draws; see `distnorm.methods.coverage`
    kinds: float | None = None
    # rows that count as much as these do by the numbers they were given, (sum w)^2 / sum w^2
    by_numbers: float | None = None

    @property
    def warning(self) -> str | None:
        """What is wrong with the bank, in words, and the remedy."""
        about = []
        if self.effective_rows < _MANY_REPEATS * self.compared:
            about.append(f"{self.compared} rows are worth {self.effective_rows:.0f}: many repeat")
        if self.by_numbers is not None and self.by_numbers < _MANY_REPEATS * self.rows:
            about.append(f"{self.rows} rows count as {self.by_numbers:.0f} by their weights")
        if self.coverage is not None and self.coverage < NARROW:
            about.append(f"they ask for about {self.coverage:.0%} of the items")
        if self.effective_rows < _SAFE_ROWS:
            why = "; ".join(about) or f"{self.rows} rows worth {self.effective_rows:.0f}"
            return f"{self.side}: {why}, too few for a bank: use dn, or more rows"
        if not about:
            return None
        plain = self.weights == "density" and self.by_numbers is None
        remedy = "" if plain else ": weigh them by density (--weights density)"
        return f"{self.side}: {'; '.join(about)}{remedy}"

    @property
    def text(self) -> str:
        """The figures in one line."""
        words = f"{self.side} bank: {self.compared} rows worth {self.effective_rows:.0f} by density"
        if self.coverage is not None and self.items is not None:
            words += f", {self.effective_items:.0f} of {self.items} items in effect"
            words += f", coverage {min(self.coverage, 1.0):.0%}"
        words += "" if self.kinds is None else f", kinds {self.kinds:.0%}"
        return words if self.warning is None else f"{words}; {self.warning.partition(': ')[2]}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a coverage without end, of rows about items all unlike, is 1."""
        values = asdict(self)
        if self.coverage is not None:
            values["coverage"] = min(self.coverage, 1.0)
        if self.by_numbers is None:
            del values["by_numbers"]
        return {**values, "warning": self.warning}


def bank_figures(norm: ScoreNormalization) -> dict[str, BankFigures]:
    """Figures of each side's bank, of at most 5,000 rows and items, evenly spaced.

    Parameters
    ----------
    norm : ScoreNormalization
        Empty for a method that keeps no bank: the means of ``dn`` hardly change with a skew.

    Returns
    -------
    dict from side to BankFigures

    Examples
    --------
    >>> import numpy as np, distnorm
    >>> rows = np.repeat(np.eye(4), [97, 1, 1, 1], axis=0)
    >>> bank_figures(distnorm.make("nnn").fit(texts=rows))["text"].effective_rows
    4.0
    """
    counts = {side: count for side, count in norm.counts.items() if norm.statistics[side].bank}
    rows = {side: CheckedRows(spaced(norm.statistics[side].bank_rows()), side) for side in counts}
    weights = {side: density_weights(each) for side, each in rows.items()}
    figures = {}
    for side, own in weights.items():
        found = BankFigures(side, norm.weights, counts[side], len(own), float(own.sum()))
        numbers = norm.statistics[side].bank_weights() if norm.statistics[side].given else None
        if numbers is not None:
            by_numbers = float(numbers.sum() ** 2 / np.square(numbers).sum())
            found = replace(found, by_numbers=by_numbers)
        other = norm.names.other(side)
        if other in rows:
            worth = float(weights[other].sum())
            coverage = coverage_of(rows[side], rows[other], own, worth)
            found = replace(
                found,
                items=coverage.items,
                effective_items=coverage.effective_items,
                coverage=coverage.share,
                kinds=coverage.kinds,
            )
        figures[side] = found
    return figures


def repeat_warnings(norm: ScoreNormalization) -> list[str]:
    """What is wrong with rows of which a covariance is kept and no bank: many equal ones."""
    found = []
    for side, statistics in norm.statistics.items():
        sketch, rows = statistics.moments.sketch, statistics.moments.count
        plain = statistics.bank is None and statistics.moments.order == 2
        if not plain or statistics.weighted or norm.weights != "even" or not sketch or not rows:
            continue
        counts = sketch.counts.astype(np.float64)
        kinds, alike = len(counts), counts.sum() ** 2 / np.square(counts).sum()
        few = kinds < min(_SAFE_ROWS, _MANY_REPEATS * counts.sum())
        if few or alike < _MANY_REPEATS * kinds:
            about = f"{rows} rows, of which {counts.sum():.0f} are {kinds} different ones"
            about += "" if few else f" and count as {alike:.0f}"
            remedy = "use more rows" if few else "weigh them by density (--weights density)"
            found.append(f"{side}: {about}: many repeat: {remedy}")
    return found


def figure_facts(norm: ScoreNormalization, banks: Mapping[str, BankFigures]) -> dict[str, Any]:
    """Figures of the banks, warnings of repeats and the class prior if there are any, for JSON."""
    facts: dict[str, Any] = {"banks": {side: bank.to_dict() for side, bank in banks.items()}}
    repeats = repeat_warnings(norm)
    facts |= {"repeats": repeats} if repeats else {}
    if norm.notes.class_prior is not None:
        facts["class_prior"] = class_prior_facts(norm.notes.class_prior)
    return facts


def spaced(rows: Array) -> Array:
    """At most 5,000 of the rows, evenly spaced."""
    if rows.shape[0] <= MOST_ROWS:
        return rows
    return take_rows(rows, np.linspace(0, rows.shape[0] - 1, MOST_ROWS).astype(np.intp))
