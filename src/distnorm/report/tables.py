"""Tables for the terminal that take all words as text, never as rich's markup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

from distnorm.text import plain

__all__ = ["PlainTable", "words"]

_LITTLE = 12
_NARROW = 60  # columns of a terminal


def words(text: str, style: str = "") -> Text:
    """Lines of text, each of which passes `plain`."""
    return Text("\n".join(map(plain, text.split("\n"))), style=style)


class _Words:
    """An attribute of words: strings pass `words`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, table: Any, kind: type | None = None) -> Any:
        return getattr(table, self._name, None)

    def __set__(self, table: Any, value: Any) -> None:
        text = value.plain if isinstance(value, Text) else value
        setattr(table, self._name, None if text is None else words(text))


class PlainTable(Table):
    """A table with its title on the left; title, heads, cells and caption pass `plain`.

    Columns are to the right but those in ``left``. A caption may have several lines: what users
    wrote passes `plain` before it becomes a part of one. No word is broken where the terminal has
    room for the longest of each column, and no head where it has room for those of heads.
    """

    title: Any = _Words()
    caption: Any = _Words()

    def __init__(
        self, title: str, columns: Iterable[str] = (), left: Iterable[str] = (), **options: Any
    ) -> None:
        super().__init__(title=title, title_justify="left", **options)
        to_the_left = set(left)
        for head in columns:
            self.add_column(head, justify="left" if head in to_the_left else "right")

    def add_column(self, header: Any = "", *args: Any, **options: Any) -> None:
        """Add a column; what does not fit goes on in the next line, and nothing is cut off."""
        options.setdefault("overflow", "fold")
        super().add_column(_cell(header), *args, **options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row."""
        super().add_row(*map(_cell, cells), **options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines of the table, in columns that hold whole words if the terminal is wide enough."""
        room = options.max_width - 3 * len(self.columns) - 1
        for column, width in zip(self.columns, _widths(self.columns, room), strict=True):
            column.width = width
        if self.__rich_measure__(console, options).maximum >= min(_NARROW, options.max_width):
            yield from super().__rich_console__(console, options)
            return
        # Rich breaks title and caption at the table's width.
        title, caption = self.title, self.caption
        try:
            self.title = self.caption = None
            parts = [*super().__rich_console__(console, options)]
        finally:
            self.title, self.caption = title, caption
        if title:
            yield words(title.plain, "table.title")
        yield from parts
        if caption:
            yield words(caption.plain, "table.caption")


def _widths(columns: Iterable[Column], room: int) -> list[int | None]:
    """Columns' widths within ``room``; None where rich's own will do, or heads must be broken."""
    texts = [[str(text) for text in (column.header, *column.cells)] for column in columns]
    whole = [max(map(cell_len, each)) for each in texts]
    if sum(whole) <= room:
        return [None] * len(texts)
    for widths in ([_longest_word(each) for each in texts], [_longest_word(x[:1]) for x in texts]):
        rest = room - sum(widths)
        if rest >= 0:
            break
    else:
        return [None] * len(texts)
    # Columns that lack little are made whole, those that lack least first; others share the rest.
    order = sorted(range(len(texts)), key=lambda place: whole[place] - widths[place])
    for number, place in enumerate(order):
        lacking = whole[place] - widths[place]
        share = rest // (len(order) - number)
        more = lacking if lacking <= min(rest, _LITTLE) else min(lacking, share)
        widths[place] += more
        rest -= more
    return [*widths]


def _longest_word(texts: Iterable[str]) -> int:
    return max((cell_len(word) for text in texts for word in text.split()), default=1)


def _cell(cell: Any) -> Any:
    return Text(plain(cell)) if isinstance(cell, str) else cell
