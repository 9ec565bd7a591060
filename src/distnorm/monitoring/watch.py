"""`Watch`: new rows come, and it says when the statistics no longer fit them.

The last ``window`` rows of each side are kept. After 4, 8, 16, ... blocks and from a full window
on after every half of one, their mean is tested against the fitted one (`compare_means`, which
knows that the fitted mean has an error of its own). Streams come in bursts: some pictures of one
thing in a row, an image once per caption. The error of the recent mean is therefore taken from the
means of blocks of ``block`` rows. Look k of a side may alarm at

    p < alpha_k,     alpha_k = alpha / (2 k (k + 1)),     sum over k and both sides = alpha

so the chance that an unchanged stream ever alarms, however long it is watched and however often
it is looked at, is at most about the stated ``false_alarm_rate`` alpha, provided that rows further
apart than a block are independent of each other and fitted rows are, but for repeats: a union
bound, no assumption on how looks depend on each other. What it sees is a changed mean; a change
that leaves the mean alone leaves Distribution Normalization right, too.
"""

from __future__ import annotations

import os
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm import storage
from distnorm.arrays import Array, Float32, checked, to_numpy
from distnorm.calibration.side_check import check_sides
from distnorm.errors import DistnormError
from distnorm.moments import Moments
from distnorm.moments.mean_test import BlockError, MeanTest, compare_means
from distnorm.monitoring.watch_file import check_watch, read_watch
from distnorm.normalization import ScoreNormalization
from distnorm.system.threads import OwnLock

__all__ = ["Look", "Watch"]

_LEAST_WINDOW, _BLOCK, _FIRST_BLOCKS = 16, 16, 4


@dataclass(frozen=True)
class Look:
    """One test of one side."""

    side: str
    rows: int  # of that side, seen so far
    test: MeanTest
    level: float  # the p-value that alarms
    alarm: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "test": self.test.to_dict()}


