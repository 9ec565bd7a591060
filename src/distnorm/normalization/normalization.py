"""`ScoreNormalization`: two item biases, the statistics they rest on, and how to apply them.

With x, y unit rows of the two sides (image and text unless named otherwise), s_X, s_Y the
strengths of the two query sides and b_X, b_Y item biases taken from the statistics of each side:

    score(x, y) = x.y - s_Y b_Y(x) - s_X b_X(y) + constant

For order 1 the constant s_X s_Y mu_X.mu_Y makes this (x - s_X mu_X).(y - s_Y mu_Y), the paper's
formula at 1/2. Ranking items for queries of one side needs that side's statistics only: texts
rank images by x.y - s_text b_text(x). The transforms (``centered``, ``dn-renorm``) change both
vectors instead: cos(x - s_X mu_X, y - s_Y mu_Y). `CheckedRows` are not looked at again.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from distnorm.arrays import Array, namespace
from distnorm.calibration import reading
from distnorm.calibration.nonmatch import calibrate
from distnorm.calibration.probability import fit_probability, match_probability, probability_of
from distnorm.errors import DistnormError
from distnorm.methods.base import Method
from distnorm.methods.sides import Sides
from distnorm.methods.statistics import SideStatistics
from distnorm.metrics.ranking import Ranking
from distnorm.moments import Moments
from distnorm.normalization import auto
from distnorm.normalization.correction import Correction, ranking, two_sided_scores
from distnorm.normalization.current import Current, Known, OfKnown, OfState
from distnorm.normalization.files import write_state
from distnorm.normalization.notes import Notes
from distnorm.normalization.state import Rows, State

if TYPE_CHECKING:
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
    weights : {"even", "density"}, optional
        Each fitted row counts 1, or those of one kind together (`distnorm.moments.weights`), as
        under ``auto``: for logs whose popular queries pass for hubs.
    sketch : bool
        Whether to keep which rows were fitted, as hashes; see docs/method.md.
    prior : {"none", "balance", "shift", "auto"}
        How often classes come, in classification alone; see `distnorm.fit_class_prior`.
    **params
        The method's parameters, see `distnorm.METHODS`.

    Attributes
    ----------
    state : State
        Settings and statistics, replaced whole by whatever changes them; read by what follows.
    notes : Notes
        The choice of ``auto``, the calibration and more; new statistics make them void.
    spec, method : Method, str
        The method and its name.
    names, sides, strength, params, input, model, prompt
        As above; ``strength`` is a dict from query side to float.
    statistics, counts, effective : dict from side
        To `SideStatistics`, to the rows that these rest on, to the sum of their weights.
    dimension : int or None, None before fitting

    Notes
    -----
    Threads may share one object: scores come from the statistics before or after a change, never
    from a mixture, and what adds or takes out rows waits for others that do.

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
        weights: str | None = None,
        sketch: bool = True,
        prior: str = "none",
        **params: Any,
    ) -> None:
        own = (model, prompt, input, params, weights, sketch, prior)
        self.current = Current(State.of(method, strength, sides, *own), Notes())

    def __copy__(self: Self) -> Self:
        """An object of its own with the same statistics, which nothing changes in place."""
        result = object.__new__(type(self))
        vars(result).update(vars(self), current=Current(*self.current.known))
        return result

    state = OfKnown[State]()
    notes = OfKnown[Notes]()
    spec = OfState[Method]()
    method, names = OfState[str](), OfState[Sides]()
    sides = OfState[tuple[str, str]]()
    strength = OfState[dict[str, float]]()
    params = OfState[dict[str, Any]]()
    input = OfState[str]()
    model = OfState[str | None](settable=True)
    prompt = OfState[str | None](settable=True)
    statistics = OfState[dict[str, SideStatistics]]()
    counts = OfState[dict[str, int]]()
    settings = OfState[dict[str, Any]]()
    weights, weighting, prior = OfState[str](), OfState[str](), OfState[str]()
    effective = OfState[dict[str, float]]()
    dimension = OfState[int | None]()

    @property
    def selection(self) -> Selection | None:
        """The `distnorm.selection.Selection` in force; None for other methods."""
        if not self.spec.chooses:
            return None
        from distnorm.selection import Selection

        return Selection.from_dict(self.current.choice(self.current.known))

    def fit(self: Self, *, weights: Any = None, **embeddings: Rows | None) -> Self:
        """Forget everything and take statistics of unlabelled, unpaired rows.

        Parameters
        ----------
        weights : {"even", "density"}, array of shape (n,), or mapping from side, optional
            How much rows count, on any scale: how often queries were asked; 0 leaves a row out.
        **embeddings
            Under each side's name or plural (``images=``): array, shape (n, d), or None.
        """
        # Whoever scores meanwhile has the old statistics until the new ones are complete.
        state = self.state.emptied().weighted(weights).with_rows(embeddings, weights)
        return self._changed(lambda _: state)

    def partial_fit(self: Self, *, weights: Any = None, **embeddings: Rows | None) -> Self:
        """Add rows to the statistics; any chunking gives the same result as one `fit`.

        By density, methods without a bank (``dn``, ``dn2``) weigh rows within each call.
        """
        return self._changed(lambda state: state.weighted(weights).with_rows(embeddings, weights))

    def remove(self: Self, **embeddings: Rows | None) -> Self:
        """Take fitted rows out; not all, none that were not fitted, none at low rank."""
        return self._changed(lambda state: state.without_rows(embeddings))

    def forget(self: Self, keep: float) -> Self:
        """Let what was fitted so far count for a share ``keep``, in (0, 1], of its rows.

        Means and covariances stay until new rows come (`partial_fit`); a bank loses its oldest.
        """
        return self._changed(lambda state: state.decayed(keep))

    def merge(self: Self, other: ScoreNormalization) -> Self:
        """Statistics of both as a new object; the order does not matter, settings must agree."""
        result = copy.copy(self)
        result.current.change(lambda state: state.merged(other.state))
        result.notes = result.notes.void(other.notes)
        return result

    def clone(self: Self) -> Self:
        """The same settings without statistics."""
        result = copy.copy(self)
        result.current = Current(self.state.emptied(), Notes())
        return result

    def with_statistics(self: Self, statistics: Mapping[str, SideStatistics]) -> Self:
        """A copy with other statistics of some sides; the notes and so the choice stay."""
        result = copy.copy(self)
        result.current = Current(result.state.with_statistics(statistics), result.notes)
        return result

    def moments(self, side: str) -> Moments | None:
        """Moments of a side, None if nothing was fitted there."""
        moments = self.statistics[self.names.resolve(side)].moments
        return moments if moments.count else None

    def fitted(self, side: str) -> SideStatistics:
        """Statistics of a side, or an error that says what to fit."""
        return self.state.fitted(side)

    def check(self, x: Rows, side: str) -> Any:
        """`distnorm.arrays.CheckedRows` of a side, if these statistics can be used with them."""
        return self.state.check(x, self.names.resolve(side))

    def check_pair(self, first: Rows, second: Rows) -> tuple[Any, Any]:
        """`check` of rows of the first and of the second side, which must fit together."""
        return self.state.check_pair(first, second)

    def correction(self, side: str) -> Correction:
        """Method, parameters and strength that serve queries of ``side``."""
        return self.current.correction(self.names.resolve(side), self.current.known)

    def choose(
        self: Self, *, pairs: tuple[Array, Array] | None = None, **gallery: Array | None
    ) -> Self:
        """Choose now, under ``auto``, and not at the first score; see `distnorm.select`."""
        state = self.state
        self.current.add(state, selection=auto.choose(state, pairs, gallery), **auto.READ_OFF)
        return self

    def item_bias(
        self, items: Rows | None = None, /, modality: str | None = None, **rows: Rows
    ) -> Array:
        """What to subtract from q . y to rank these items for queries of the other side.

        Parameters
        ----------
        items, modality : array, shape (n, d), and the name of their side, optional
            The name may be left out where both sides are corrected alike.
        **rows
            The items under their side's name or plural instead: ``item_bias(images=X)``.

        Returns
        -------
        array, shape (n,)
            Strength included; float32 for half-precision items, else the items' dtype.
        """
        if not self.spec.has_item_bias:
            raise DistnormError(
                f"item_bias of {self.method!r}",
                "a method whose score is q.y minus a bias of each item",
                "use ranking(queries, items), or pick dn, dn2, is or nnn",
            )
        known = self.current.known
        side, x = known.state.one_side("item_bias", items, modality, rows, self.sides[0])
        correction = self.current.correction(self.names.other(side), known)
        return correction.bias(known.state.check(x, side).rows)

    def shift_queries(
        self, queries: Rows | None = None, /, modality: str | None = None, **rows: Rows
    ) -> Array:
        """Q - s m: queries for an index of raw vectors; ranks exactly like the full DN.

        Parameters
        ----------
        queries, modality : array, shape (n, d), and the name of their side, optional
            The name may be left out where both sides are corrected alike.
        **rows
            The queries under their side's name or plural instead: ``shift_queries(texts=Q)``.

        Returns
        -------
        array, shape (n, d)
            Same library, dtype and device. Do not normalise them again.
        """
        known = self.current.known
        spec, side, x = self.spec, self.sides[1], queries
        if spec.chooses or spec.shifts_queries:
            side, x = known.state.one_side("shift_queries", queries, modality, rows, side)
        correction = self.current.correction(side, known)
        correction.require_shift()
        plain = known.state.check(x, side).rows
        if correction.strength:
            return namespace(plain).astype(correction.shift(plain), plain.dtype)
        return plain

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
        known = self.current.known
        left, right = known.state.check_pair(first, second)
        if query is not None:
            side = self.names.resolve(query)
            if side == self.sides[0]:
                return self.spec.factor * self._ranking(left, right, side, known).scores()
            return self.spec.factor * self._ranking(right, left, side, known).scores().T
        one, two = (self.current.correction(side, known) for side in self.sides)
        return two_sided_scores(one, two, left.rows, right.rows)

    def paired_similarity(self, first: Rows, second: Rows) -> Array:
        """Two-sided scores row by row: shapes (n, d), (n, d) give (n,)."""
        known = self.current.known
        left, right = known.state.check_pair(first, second)
        one, two = (self.current.correction(side, known) for side in self.sides)
        return two_sided_scores(one, two, left.rows, right.rows, paired=True)

    def ranking(self, queries: Rows, items: Rows, modality: str = "text") -> Ranking:
        """How to rank ``items`` for ``queries``; ``modality`` is the side of the *queries*."""
        return self._ranking(queries, items, self.names.resolve(modality), self.current.known)

    def _ranking(self, queries: Rows, items: Rows, side: str, known: Known) -> Ranking:
        other = self.names.other(side)
        asked, gallery = known.state.check_pair(queries, items, (side, other))
        correction, of_items = (self.current.correction(s, known) for s in (side, other))
        return ranking(correction, of_items, asked, gallery)

    def calibrate(
        self: Self, *, pairs: Any = None, seed: int = 0, names: Any = None, **embeddings: Rows
    ) -> Self:
        """Learn what non-matching pairs score, from unlabelled, unpaired rows of both sides.

        They come as in `fit` (``images=``, ``texts=``), best others than those; see
        `distnorm.calibration.calibrate` for the rest. `save` keeps what new statistics make void.
        """
        now, how = copy.copy(self), {"pairs": pairs, "seed": seed, "names": names}
        table = calibrate(now, *now.state.both_sides(embeddings), **how)
        # What `auto` chose on the way is what was calibrated.
        self.current.add(now.state, selection=now.notes.selection, calibration=table)
        return self

    def false_alarm_rate(self, scores: Array) -> reading.Estimate:
        """Share of non-matching pairs that score higher than each two-sided score; calibrated."""
        return reading.false_alarm_rate(reading.calibration_of(self), scores)

    def threshold(self, false_alarm_rate: float = 1e-3) -> reading.Estimate:
        """The two-sided score that this share of non-matching pairs exceeds; calibrated."""
        return reading.threshold(reading.calibration_of(self), false_alarm_rate)

    def percentile(self, scores: Array) -> reading.Estimate:
        """Percentage of non-matching pairs that score lower: 99.9 is a false-alarm rate of 1e-3."""
        return reading.percentile(reading.calibration_of(self), scores)

    def calibrate_probability(
        self: Self,
        *,
        labels: Any = None,
        prior: float | None = None,
        method: str = "isotonic",
        seed: int = 0,
        names: Any = None,
        **embeddings: Rows,
    ) -> Self:
        """Learn P(match) from labelled pairs; see `distnorm.calibration.fit_probability`."""
        now, how = copy.copy(self), {"method": method, "seed": seed, "names": names}
        first, second = now.state.both_sides(embeddings)
        table = fit_probability(now, first, second, labels, prior=prior, **how)
        self.current.add(now.state, selection=now.notes.selection, probability=table)
        return self

    def probability(self, scores: Array, *, prior: float | None = None) -> Any:
        """P(match) of two-sided scores, at the stated prior or another one, in float64."""
        return match_probability(probability_of(self), scores, prior=prior)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, whole or not at all; see `distnorm.load`."""
        now = copy.copy(self)
        settings = now.to_dict()  # `auto` has chosen by then, which is a note
        write_state(path, now.state, settings, now.notes)

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
        strength = auto.strength_text(*self.current.known)
        counts = ", ".join(f"{n} {side} rows" for side, n in self.counts.items())
        return f"{type(self).__name__}({self.method!r}, strength: {strength}; fitted on {counts})"

    def _changed(self: Self, make: Callable[[State], State]) -> Self:
        self.current.change(make)
        return self
