"""Tables of pictures, texts, or both: CSV and its kin, Parquet, records of JSON.

A reader gives its fields' names (``head``) and its rows. Which fields are pictures and texts is
decided here, once; so is where the pictures are: in the cells themselves, in the table's folder, or
in the one folder within that has them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from distnorm.embedding.cells import (
    ADDRESSES,
    Picture,
    captions,
    choose,
    is_address,
    names_a_picture,
    picture,
    unknown_columns,
)
from distnorm.embedding.items import Item, Problem
from distnorm.embedding.places import Place, find_place
from distnorm.errors import DistnormError
from distnorm.system.separated import is_number
from distnorm.tasks.foils import foil_field, is_foil_flag

__all__ = ["Reader", "Table", "empty_text", "fetch_first"]

_PEEK = 32
# Words in names of columns that hold captions, and those of columns about captions.
_SPEAKING = re.compile(r"caption|(?<![a-z])(text|sentence|description|comment)s?(?![a-z])", re.I)
_BETWEEN = re.compile(r"(?<=[a-z])(?=[A-Z])|[\W_\d]+")
_ABOUT = re.compile(
    r"(?<![a-z])(ids?|number|n|num|count|length|len|lang|language|score|similarity|path|file|url|"
    r"tokens?|tokenized|false|negative|foil|hard|emb|embeddings?|vectors?|features?|source|model|"
    r"author|date)(?![a-z])", re.I
)  # fmt: skip


class Reader(Protocol):
    """What a file of rows offers."""

    path: Path
    head: tuple[str, ...]
    worded: tuple[int, ...]  # fields that may hold words or names
    kind: str  # as img2dataset calls its format
    strict: bool  # whether an empty cell is an error, not a row that is left out
    holds_bytes: bool  # whether it has pictures themselves, of which some may lack
    beside: bool  # whether its pictures are expected in its folder, else texts alone will do
    aside: tuple[str, ...]  # columns of pictures under names that are not known
    above: bool  # whether pictures may lie in folders next to the file's own

    def rows(self, fields: tuple[int, ...]) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Line number and the cells of some fields of every row."""


def empty_text(source: str, line: int) -> DistnormError:
    """The error for an empty text."""
    return DistnormError(f"an empty text in line {line} of {source}", "words", "drop the line")


def fetch_first(label: str, options: str = "") -> DistnormError:
    """The error for addresses where pictures or sentences belong; ``options`` of img2dataset."""
    return DistnormError(
        f"{label}, a list of addresses: distnorm downloads nothing",
        "pictures in files, or sentences",
        f"fetch them first, such as: img2dataset --url_list {Path(label).name}{options} "
        "--output_folder photos; then embed photos",
    )