class Watch:
    """A sequential test of whether new rows still fit a normalization's statistics.

    Parameters
    ----------
    norm : ScoreNormalization
        Fitted on at least 2 rows of each side that is watched.
    false_alarm_rate : float
        Largest chance of ever alarming without a change, over both sides.
    window : int
        Rows of each side that are kept and tested, at least 16.
    block : int, optional
        Longest burst: rows further apart are taken to be independent. 16, or a quarter of the
        window where that is less.

    Attributes
    ----------
    alarm : Look or None
        The first look that alarmed.
    looks : list of Look

    Examples
    --------
    >>> import numpy as np, distnorm
    >>> rng = np.random.default_rng(0)
    >>> draw = lambda shift: distnorm.normalize(rng.normal(1 + shift, 1, (200, 8)))
    >>> watch = Watch(distnorm.make("dn").fit(images=draw(0)), window=100)
    >>> watch.update(images=draw(0)).alarm is None
    True
    >>> watch.update(images=draw(3.0 * (np.arange(8) > 3))).alarm.side
    'image'
    """

    def __init__(
        self,
        norm: ScoreNormalization,
        *,
        false_alarm_rate: float = 0.01,
        window: int = 500,
        block: int | None = None,
    ) -> None:
        if (
            not isinstance(false_alarm_rate, (int, float, np.floating))
            or not 0 < false_alarm_rate < 1
        ):
            raise DistnormError(
                f"false-alarm rate {false_alarm_rate!r}", "between 0 and 1", "e.g. 0.01"
            )
        if (
            isinstance(window, bool)
            or not isinstance(window, (int, np.integer))
            or window < _LEAST_WINDOW
        ):
            raise DistnormError(f"window {window!r}", f"at least {_LEAST_WINDOW}", "e.g. 500")
        largest = window // _FIRST_BLOCKS
        block = min(_BLOCK, largest) if block is None else block
        if (
            isinstance(block, bool)
            or not isinstance(block, (int, np.integer))
            or not 1 <= block <= largest
        ):
            raise DistnormError(
                f"block {block!r}",
                f"1 to {largest}, a quarter of the window",
                "widen the window for longer bursts",
            )
        self.norm = norm
        self.false_alarm_rate = float(false_alarm_rate)
        self.window, self.block = int(window), int(block)
        self.looks: list[Look] = []
        self.alarm: Look | None = None
        self._rows: dict[str, Float32] = {}
        self._seen = dict.fromkeys(norm.sides, 0)
        self._number = dict.fromkeys(norm.sides, 0)
        self._lock = OwnLock()

    def __copy__(self) -> Watch:
        """Another watch from here on, of the same normalization."""
        twin = type(self).__new__(type(self))
        vars(twin).update({name: copy(value) for name, value in vars(self).items()}, norm=self.norm)
        return twin

    @property
    def seen(self) -> dict[str, int]:
        """Rows of each side so far."""
        return dict(self._seen)

    def update(self, **embeddings: Array) -> Watch:
        """Take new rows, all or none, and look where it is time to; from any thread."""
        given = []
        for key, x in embeddings.items():
            side = self.norm.names.resolve(key)
            reference = self.norm.moments(side)
            if reference is None or reference.count < 2:
                raise DistnormError(
                    f"no statistics of the {side} side to watch", "a fit on 2 rows or more", "refit"
                )
            rows = checked(x, self.norm.names.plural(side), dimension=self.norm.dimension)
            check_sides(self.norm, side, rows)
            given.append((side, to_numpy(rows.rows, np.float32)))
        with self._lock:
            for side, new in given:
                self._take(side, new)
        return self

    def _take(self, side: str, new: Float32) -> None:
        while len(new):
            step = self._until_next_look(side)
            part, new = new[:step], new[step:]
            kept = self._rows.get(side, part[:0])
            self._rows[side] = np.concatenate([kept, part])[-self.window :]
            self._seen[side] += len(part)
            if len(part) == step:
                self._look(side)

    def refreshed(self, keep: float = 0.5) -> ScoreNormalization:
        """The normalization with the kept rows added and its own counting for ``keep``."""
        norm = self.norm.with_statistics({}).forget(keep)
        rows = {side: rows for side, rows in self._rows.items() if len(rows)}
        # Beside rows that were given numbers, new ones count as much as these on average.
        usual = {
            side: np.full(len(rows[side]), each.moments.weight / each.moments.count)
            for side, each in norm.statistics.items()
            if each.given and side in rows
        }
        return norm.partial_fit(weights=usual or None, **rows) if rows else norm

    def to_dict(self) -> dict[str, Any]:
        """Where it stands, for JSON."""
        last = {look.side: look.to_dict() for look in self.looks}
        return {
            "false_alarm_rate": self.false_alarm_rate,
            "window": self.window,
            "block": self.block,
            "rows": self.seen,
            "looks": dict(self._number),
            "alarm": None if self.alarm is None else self.alarm.to_dict(),
            "last": last,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state, to go on with `load`; whole or not at all."""
        about = {"watch": 1, **self.to_dict(), "fits": _fingerprint(self.norm)}
        tensors = {side: np.ascontiguousarray(rows) for side, rows in self._rows.items()}
        storage.write(path, about, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str], norm: ScoreNormalization) -> Watch:
        """Go on where `save` left off.

        Raises
        ------
        DistnormError
            For a missing or damaged file, or the state of another normalization.
        """
        name = os.fspath(path)
        about, rows = read_watch(name)
        if about["fits"] != _fingerprint(norm):
            raise DistnormError(
                f"{name}, the state of another normalization",
                "the one that was watched",
                "remove the state file to start anew",
            )
        watch = cls(
            norm,
            false_alarm_rate=about["false_alarm_rate"],
            window=about["window"],
            block=about.get("block"),
        )
        check_watch(name, about, rows, norm)
        return watch.resume(rows, about)

    def resume(self, rows: dict[str, Float32], about: dict[str, Any]) -> Watch:
        """Take rows and what `to_dict` said of them."""
        self._rows, self._seen, self._number = rows, about["rows"], about["looks"]
        self.looks = [_as_look(look) for look in about["last"].values()]
        self.alarm = None if about["alarm"] is None else _as_look(about["alarm"])
        return self

    def _until_next_look(self, side: str) -> int:
        seen, at = self._seen[side], _FIRST_BLOCKS * self.block
        while at <= seen and at < self.window:
            at = min(2 * at, self.window)
        half = self.window // 2
        return at - seen if at > seen else half - (seen - self.window) % half

    def _look(self, side: str) -> None:
        self._number[side] += 1
        k = self._number[side]
        level = self.false_alarm_rate / (2 * k * (k + 1))
        recent = Moments(order=2).update(self._rows[side], side)
        fitted = self.norm.fitted(side)
        covariances = fitted.covariance(), recent.covariance()
        error = BlockError.of(self._rows[side], self.block)
        test = compare_means(fitted.moments, recent, covariances=covariances, of_blocks=error)
        look = Look(side, self._seen[side], test, level, test.p_value < level)
        self.looks.append(look)
        if look.alarm and self.alarm is None:
            self.alarm = look


def _as_look(about: dict[str, Any]) -> Look:
    test = {**about["test"], "counts": tuple(about["test"]["counts"])}
    return Look(**{**about, "test": MeanTest(**test)})


def _fingerprint(norm: ScoreNormalization) -> str:
    """Sums and counts of the statistics, enough to tell one file from another."""
    parts = [norm.method]
    for side in norm.sides:
        moments = norm.moments(side)
        if moments is not None:
            parts.append(f"{side} {moments.count} {float(np.abs(moments.sum).sum()):.9g}")
    return "; ".join(parts)
