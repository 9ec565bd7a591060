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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from distnorm.embedding.documents import Records
from distnorm.embedding.folders import beside, folder_items, one_by_one, picture_files
from distnorm.embedding.formats import TABLES, check_head, reader_of_text, refuse_known
from distnorm.embedding.items import PICTURES, TARS, Item, Problem, clean, kind_of
from distnorm.embedding.parquet import ParquetTable
from distnorm.embedding.places import Place, find_place
from distnorm.embedding.separated import Separated
from distnorm.embedding.tables import Reader, Table, empty_text
from distnorm.embedding.tars import tar_items
from distnorm.errors import DistnormError
from distnorm.store.column_files import is_lance
from distnorm.store.known import KeySet, key_of
from distnorm.system.files import plain_errors
from distnorm.system.lines import first_lines, text_lines

__all__ = ["Item", "Source", "find_items", "listed", "open_source"]

Listing = Callable[[list[Problem]], Iterator[Item]]

_PEEK = 256  # items that say whether a folder or a tar file has captions
_FOLDER_TABLES = (
    "captions.tsv",
    *(
        f"{stem}.{end}"
        for stem in ("metadata", "captions")
        for end in ("csv", "jsonl", "parquet", "tsv", "txt", "json")
    ),
)
_ALONE: dict[tuple[str, ...], str] = {
    ("image",): "a picture alone",
    ("text",): "a sentence alone",
}


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
        self,
        label: str,
        listing: Listing,
        *,
        complete: bool = True,
        strict: bool = False,
        mixed: bool = False,
        checked: Listing | None = None,
        notes: Sequence[str] = (),
        aside: Sequence[str] = (),
        instead: str = "",
    ) -> None:
        self.label = label
        self.complete = complete
        self.problems: list[Problem] = []
        self._listing, self._checked = listing, checked or listing
        self._mixed, self._notes = mixed, tuple(notes)
        self._left = Counter[str]()
        self.counted: int | None = None
        problems: list[Problem] = []
        kinds = [kind_of(item) for item in islice(listing(problems), _PEEK if mixed else 1)]
        if not kinds:
            why = "; ".join(f"{name}: {reason}" for name, reason in problems[:1])
            raise DistnormError(
                f"{label} without pictures or texts",
                f"files of type {', '.join(PICTURES)}, a table, or lines",
                instead or why or "name another source",
            )
        self.sides = _sides(kinds)
        if "text" not in self.sides:
            self._notes += tuple(aside)
        if strict:
            # Lines and tables are read through first: hours of work do not end at a bad line.
            self.count()

    def __iter__(self) -> Iterator[Item]:
        """Every item; raises for one of another kind than the first, where kinds may not mix."""
        self.problems, self._left = [], Counter()
        return self._items(self._listing, self.problems, self._left)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, as of the last pass, one line for each kind."""
        words = {"image": "pictures beside texts", "text": "captions beside pictures"}
        others = {"image": "most texts have none", "text": "most pictures have none"}
        left = (
            f"{n:,} {words[side]} were left out: {others[side]}" for side, n in self._left.items()
        )
        return (*self._notes, *left)

    def count(self) -> int:
        """How many items there are, by going through them once."""
        if self.counted is None:
            self.counted = sum(1 for _ in self._items(self._checked, [], Counter()))
        return self.counted

    def _items(
        self, listing: Listing, problems: list[Problem], left: Counter[str]
    ) -> Iterator[Item]:
        last: tuple[str | None, int] | None = None
        for item in listing(problems):
            have = kind_of(item)
            if have == self.sides:
                yield item
            elif not self._mixed:
                raise DistnormError(
                    f"{self.label} with {item.name!r}, {_ALONE.get(have, 'a pair')}",
                    f"only {_ALONE.get(self.sides, 'pictures with texts')} as the first item",
                    "split the source",
                )
            elif set(self.sides) - set(have):
                lacking = "picture" if "image" not in have else "text"
                problems.append((item.key or item.name, f"a sample without a {lacking}"))
            elif self.sides == ("text",):
                left["image"] += 1
                yield Item(item.text or "", None, item.text)
            else:
                left["text"] += 1
                if last != (item.path, item.offset):
                    yield replace(item, text=None)
                last = item.path, item.offset


def open_source(
    source: str | os.PathLike[str],
    *,
    path_column: str | None = None,
    text_column: str | None = None,
    pictures: str | os.PathLike[str] | None = None,
) -> Source:
    """A source by its name.

    Parameters
    ----------
    source : path
        - a folder: every picture and tar file below it, with the captions beside them (with a
          table of pictures and texts that is called ``captions`` or ``metadata``, that table);
        - a pattern such as ``photos/**/*.jpg``;
        - ``.csv``, ``.tsv``, ``.parquet``, a Lance data set with a column of paths (``path``,
          ``image`` ...) or pictures, of texts (``caption``, ``text`` ...), or both; JSON lines and
          lists of such records, COCO's captions; paths start at the table's folder, or the folder
          in it that has them;
        - ``.tar``, ``.tar.gz``: WebDataset samples, a picture and its texts under one name;
        - a picture;
        - ``-``: one sentence per line on standard input;
        - any other file: a table by its first line, else one sentence, or one picture's path,
          per line.
    path_column, text_column : str, optional
        The table's columns, where they are called otherwise.
    pictures : path, optional
        The folder that a table's paths start from.

    Raises
    ------
    DistnormError
        For a missing or empty source, one of another form, a list of addresses, or an empty text,
        with its line.
    """
    name = os.fspath(source)
    if name == "-" and pictures is None:
        return _standard_input()
    target = Path(name)
    with plain_errors(name):
        label, is_folder = str(target.resolve()), target.is_dir() and not is_lance(target)
    places = [target / end for end in _FOLDER_TABLES] if is_folder else []
    table = next((p for p in places if p.exists() and (p == places[0] or _has_pairs(p))), None)
    if table is not None:
        target, label = table, str(table.resolve())
    if target.exists() and not _is_itself(target):
        within = str(pictures or name) if is_folder else None
        return _list_or_table(target, label, path_column, text_column, pictures, within)
    if pictures is not None and (target.exists() or name == "-" or glob.has_magic(name)):
        raise DistnormError(
            f"a folder of pictures for {name}", "a table or a list of paths", "leave it out"
        )
    if is_folder:
        listing: Listing = lambda problems: folder_items(label, problems)  # noqa: E731
        return Source(label, listing, mixed=True, **beside(target))
    if target.exists():
        return _itself(target, label)
    if glob.has_magic(name):
        return _pattern(name)
    braces = re.sub(r"\{\w+\.\.\w+\}", "*", name)
    raise DistnormError(
        f"no file or folder {target}",
        "an existing one",
        "check the path" if braces == name else f"braces are not read: write {braces!r} in quotes",
    )


def find_items(source: str | os.PathLike[str]) -> list[Item]:
    """All items of a source at once, for small ones; see `open_source`."""
    return list(open_source(source))


def listed(items: Iterable[Item], label: str = "items") -> Source:
    """A source of items that are at hand."""
    kept: Sequence[Item] = list(items)
    return Source(label, lambda problems: iter(kept))


def _sides(kinds: list[tuple[str, ...]]) -> tuple[str, ...]:
    """What items have, by the first ones: pairs where a quarter of the pictures has texts."""
    counts = Counter(kinds)
    pairs, alone = counts["image", "text"], counts["image",]
    if pairs and 3 * pairs >= alone:
        return "image", "text"
    return max(counts, key=lambda kind: counts[kind])


def _is_itself(target: Path) -> bool:
    """Whether a path holds pictures itself: a folder, a tar file, a picture."""
    folder = target.is_dir() and not is_lance(target)
    return folder or target.name.lower().endswith((*TARS, *PICTURES))


def _itself(target: Path, label: str) -> Source:
    """A tar file or a picture."""
    if target.name.lower().endswith(TARS):
        name = f"{target.name}/"
        return Source(label, lambda problems: tar_items(label, name, problems), mixed=True)
    return Source(label, lambda problems: iter([Item(clean(target.name), label, None)]))


def _list_or_table(
    target: Path,
    label: str,
    path_column: str | None,
    text_column: str | None,
    pictures: str | os.PathLike[str] | None,
    within: str | None,
) -> Source:
    """A file of rows; ``within`` is the folder all of whose pictures it should name."""
    refuse_known(target)
    reader = _reader(target, path_column, text_column)
    if reader is None:
        place = Place(os.path.abspath(target.parent if pictures is None else pictures))
        first = (line.strip() for _, line in first_lines(target, _PEEK, 1 << 20)[0])
        names = [name for name in first if name.lower().endswith(PICTURES)]
        place = find_place(names, place.folder, given=True) or place if names else place
        notes = () if not place.dropped else (place.found_for(target.name),)
        listing: Listing = lambda problems: _lines(target, str(target), place)  # noqa: E731
        return Source(label, listing, strict=True, notes=notes)
    table = Table.of(reader, path_column, text_column, pictures)
    return Source(
        label,
        table.items,
        strict=True,
        checked=lambda problems: table.items(problems, contents=False),
        notes=(*table.notes, *_unnamed(table, within)),
    )


def _unnamed(table: Table, folder: str | None) -> Iterator[str]:
    """How many pictures of a folder its table does not name."""
    if folder is None or table.holds_pictures:
        return
    named = KeySet()
    for item in table.items([], contents=False):
        named.add(key_of(os.path.normpath(item.path or "")))
    left = [p for p in picture_files(os.path.abspath(folder)) if named.add(key_of(p))]
    if left:
        yield (
            f"{len(left):,} pictures of {folder} were left out: {table.reader.path.name} does not "
            f"name them, such as {os.path.relpath(min(left), folder)}"
        )


def _reader(target: Path, path_column: str | None, text_column: str | None) -> Reader | None:
    end = target.suffix.lower()
    if end == ".parquet" or is_lance(target):
        return ParquetTable(target, path_column, text_column)
    if end in (".csv", ".tsv"):
        check_head(target)
        return Separated(target)
    if end in TABLES:
        return Records(target, lines=end != ".json")
    return reader_of_text(target)


def _has_pairs(table: Path) -> bool:
    """Whether a folder's metadata names pictures and their texts."""
    reader = _reader(table, None, None)
    if reader is None:
        return False
    try:
        found = Table.of(reader)
    except DistnormError:
        return False
    return found.path is not None and found.text is not None


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

    tables = [
        x
        for x in sorted(glob.glob(pattern, recursive=True))
        if x.lower().endswith((*TABLES, ".txt"))
    ]
    instead = one_by_one(Path(), tables)
    return Source(os.path.abspath(pattern), listing, mixed=True, instead=instead)


def _standard_input() -> Source:
    # Kept in a file: it is read twice, to check and to embed.
    handle, name = tempfile.mkstemp(prefix="distnorm-", suffix=".txt")
    with os.fdopen(handle, "wb") as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
    try:
        if reader_of_text(Path(name), "standard input") is not None:
            raise DistnormError(
                "a table or JSON on standard input",
                "sentences, one per line",
                "save it to a file with its ending (.csv, .tsv, .jsonl) and name that",
            )
        source = Source(
            "standard input",
            lambda problems: _lines(Path(name), "standard input"),
            complete=False,
            strict=True,
        )
    except DistnormError:
        os.unlink(name)
        raise
    weakref.finalize(source, os.unlink, name)
    return source


def _lines(path: Path, label: str, place: Place | None = None) -> Iterator[Item]:
    """Sentences; with a ``place``, pictures' names, too."""
    for number, line in enumerate(text_lines(path, label), start=1):
        text = line.strip()
        if not text:
            raise empty_text(label, number)
        if place is not None and text.lower().endswith(PICTURES):
            name = place.name(text)
            yield Item(name, os.path.join(place.folder, name), None)
        else:
            yield Item(text, None, text)
