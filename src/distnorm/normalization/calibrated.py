"""`Calibrated`: what a normalization says about its scores, by way of `distnorm.calibration`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from distnorm.arrays import Array
from distnorm.errors import DistnormError
from distnorm.normalization.state import Fitted

if TYPE_CHECKING:
    from distnorm.calibration.reading import Estimate

__all__ = ["Calibrated"]

Self = TypeVar("Self", bound="Calibrated")


class Calibrated(Fitted):
    """Thresholds, false-alarm rates and probabilities of the two-sided score."""

    def calibrate(self: Self, *, pairs: Any = None, seed: int = 0, **embeddings: Array) -> Self:
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
            With ``notes["calibration"]``, which `save` keeps and new statistics make void.

        Raises
        ------
        DistnormError
            As `distnorm.calibration.calibrate`.
        """
        from distnorm.calibration.nonmatch import calibrate

        first, second = self._both_sides(embeddings)
        # First, as it may make `auto` choose, which is a note too.
        found = calibrate(self, first, second, pairs=pairs, seed=seed)
        self.notes = {**self.notes, "calibration": found}
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
        **embeddings: Array,
    ) -> Self:
        """Learn P(match) from labelled pairs; see `distnorm.calibration.fit_probability`.

        Returns
        -------
        self
            With ``notes["probability"]``.

        Raises
        ------
        DistnormError
            For unpaired rows, too few of a kind, or no prior.
        MissingExtraError
            Without scikit-learn (the extra ``calibration``).
        """
        from distnorm.calibration.probability import fit_probability

        first, second = self._both_sides(embeddings)
        found = fit_probability(self, first, second, labels, prior=prior, method=method, seed=seed)
        self.notes = {**self.notes, "probability": found}
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
        from distnorm.calibration.probability import match_probability
        from distnorm.calibration.reading import check_settings

        found = self.notes.get("probability")
        if found is None:
            raise DistnormError(
                "a normalization without probabilities",
                "labelled pairs",
                "call calibrate_probability(..., prior=) first",
            )
        check_settings(self, found)
        return match_probability(found, scores, prior=prior)

    def _both_sides(self, embeddings: dict[str, Array]) -> tuple[Array, Array]:
        given = {self._names.resolve(key): x for key, x in embeddings.items()}
        for side in self.sides:
            if given.get(side) is None:
                rows = self._names.plural(side)
                raise DistnormError(f"no {rows}", f"{rows}=", "pass both sides")
        first, second = (given[side] for side in self.sides)
        return self._check_pair(first, second)
