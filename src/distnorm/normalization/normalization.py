"""`ScoreNormalization`: two item biases, the statistics they rest on, and how to apply them.

With x, y unit rows of the two sides (image and text unless named otherwise), s_X, s_Y the
strengths of the two query sides and b_X, b_Y item biases taken from the statistics of each side:

    score(x, y) = x.y - s_Y b_Y(x) - s_X b_X(y) + constant

For order 1 the constant s_X s_Y mu_X.mu_Y makes this (x - s_X mu_X).(y - s_Y mu_Y), the paper's
formula at 1/2. Ranking items for queries of one side needs that side's statistics only: texts
rank images by x.y - s_text b_text(x). The transforms (``centered``, ``dn-renorm``) change both
vectors instead: cos(x - s_X mu_X, y - s_Y mu_Y).

Rows may be arrays or `distnorm.arrays.CheckedRows`, which are not looked at again.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from distnorm.arrays import Array, as_working, namespace
from distnorm.errors import DistnormError
from distnorm.methods.base import Method
from distnorm.methods.sides import Sides
from distnorm.methods.statistics import SideStatistics
from distnorm.metrics.ranking import Ranking
from distnorm.moments import Moments
from distnorm.normalization import auto
from distnorm.normalization.correction import Correction
from distnorm.normalization.files import write_state
from distnorm.normalization.notes import Notes
from distnorm.normalization.state import Rows, State

if TYPE_CHECKING:
    from distnorm.calibration.reading import Estimate
    from distnorm.selection import Selection

__all__ = ["ScoreNormalization"]

Self = TypeVar("Self", bound="ScoreNormalization")


class ScoreNormalization:
    """A method with its statistics: fit on unlabelled, unpaired embeddings, apply to scores.

    Parameters
    ----------
    method : str
        A key of `distnorm.METHODS`.
    strength : float or mapping from side to float, optional
        Coefficient of the bias for queries of each side; the method's default if left out.
    sides : tuple of two str
        Names of the two sides; keywords of `fit` and ``modality=`` take these names.
    model, prompt : str, optional
        Which model's embeddings these are and how texts were worded; kept in the file, and
        merging different ones is refused.
    input : {"unit", "raw", "any"}, optional
        What rows must be like; the method's own requirement if left out.
    **params
        The method's parameters, see `distnorm.METHODS`.

    Attributes
    ----------
    state : State
        Settings and statistics, replaced as a whole by whatever changes them.
    notes : Notes
        The choice of ``auto``, the calibration and what else is known; new statistics make
        them void.

    Examples
    --------
    >>> import numpy as np, distnorm
    >>> rng = np.random.default_rng(0)
    >>> X = distnorm.normalize(rng.normal(1, 1, (50, 8)))
    >>> Y = distnorm.normalize(rng.normal(-1, 1, (60, 8)))
    >>> norm = distnorm.make("dn").fit(images=X, texts=Y)
    >>> norm.similarity(X[:2], Y[:3]).shape
    (2, 3)
    """

    def __init__(
        self,
        method: str = "dn",
        *,
        strength: float | Mapping[str, float] | None = None,
        sides: tuple[str, str] = ("image", "text"),
        model: str | None = None,
        prompt: str | None = None,
        input: str | None = None,
        **params: Any,
    ) -> None:
        self.notes = Notes()
        self.state = State.of(
            method,
            strength=strength,
            sides=sides,
            model=model,
            prompt=prompt,
            input=input,
            params=params,
        )
        self._corrections: dict[str, Correction] = {}

    @property
    def spec(self) -> Method:
        """The method: what it needs and can do."""
        return self.state.spec

    @property
    def method(self) -> str:
        """The method's name."""
        return self.state.spec.name

    @property
    def names(self) -> Sides:
        """The two sides and their plurals."""
        return self.state.names

    @property
    def sides(self) -> tuple[str, str]:
        """Names of the two sides."""
        return self.state.sides

    @property
    def strength(self) -> dict[str, float]:
        """Strength for queries of each side."""
        return self.state.strength

    @property
    def params(self) -> dict[str, Any]:
        """The method's parameters."""
        return self.state.params

    @property
    def input(self) -> str:
        """What rows must be like: unit, raw or any."""
        return self.state.input

    @property
    def model(self) -> str | None:
        """Which model's embeddings these are."""
        return self.state.model

    @model.setter
    def model(self, name: str | None) -> None:
        self.state = replace(self.state, model=name)

    @property
    def prompt(self) -> str | None:
        """How texts were worded."""
        return self.state.prompt

    @prompt.setter
    def prompt(self, wording: str | None) -> None:
        self.state = replace(self.state, prompt=wording)

    @property
    def statistics(self) -> Mapping[str, SideStatistics]:
        """Statistics of each side, of no rows before fitting."""
        return MappingProxyType(self.state.statistics)

    @property
    def counts(self) -> dict[str, int]:
        """Rows the statistics of each side rest on."""
        return self.state.counts

    @property
    def dimension(self) -> int | None:
        """The d of the embeddings, None before fitting."""
        return self.state.dimension

    @property
    def selection(self) -> Selection | None:
        """The `distnorm.selection.Selection` in force; None for other methods."""
        if not self.spec.chooses:
            return None
        from distnorm.selection import Selection

        return Selection.from_dict(self._choice())

    def fit(self: Self, **embeddings: Rows | None) -> Self:
        """Forget everything and take statistics of unlabelled, unpaired rows.

        Parameters
        ----------
        **embeddings
            Under each side's name or its plural (``images=``, ``texts=``): array, shape
            (n, d), or None. Either side may be left out.

        Raises
        ------
        DistnormError
            For unusable rows, different dimensions or array libraries, unknown sides; the
            statistics stay as they were.
        """
        return self._changed(self.state.emptied().with_rows(embeddings))

    def partial_fit(self: Self, **embeddings: Rows | None) -> Self:
        """Add rows to the statistics; any chunking gives the same result as one `fit`.

        Raises
        ------
        DistnormError
            As `fit`; on an error nothing is added.
        """
        return self._changed(self.state.with_rows(embeddings))

    def remove(self: Self, **embeddings: Rows | None) -> Self:
        """Take rows out of the statistics again; what is left is as if they had never been there.

        Parameters
        ----------
        **embeddings
            As `fit`: rows that were fitted.

        Raises
        ------
        DistnormError
            For as many rows as there are, rows that a bank does not hold, or statistics of low
            rank, which cannot be subtracted from; nothing is taken out then.
        """
        return self._changed(self.state.without_rows(embeddings))

    def forget(self: Self, keep: float) -> Self:
        """Let what was fitted so far count for a share ``keep``, in (0, 1], of its rows.

        Means and covariances stay until new rows come (`partial_fit`); a bank loses its oldest
        rows. Called before every batch this is exponential forgetting.

        Raises
        ------
        DistnormError
            For a share outside (0, 1].
        """
        return self._changed(self.state.decayed(keep))

    def merge(self: Self, other: ScoreNormalization) -> Self:
        """Statistics of both as a new object; the order does not matter.

        Raises
        ------
        DistnormError
            If method, strength, parameters, sides, model, prompt style or dimensions differ.
        """
        return copy.copy(self)._changed(self.state.merged(other.state))

    def clone(self: Self) -> Self:
        """The same settings without statistics."""
        return copy.copy(self)._changed(self.state.emptied())

    def with_statistics(self: Self, statistics: Mapping[str, SideStatistics]) -> Self:
        """A copy with other statistics of some sides; the notes and so the choice stay."""
        result = copy.copy(self)
        result.state = self.state.with_statistics(statistics)
        return result

    def moments(self, side: str) -> Moments | None:
        """Moments of a side, None if nothing was fitted there."""
        moments = self.state.statistics[self.names.resolve(side)].moments
        return moments if moments.count else None

    def fitted(self, side: str) -> SideStatistics:
        """Statistics of a side.

        Raises
        ------
        DistnormError
            If nothing was fitted there.
        """
        return self.state.fitted(side)

    def check(self, x: Rows, side: str) -> Any:
        """`distnorm.arrays.CheckedRows` of a side, if these statistics can be used with them."""
        return self.state.check(x, self.names.resolve(side))

    def check_pair(self, first: Rows, second: Rows) -> tuple[Any, Any]:
        """`check` of rows of the first and of the second side, which must fit together."""
        return self.state.check_pair(first, second)

    def correction(self, side: str) -> Correction:
        """Method, parameters and strength that serve queries of ``side``.

        Under ``auto`` the strength is the chosen one times that of the normalization (1 unless
        set; 0 keeps the dot product).
        """
        side = self.names.resolve(side)
        kept, fresh = self._corrections.get(side), auto.resolve(self.state, side, self._choice)
        if kept is not None and kept.same_as(fresh):
            return kept
        self._corrections = {**self._corrections, side: fresh}
        return fresh

    def choose(
        self: Self, *, pairs: tuple[Array, Array] | None = None, **gallery: Array | None
    ) -> Self:
        """Choose now, for method ``auto``; without this call it happens at the first score.

        Parameters
        ----------
        pairs : pair of arrays of one shape, optional
            Labelled pairs of the first and the second side, row by row, at least 20: the choice
            then rests on their cross-validated recall. A hundred say something.
        **gallery
            Items at hand, under each side's name or plural, where they are not the fitted rows.

        Raises
        ------
        DistnormError
            For another method, before fitting, or for samples that cannot be right (see
            `distnorm.select`).
        """
        self.notes = self.notes.chosen(auto.choose(self.state, pairs, gallery))
        return self

    def item_bias(
        self, items: Rows | None = None, modality: str | None = None, **rows: Rows
    ) -> Array:
        """What to subtract from q . y to rank these items for queries of the other side.

        Parameters
        ----------
        items : array, shape (n, d), optional
            With ``modality``, which may be left out where both sides are corrected alike.
        modality : str, optional
            The side of the items.
        **rows
            The items under their side's name or plural instead: ``item_bias(images=X)``.

        Returns
        -------
        array, shape (n,)
            Strength included; float32 for half-precision items, else the items' dtype.

        Raises
        ------
        DistnormError
            If the method has no item bias (transforms, the gated ``qbnorm``) or the other
            side was not fitted.
        """
        if not self.spec.has_item_bias:
            raise DistnormError(
                f"item_bias of {self.method!r}",
                "a method whose score is q.y minus a bias of each item",
                "use ranking(queries, items), or pick dn, dn2, is or nnn",
            )
        side, x = self._one_side("item_bias", items, modality, rows, self.sides[0])
        return self.correction(self.names.other(side)).bias(self.state.check(x, side).rows)

    def shift_queries(
        self, queries: Rows | None = None, modality: str | None = None, **rows: Rows
    ) -> Array:
        """Q - s m: queries for an index of raw vectors; ranks exactly like the full DN.

        Parameters
        ----------
        queries : array, shape (n, d), optional
            With ``modality``, which may be left out where both sides are corrected alike.
        modality : str, optional
            The side of the queries.
        **rows
            The queries under their side's name or plural instead: ``shift_queries(texts=Q)``.

        Returns
        -------
        array, shape (n, d)
            Same library, dtype and device. Do not normalise them again.

        Raises
        ------
        DistnormError
            For methods that are no query shift.
        """
        spec = self.spec
        side, x = self.sides[1], queries
        if spec.chooses or spec.shifts_queries:
            side, x = self._one_side("shift_queries", queries, modality, rows, side)
        correction = self.correction(side)
        if not correction.shifts_queries:
            chosen = f", which chose {correction.method.name!r}" if spec.chooses else ""
            raise DistnormError(
                f"shift_queries of {self.method!r}{chosen}",
                "a linear method (dot, dn, dn*, ridge)",
                "use item_bias and store it beside each item, or re-rank an over-fetched list",
            )
        plain = self.state.check(x, side).rows
        if not correction.strength:
            return plain
        return namespace(plain).astype(correction.shift(plain), plain.dtype)

    def similarity(self, first: Rows, second: Rows, *, query: str | None = None) -> Array:
        """Full two-sided scores of every row of one side with every row of the other.

        Parameters
        ----------
        first, second : array, shape (n, d) and (m, d)
            Rows of the first and of the second side.
        query : str, optional
            Leave out the term that is constant for each query of this side: the score that
            ranks, and the only one that the gated ``qbnorm`` has.

        Returns
        -------
        array, shape (n, m)
        """
        if query is not None:
            side = self.names.resolve(query)
            left, right = self.state.check_pair(first, second)
            if side == self.sides[0]:
                return self.spec.factor * self.ranking(left, right, side).scores()
            return self.spec.factor * self.ranking(right, left, side).scores().T
        left, right, biases = self._two_sided(first, second)
        scores = namespace(left).matmul(left, right.T)
        if biases is not None:
            scores = scores - biases[0][:, None] - biases[1][None, :]
        return self.spec.factor * scores if self.spec.factor != 1 else scores

    def paired_similarity(self, first: Rows, second: Rows) -> Array:
        """Two-sided scores row by row: shapes (n, d), (n, d) give (n,)."""
        left, right = self.state.check_pair(first, second)
        if left.shape[0] != right.shape[0]:
            raise DistnormError(
                f"{left.shape[0]} and {right.shape[0]} rows", "as many on both sides", "pair them"
            )
        one, two, biases = self._two_sided(left, right)
        scores = namespace(one).sum(one * two, axis=1)
        if biases is not None:
            scores = scores - biases[0] - biases[1]
        return self.spec.factor * scores if self.spec.factor != 1 else scores

    def ranking(self, queries: Rows, items: Rows, modality: str = "text") -> Ranking:
        """How to rank ``items`` for ``queries``; ``modality`` is the side of the *queries*.

        Raises
        ------
        DistnormError
            For unusable rows or a side that is needed and was not fitted.
        """
        side = self.names.resolve(modality)
        other = self.names.other(side)
        asked, gallery = self.state.check_pair(queries, items, (side, other))
        own = self.state.statistics[side]
        transductive = self.spec.corrects and own.came_from(asked)
        if self.spec.transforms:
            left, right = (
                self._transformed(asked.rows, side),
                self._transformed(gallery.rows, other),
            )
            return Ranking(left, right, transductive=transductive)
        correction = self.correction(side)
        if not correction.strength:
            return Ranking(asked.rows, gallery.rows, transductive=transductive)
        # A linear method is a shift of the query and just as well a bias of the item; as a bias
        # both directions rank the same product.
        bias, gate = correction.bias(gallery.rows), correction.gate(gallery.rows)
        return Ranking(asked.rows, gallery.rows, bias, gate, transductive)

    def calibrate(self: Self, *, pairs: Any = None, seed: int = 0, **embeddings: Rows) -> Self:
        """Learn what non-matching pairs score, from unlabelled, unpaired rows.

        Parameters
        ----------
        pairs : None, "none", "rows", "best" or int array of shape (m,)
            Which of the rows match: unknown (matches are looked for and left out), none at
            all, row i with row i, each image with its best text (classes), or the image's row
            of each text.
        seed : int
        **embeddings
            Both sides, as in `fit` (``images=``, ``texts=``): at least 5 rows each, 100 for a
            rate of 1 %; best others than those of `fit`.

        Returns
        -------
        self
            With ``notes.calibration``, which `save` keeps and new statistics make void.

        Raises
        ------
        DistnormError
            As `distnorm.calibration.calibrate`.
        """
        from distnorm.calibration.nonmatch import calibrate

        # First, as it may make `auto` choose, which is a note too.
        table = calibrate(self, *self._both_sides(embeddings), pairs=pairs, seed=seed)
        self.notes = replace(self.notes, calibration=table)
        return self

    def false_alarm_rate(self, scores: Array) -> Estimate:
        """Share of non-matching pairs that score higher than each of these two-sided scores.

        Returns
        -------
        Estimate
            ``value``, ``low``, ``high`` (95 %) and ``reliable``, each like ``scores``.

        Raises
        ------
        DistnormError
            Before `calibrate`.
        """
        from distnorm.calibration import reading

        return reading.false_alarm_rate(reading.calibration_of(self), scores)

    def threshold(self, false_alarm_rate: float = 1e-3) -> Estimate:
        """The two-sided score that this share of non-matching pairs exceeds.

        Raises
        ------
        DistnormError
            Before `calibrate`, or for a rate outside [1e-8, 1).
        """
        from distnorm.calibration import reading

        return reading.threshold(reading.calibration_of(self), false_alarm_rate)

    def percentile(self, scores: Array) -> Estimate:
        """Percentage of non-matching pairs that score lower: 99.9 is a false-alarm rate of 1e-3.

        Raises
        ------
        DistnormError
            Before `calibrate`.
        """
        from distnorm.calibration import reading

        return reading.percentile(reading.calibration_of(self), scores)

    def calibrate_probability(
        self: Self,
        *,
        labels: Any = None,
        prior: float | None = None,
        method: str = "isotonic",
        seed: int = 0,
        **embeddings: Rows,
    ) -> Self:
        """Learn P(match) from labelled pairs; see `distnorm.calibration.fit_probability`.

        Returns
        -------
        self
            With ``notes.probability``.

        Raises
        ------
        DistnormError
            For unpaired rows, too few of a kind, or no prior.
        MissingExtraError
            Without scikit-learn (the extra ``calibration``).
        """
        from distnorm.calibration.probability import fit_probability

        first, second = self._both_sides(embeddings)
        table = fit_probability(self, first, second, labels, prior=prior, method=method, seed=seed)
        self.notes = replace(self.notes, probability=table)
        return self

    def probability(self, scores: Array, *, prior: float | None = None) -> Any:
        """P(match) of two-sided scores, at the stated prior or another one.

        Returns
        -------
        ndarray of float64, like ``scores``

        Raises
        ------
        DistnormError
            Before `calibrate_probability`, or for a prior outside (0, 1).
        """
        from distnorm.calibration.probability import match_probability, probability_of

        return match_probability(probability_of(self), scores, prior=prior)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, whole or not at all; see `distnorm.load`."""
        write_state(path, self.state, self.to_dict(), self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Everything that affects ranking, for JSON; ``chosen`` per side under ``auto``."""
        settings = self.state.to_dict()
        if self.spec.chooses and any(self.counts.values()):
            settings["chosen"] = {
                side: {"method": c.method.name, "strength": c.strength, "params": c.params}
                for side, c in ((side, self.correction(side)) for side in self.sides)
            }
        return settings

    def __repr__(self) -> str:
        """One line: method, strengths, counts."""
        strength = ", ".join(f"{side}={value:g}" for side, value in self.strength.items())
        counts = ", ".join(f"{n} {side} rows" for side, n in self.counts.items())
        return f"{type(self).__name__}({self.method!r}, strength: {strength}; fitted on {counts})"

    def _changed(self: Self, state: State) -> Self:
        """Take another state; what was known of the old one is void."""
        self.state, self.notes = state, Notes()
        return self

    def _choice(self) -> dict[str, Any]:
        if self.notes.selection is None:
            self.notes = replace(self.notes, selection=auto.choose(self.state, None, {}))
        selection: dict[str, Any] = self.notes.selection  # type: ignore[assignment]
        return selection

    def _one_side(
        self,
        call: str,
        rows: Rows | None,
        modality: str | None,
        named: Mapping[str, Rows],
        default: str,
    ) -> tuple[str, Rows]:
        """The side of rows that are given by position and ``modality``, or by keyword."""
        example = f"{call}({self.names.plural(default)}=...)"
        if (rows is None) != (len(named) == 1) or (named and modality is not None):
            raise DistnormError(
                f"{call} of {len(named) + (rows is not None)} sets of rows",
                "the rows of one side",
                f"e.g. {example}",
            )
        if rows is None:
            ((name, x),) = named.items()
            return self.names.resolve(name), x
        if modality is None and not self._sides_alike():
            raise DistnormError(
                f"{call} of rows whose side is not named",
                f"a name, as {self.sides[0]} and {self.sides[1]} are corrected differently",
                f"call {example} or pass modality=",
            )
        return self.names.resolve(default if modality is None else modality), rows

    def _sides_alike(self) -> bool:
        """Whether it makes no difference which side's strength and statistics are taken."""
        if not self.spec.corrects or not any(self.strength.values()):
            return True
        one, two = (self.state.statistics[side].moments for side in self.sides)
        same_rows = one.count == two.count and np.array_equal(one.sum, two.sum)
        return len(set(self.strength.values())) == 1 and same_rows

    def _both_sides(self, embeddings: Mapping[str, Rows]) -> tuple[Any, Any]:
        by_side = {self.names.resolve(key): x for key, x in embeddings.items()}
        for side in self.sides:
            if by_side.get(side) is None:
                rows = self.names.plural(side)
                raise DistnormError(f"no {rows}", f"{rows}=", "pass both sides")
        first, second = (by_side[side] for side in self.sides)
        return self.state.check_pair(first, second)

    def _two_sided(
        self, first: Rows, second: Rows
    ) -> tuple[Array, Array, tuple[Array, Array] | None]:
        """Rows to multiply and, where the product is not all, the biases of both."""
        one, two = self.sides
        left, right = (x.rows for x in self.state.check_pair(first, second))
        if not self.spec.two_sided:
            raise DistnormError(
                f"a two-sided score of {self.method!r}",
                "a query side: it gates each query on its own",
                f"use similarity(..., query={two!r}), or method 'is' without the gate",
            )
        if self.spec.transforms:
            return self._transformed(left, one), self._transformed(right, two), None
        of_one, of_two = self.correction(one), self.correction(two)
        if of_one.shifts_queries and of_two.shifts_queries:
            return of_one.shift(left), of_two.shift(right), None
        return as_working(left), as_working(right), (of_two.bias(left), of_one.bias(right))

    def _transformed(self, rows: Array, side: str) -> Array:
        return self.correction(side).transform(rows, self.names.plural(side))
