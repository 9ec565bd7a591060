"""The one progress bar: a bar with rate and time left, or a line now and then in a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from distnorm.cli.output import console, say
from distnorm.text import plain

__all__ = ["Bar", "progress_bar"]

_EVERY = 30.0  # seconds between two lines
_SPAN = 20  # lines that the rate is taken over


@contextmanager
def progress_bar(what: str, unit: str) -> Iterator[Bar]:
    """Something to call with (done, in all or None); shows it on standard error."""
    out = console()
    if not out.is_terminal:
        yield Bar(_Log(what, unit).show)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}", markup=False),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task(what, total=None, count="")

        def show(name: str | None, done: int, total: int | None) -> None:
            count = _count(done, total, unit, progress.tasks[0].speed or 0)
            words = None if name is None else plain(name)
            progress.update(task, completed=done, total=total, count=count, description=words)

        yield Bar(show, lambda line, style: say(line, style, out))


class Bar:
    """Progress on standard error: called with (done, in all), or `step` with a name too."""

    def __init__(
        self,
        show: Callable[[str | None, int, int | None], None],
        say: Callable[[str, str | None], None] = say,
    ) -> None:
        self._show, self._say = show, say

    def __call__(self, done: int, total: int | None) -> None:
        """So much is done."""
        self._show(None, done, total)

    def step(self, what: str, done: int, total: int) -> None:
        """So much is done, and this is next."""
        self._show(what, done, total)

    def say(self, line: str, style: str | None = None) -> None:
        """A line above the bar, also where there is no bar."""
        self._say(line, style)


class _Log:
    """A line every half minute."""

    def __init__(self, what: str, unit: str) -> None:
        self._what, self._unit = what, unit
        self._past: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], maxlen=_SPAN)

    def show(self, what: str | None, done: int, total: int | None) -> None:
        """So much is done."""
        self._what = what or self._what
        now = time.monotonic()
        if now - self._past[-1][0] < _EVERY:
            return
        since, before = self._past[0]
        self._past.append((now, done))
        rate = (done - before) / (now - since)
        words = f"{self._what}: {_count(done, total, self._unit, rate, digits=1)}"
        if total is not None and rate > 0:
            minutes, seconds = divmod(round((total - done) / rate), 60)
            words += f", {minutes // 60}:{minutes % 60:02}:{seconds:02} left"
        say(words)


def _count(done: int, total: int | None, unit: str, rate: float, digits: int = 0) -> str:
    """``1,200 of 40,000 rows, 210 a second``."""
    of = "" if total is None else f" of {total:,}"
    speed = f", {rate:,.{digits}f} a second" if rate or digits else ""
    return f"{done:,}{of} {unit}".rstrip() + speed
