"""Progress of long work: a bar with rate and time left, or a line now and then in a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from distnorm.cli.output import console

__all__ = ["long_work"]

_EVERY = 30.0  # seconds between two lines
_SPAN = 20  # lines that the rate is taken over


@contextmanager
def long_work(what: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Something to call with (done, in all or None); shows it on standard error."""
    out = console()
    if not out.is_terminal:
        lines = _Lines(what, unit)
        yield lines
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        _Count(unit),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Count(ProgressColumn):
    """``1,200 of 40,000 rows, 210 a second``."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """One task's count."""
        of = "" if task.total is None else f" of {int(task.total):,}"
        speed = "" if not task.speed else f", {task.speed:,.0f} a second"
        return Text(f"{int(task.completed):,}{of} {self._unit}{speed}")


class _Lines:
    """The same for a log file, now and then."""

    def __init__(self, what: str, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._unit, self._clock = what, unit, clock
        self._past: deque[tuple[float, int]] = deque([(clock(), 0)], maxlen=_SPAN)

    def __call__(self, done: int, total: int | None) -> None:
        """So much is done."""
        now = self._clock()
        if now - self._past[-1][0] < _EVERY:
            return
        since, before = self._past[0]
        self._past.append((now, done))
        rate = (done - before) / (now - since)
        words = f"{self._what}: {done:,}"
        if total is not None:
            words += f" of {total:,}"
        words += f" {self._unit}, {rate:,.1f} a second"
        if total is not None and rate > 0:
            minutes, seconds = divmod(round((total - done) / rate), 60)
            words += f", {minutes // 60}:{minutes % 60:02}:{seconds:02} left"
        console().print(words, highlight=False, soft_wrap=True)
