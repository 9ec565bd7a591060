"""What is to be embedded: folders, globs, lists, tables, tar files, standard input.

A source is gone through lazily and more than once: it never becomes a list in memory.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from distnorm.embedding.folders import folder_items
from distnorm.embedding.items import PICTURES, TARS, Item, Problem, clean, kind_of
from distnorm.embedding.tables import TABLES, empty_text, table_items
from distnorm.embedding.tars import tar_items
from distnorm.errors import DistnormError
from distnorm.system.files import plain_errors
from distnorm.system.lines import text_lines

__all__ = ["Item", "Source", "find_items", "listed", "open_source"]

Listing = Callable[[list[Problem]], Iterator[Item]]


class Source:
    """Items in a fixed order, as often as one asks.

    Attributes
    ----------
    label : str
        Where the items come from, absolute; a store's rows remember it.
    sides : tuple of str
        ("image",), ("text",) or both: what every item has.
    complete : bool
        Whether an item that is missing has been deleted (not so for standard input).
    problems : list of (name, reason)
        What could not be listed, as of the last pass.
    counted : int or None
        How many items there are, once that is known.
    """

    def __init__(
        self, label: str, listing: Listing, *, complete: bool = True, strict: bool = False
    ) -> None:
        self.label = label
        self.complete = complete
        self.problems: list[Problem] = []
        self._listing = listing
        self.counted: int | None = None
        first = next(self._listing([]), None)
        if first is None:
            raise DistnormError(
                f"{label} without pictures or texts",
                f"files of type {', '.join(PICTURES)}, a table, or lines",
                "name another source",
            )
        self.sides = kind_of(first)
        if strict:
            # Lines and tables are read through first: hours of work do not end at a bad line.
            self.count()

    def __iter__(self) -> Iterator[Item]:
        """Every item; raises for one of another kind than the first."""
        self.problems = []
        return self._items(self.problems)

    def count(self) -> int:
        """How many items there are, by going through them once."""
        if self.counted is None:
            self.counted = sum(1 for _ in self._items([]))
        return self.counted

    def _items(self, problems: list[Problem]) -> Iterator[Item]:
        for item in self._listing(problems):
            if kind_of(item) != self.sides:
                words: dict[tuple[str, ...], str] = {
                    ("image",): "a picture alone",
                    ("text",): "a sentence alone",
                }
                raise DistnormError(
                    f"{self.label} with {item.name!r}, {words.get(kind_of(item), 'a pair')}",
                    f"only {words.get(self.sides, 'pictures with texts')} as the first item",
                    "split the source",
                )
            yield item


def open_source(
    source: str | os.PathLike[str],
    *,
    path_column: str | None = None,
    text_column: str | None = None,
) -> Source:
    """A source by its name.

    Parameters
    ----------
    source : path
        - a folder: every picture and tar file below it (with a ``captions.tsv``, that table);
        - a pattern such as ``photos/**/*.jpg``;
        - ``.csv``, ``.tsv``, ``.parquet`` with a column of paths (``path``, ``image`` ...), of
          texts (``caption``, ``text`` ...), or both; paths start at the table's folder;
        - ``.tar``, ``.tar.gz``: WebDataset samples, a picture and a text of one name;
        - a picture;
        - ``-``: one sentence per line on standard input;
        - any other file: one sentence, or one picture's path, per line.
    path_column, text_column : str, optional
        The table's columns, where they are called otherwise.

    Raises
    ------
    DistnormError
        For a missing or empty source, or an empty text, with its line.
    """
    name = os.fspath(source)
    if name == "-":
        return _standard_input()
    target = Path(name)
    with plain_errors(name):
        label, is_folder = str(target.resolve()), target.is_dir()
    if is_folder:
        table = target / "captions.tsv"
        if not table.exists():
            return Source(label, lambda problems: folder_items(label, problems))
        target, label = table, str(table.resolve())
    if target.exists():
        return _file(target, label, path_column, text_column)
    if glob.has_magic(name):
        return _pattern(name)
    raise DistnormError(f"no file or folder {target}", "an existing one", "check the path")


def find_items(source: str | os.PathLike[str]) -> list[Item]:
    """All items of a source at once, for small ones; see `open_source`."""
    return list(open_source(source))


def listed(items: Iterable[Item], label: str = "items") -> Source:
    """A source of items that are at hand."""
    kept: Sequence[Item] = list(items)
    return Source(label, lambda problems: iter(kept))


def _file(
    target: Path, label: str, path_column: str | None = None, text_column: str | None = None
) -> Source:
    end = target.suffix.lower()
    if end in TABLES:
        return Source(
            label, lambda problems: table_items(target, path_column, text_column), strict=True
        )
    if target.name.lower().endswith(TARS):
        return Source(label, lambda problems: tar_items(label, f"{target.name}/", problems))
    if end in PICTURES:
        return Source(label, lambda problems: iter([Item(clean(target.name), label, None)]))
    return Source(label, lambda problems: _lines(target, str(target)), strict=True)


def _pattern(pattern: str) -> Source:
    """Files that a pattern matches; folders among them are searched through."""
    fixed = Path(os.path.abspath(re.split(r"[*?\[]", pattern, maxsplit=1)[0] + "x")).parent

    def listing(problems: list[Problem]) -> Iterator[Item]:
        for match in sorted(glob.glob(pattern, recursive=True)):
            path = os.path.abspath(match)
            name = clean(os.path.relpath(path, fixed))
            low = match.lower()
            if low.endswith(TARS):
                yield from tar_items(path, f"{name}/", problems)
            elif low.endswith(PICTURES):
                yield Item(name, path, None)

    return Source(os.path.abspath(pattern), listing)


def _standard_input() -> Source:
    # Kept in a file: it is read twice, to check and to embed.
    handle, name = tempfile.mkstemp(prefix="distnorm-", suffix=".txt")
    with os.fdopen(handle, "wb") as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
    try:
        source = Source(
            "standard input",
            lambda problems: _lines(Path(name), "standard input", paths=False),
            complete=False,
            strict=True,
        )
    except DistnormError:
        os.unlink(name)
        raise
    weakref.finalize(source, os.unlink, name)
    return source


def _lines(path: Path, label: str, *, paths: bool = True) -> Iterator[Item]:
    folder = os.path.dirname(os.path.abspath(path))
    for number, line in enumerate(text_lines(path, label), start=1):
        text = line.strip()
        if not text:
            raise empty_text(label, number)
        if paths and text.lower().endswith(PICTURES):
            yield Item(text, os.path.join(folder, text), None)
        else:
            yield Item(text, None, text)