@dataclass(frozen=True)
class Table:
    """A reader with its chosen columns (None: no such), where its pictures are, and remarks.

    ``parent`` is a column of the pictures' folders, beside that of their names.
    """

    reader: Reader
    path: int | None
    text: int | None
    place: Place
    notes: tuple[str, ...] = ()
    parent: int | None = None

    @classmethod
    def of(
        cls,
        reader: Reader,
        path_column: str | None = None,
        text_column: str | None = None,
        pictures: str | os.PathLike[str] | None = None,
    ) -> Table:
        """Decide on columns and folder by the first rows; raises for tables of addresses."""
        label = str(reader.path)
        _refuse_foils(reader)
        names = [name.strip().lower() for name in reader.head]
        place, words = choose(label, reader.head, path_column, text_column)
        usual, notes = place is not None, list[str]()
        if path_column is None and place is None:
            place, said = _named_pictures(reader, words)
            notes += said
        if text_column is None and words is None:
            words, said = _speaking_texts(reader, place)
            notes += said
        if place is None and words is None:
            if set(names) & set(ADDRESSES) and not notes:
                column = next(at for at, name in enumerate(names) if name in ADDRESSES)
                raise fetch_first(label, _options(reader, column))
            raise unknown_columns(label, reader.head, notes)
        own = Place(os.path.dirname(os.path.abspath(reader.path)))
        if place is None:
            notes += [
                f"pictures were left out: column {name!r} of {reader.path.name} holds some; name "
                "it with --path-column if it has one in each row"
                for name in reader.aside
            ]
            return cls(reader, None, words, own, (*_addresses_left(reader), *notes))
        parent = None
        if path_column is None and names[place] == "filepath" and "filename" in names:
            parent, place = place, names.index("filename")  # Karpathy's
        table = cls(reader, place, words, own, tuple(notes), parent)
        found = [table.picture(cells, line) for line, cells in islice(table.pictures(), _PEEK)]
        there = [each.name for each in found if each.name and each.content is None]
        if 2 * sum(map(is_address, there)) > len(there):
            if words is None:
                raise fetch_first(label, _options(reader, place))
            return cls(reader, None, words, own, (_left_out(reader, place),))
        paths = [name for name in there if not is_address(name)]
        base = own if pictures is None else Place(os.path.abspath(pictures))
        given = pictures is not None
        at = find_place(paths, base.folder, given=given, above=reader.above) if paths else base
        if at is not None:
            if at.dropped:
                notes.append(at.found_for(reader.path.name))
            return cls(reader, place, words, at, tuple(notes), parent)
        note = (
            f"none of the first pictures of {label} is there, such as "
            f"{os.path.join(base.folder, paths[0])}: --pictures FOLDER says where they are"
        )
        if words is None or (reader.beside and usual) or given:
            return cls(reader, place, words, base, (*notes, note), parent)
        return cls(reader, None, words, own, (*notes, f"pictures were left out: {note}"))

    def pictures(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Line number and cells of every picture."""
        fields = (self.parent, self.path)
        return self.reader.rows(tuple(field for field in fields if field is not None))

    def picture(self, cells: tuple[Any, ...], line: int) -> Picture:
        """The picture of a row's last cells."""
        found = picture(cells[-1], str(self.reader.path), line)
        if self.parent is None or not found.name or not cells[-2]:
            return found
        return Picture(f"{cells[-2]}/{found.name}", found.content)

    @property
    def holds_pictures(self) -> bool:
        """Whether the first picture is in the table itself."""
        if self.path is None:
            return False
        first = next(self.pictures(), None)
        return first is not None and self.picture(first[1], first[0]).content is not None

    def items(self, problems: list[Problem], *, contents: bool = True) -> Iterator[Item]:
        """Each row's picture with each of its texts; without ``contents``, only how many."""
        label = str(self.reader.path)
        place = self.path if contents or not self.holds_pictures else None
        columns = (self.text, None if place is None else self.parent, place)
        fields = tuple(field for field in columns if field is not None)
        # A table of pictures may lack some: those that could not be fetched.
        strict = self.reader.strict and (self.path is None or not self.reader.holds_bytes)
        for line, cells in self.reader.rows(fields):
            texts: list[str | None] = [None]
            if self.text is not None:
                texts = [*captions(cells[0], label, line)]
            found = Picture() if place is None else self.picture(cells, line)
            name = found.name if found.content is None else self._inner_name(line, found)
            if not texts:
                if strict and not isinstance(cells[0], list | tuple):
                    raise empty_text(label, line)
                problems.append((name or f"line {line}", "a row without a text"))
            elif self.path is None:
                for text in texts:
                    yield Item(text or "", None, text)
            elif place is None:
                yield from (Item("", label, text) for text in texts)
            elif not name:
                if strict:
                    raise DistnormError(
                        f"an empty path in line {line} of {label}",
                        "a picture's path",
                        "drop the line",
                    )
                problems.append((f"line {line}", "a row without a picture"))
            elif is_address(name) and found.content is None:
                problems.append((name, "an address: nothing is downloaded"))
            elif found.content is not None:
                for text in texts:
                    yield Item(name, label, text, offset=line, content=found.content)
            else:
                name = self.place.name(name)
                for text in texts:
                    yield Item(name, os.path.join(self.place.folder, name), text)

    def _inner_name(self, line: int, found: Picture) -> str:
        """Names within tables repeat (image.jpg in every row): the row tells them apart."""
        end = os.path.basename(found.name)
        return f"{self.reader.path.name}#{line}" + (f"/{end}" if end else "")


def _refuse_foils(reader: Reader) -> None:
    """Raise for rows that a column of their own calls foils."""
    fields = tuple(at for at, name in enumerate(reader.head) if is_foil_flag(name))
    flags = [reader.head[at] for at in fields]
    for line, cells in reader.rows(fields) if fields else ():
        flag = foil_field(zip(flags, cells, strict=True))
        if flag is not None:
            raise DistnormError(
                f"{reader.path} with foils among its captions, first in line {line} ({flag!r})",
                "true captions",
                f"leave out the rows that {flag!r} marks; to score foils, too, is: distnorm "
                "evaluate captions --captions",
            )


def _addresses_left(reader: Reader) -> tuple[str, ...]:
    columns = [at for at, name in enumerate(reader.head) if name.strip().lower() in ADDRESSES]
    return (_left_out(reader, columns[0]),) if columns else ()


def _left_out(reader: Reader, column: int) -> str:
    name, file = reader.head[column], reader.path.name
    return (
        f"pictures were left out: column {name!r} of {file} holds addresses (url), and distnorm "
        f"downloads nothing; fetch them first, such as: img2dataset --url_list {file}"
        f"{_options(reader, column)} --output_folder photos"
    )


def _options(reader: Reader, column: int) -> str:
    return f" --input_format {reader.kind} --url_col {reader.head[column]}"


def _first_rows(reader: Reader, fields: list[int]) -> dict[int, list[Any]]:
    """Cells of some fields of the first rows, those that are not empty."""
    rows = [cells for _, cells in islice(reader.rows(tuple(fields)), _PEEK)] if fields else []
    return {at: [row[n] for row in rows if row[n]] for n, at in enumerate(fields)}


def _named_pictures(reader: Reader, words: int | None) -> tuple[int | None, list[str]]:
    """The only column whose cells end as pictures' names do, and what is said of it or several."""
    if any(map(names_a_picture, reader.head)):
        return None, []  # a row, not a head
    rows = _first_rows(reader, [at for at in reader.worded if at != words])
    found = [at for at, cells in rows.items() if cells and all(map(_is_picture, cells))]
    return _only(reader, found, "pictures", "--path-column")


def _speaking_texts(reader: Reader, place: int | None) -> tuple[int | None, list[str]]:
    """The only column of words whose name speaks of captions, and what is said of it or several."""
    names = {at: _BETWEEN.sub(" ", reader.head[at]) for at in reader.worded if at != place}
    fields = [at for at, x in names.items() if _SPEAKING.search(x) and not _ABOUT.search(x)]
    rows = _first_rows(reader, fields)
    found = [at for at, cells in rows.items() if cells and all(map(_is_words, cells))]
    if not found and place is not None:
        rows = _first_rows(reader, [at for at in names if at not in fields])
        told = [at for at, cells in rows.items() if cells and all(map(_is_sentence, cells))]
        return None, [
            f"column {reader.head[at]!r} not read: --text-column names it if it holds the captions"
            for at in told[:1]
        ]
    return _only(reader, found, "texts", "--text-column")


def _only(reader: Reader, found: list[int], what: str, option: str) -> tuple[int | None, list[str]]:
    shown = " and ".join(repr(reader.head[at]) for at in found[:2])
    if len(found) > 1:
        return None, [f"{what} were left out: columns {shown} hold some: {option} says which"]
    return (found[0], [f"the {what} are those of column {shown}"]) if found else (None, [])


def _is_picture(cell: Any) -> bool:
    cell = cell[0] if isinstance(cell, list | tuple) else cell
    return isinstance(cell, str) and names_a_picture(cell.strip())


def _is_sentence(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell.split()) > 2 and not cell.startswith(("[", "{"))


def _is_words(cell: Any) -> bool:
    cell = cell[0] if isinstance(cell, list | tuple) else cell
    return isinstance(cell, str) and not (
        is_address(cell) or names_a_picture(cell) or is_number(cell)
    )
