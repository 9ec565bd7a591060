"""Method ``auto``: a normalization that chooses by itself, then is what it chose.

Which method, with which parameters and strength, serves the queries of a side is a question put to
`applied`. For every other method the answer is what the caller asked for; for ``auto`` it is the
choice of `distnorm.selection`, possibly another for each side. Any two biases make a score,

    score(x, y) = x.y - s_Y b_Y(x) - s_X b_X(y)

so item biases, rankings and two-sided scores need to know no more than that. The choice is made
when it is first asked for, from all rows then fitted: rows in any chunks, and shards merged in any
order of sides, lead to the same statistics. It lives in ``notes["selection"]``, is saved with
them, and new rows make it void.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from distnorm.arrays import Array
from distnorm.errors import DistnormError
from distnorm.methods.registry import METHODS, MethodSpec, check_params
from distnorm.normalization.state import Fitted

__all__ = ["Applied", "Automatic"]

Self = TypeVar("Self", bound="Automatic")

# Notes that say what scores mean.
_OF_THE_SCORE = ("calibration", "probability")


class Applied(NamedTuple):
    """What serves the queries of one side."""

    spec: MethodSpec
    params: dict[str, Any]
    strength: float


class Automatic(Fitted):
    """A fitted method, or the choice of one; see `ScoreNormalization` for the parameters."""

    def applied(self, side: str) -> Applied:
        """Method, parameters and strength for queries of ``side``.

        Under ``auto`` the strength is the chosen one times that of the normalization (1 unless
        set; 0 keeps the dot product).
        """
        side = self._names.resolve(side)
        if self.spec.family == "dot":
            return Applied(self.spec, self.params, 0.0)
        if self.spec.family != "auto":
            return Applied(self.spec, self.params, self.strength[side])
        if not self.strength[side]:
            return Applied(METHODS["dot"], {}, 0.0)
        found = self._choice()["sides"][side]
        spec = METHODS[found["method"]]
        return Applied(spec, check_params(spec, {}), self.strength[side] * found["strength"])

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
        found = self._select(pairs, gallery)
        # A new choice is another score: what was read off the old one is void.
        kept = {key: v for key, v in self.notes.items() if key not in _OF_THE_SCORE}
        self.notes = {**kept, "selection": found}
        return self

    @property
    def selection(self) -> Any:
        """The `distnorm.selection.Selection` in force; None for other methods."""
        if self.spec.family != "auto":
            return None
        from distnorm.selection import Selection

        return Selection.from_dict(self._choice())

    def to_dict(self) -> dict[str, Any]:
        """Everything that affects ranking, for JSON; ``chosen`` per side under ``auto``."""
        found = super().to_dict()
        if self.spec.family == "auto" and any(self.counts.values()):
            found["chosen"] = {
                side: {"method": spec.name, "strength": strength, "params": params}
                for side in self.sides
                for spec, params, strength in [self.applied(side)]
            }
        return found

    def _choice(self) -> dict[str, Any]:
        if "selection" not in self.notes:
            self.notes = {**self.notes, "selection": self._select(None, {})}
        found: dict[str, Any] = self.notes["selection"]
        return found

    def _select(
        self, pairs: tuple[Array, Array] | None, gallery: Mapping[str, Array | None]
    ) -> dict[str, Any]:
        """The choice from the fitted rows, as the notes keep it."""
        from distnorm.selection import select

        if self.spec.family != "auto":
            raise DistnormError(
                f"choose of {self.method!r}", "method 'auto'", "use distnorm.make('auto')"
            )
        rows = {
            side: statistics.bank_rows()
            for side, statistics in self._statistics.items()
            if statistics.moments.count
        }
        if not rows:
            raise DistnormError("an unfitted 'auto'", "samples to choose from", "call fit first")
        found = select(
            *(rows.get(side) for side in self.sides),
            gallery={side: x for side, x in gallery.items() if x is not None},
            pairs=pairs,
            shift=bool(self.params["shift"]),
            seed=self.params["seed"],
            sides=self.sides,
            input=self.input,
        )
        chosen = dict(found.sides)
        for side in self.sides:
            if chosen[side].method != "dot" and side not in rows:
                why = f"no {self._names.plural(side)} are fitted: the dot product stays"
                chosen[side] = replace(chosen[side], method="dot", strength=0.0, why=why)
        return replace(found, sides=chosen).to_dict()

    def _called(self, applied: Applied) -> str:
        """The method as messages name it."""
        if self.spec.family != "auto":
            return repr(self.method)
        return f"'auto', which chose {applied.spec.name!r}"
