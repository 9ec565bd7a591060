"""Tables of pictures, texts, or both: CSV and its kin, Parquet, records of JSON.

A reader gives its fields' names (``head``) and its rows. Which fields are pictures and texts is
decided here, once; so is where the pictures are: in the cells themselves, in the table's folder, or
in the one folder within that has them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from distnorm.embedding.cells import (
    ADDRESSES,
    PATHS,
    TEXTS,
    Picture,
    captions,
    choose,
    is_address,
    picture,
)
from distnorm.embedding.items import Item, Problem
from distnorm.errors import DistnormError

__all__ = ["Reader", "Table", "empty_text", "fetch_first", "subfolders"]

_PEEK = 32
_MANY = 1000  # folders that are looked through for pictures


class Reader(Protocol):
    """What a file of rows offers."""

    path: Path
    head: tuple[str, ...]
    kind: str  # as img2dataset calls its format
    strict: bool  # whether an empty cell is an error, not a row that is left out
    beside: bool  # whether its pictures are expected in its folder, else texts alone will do
    aside: tuple[str, ...]  # columns of pictures under names that are not known
    above: bool  # whether pictures may lie in folders next to the file's own

    def rows(self, fields: tuple[int, ...]) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Line number and the cells of some fields of every row."""


def empty_text(source: str, line: int) -> DistnormError:
    """The error for an empty text."""
    return DistnormError(f"an empty text in line {line} of {source}", "words", "drop the line")


def fetch_first(label: str) -> DistnormError:
    """The error for addresses where pictures or sentences belong."""
    return DistnormError(
        f"{label}, a list of addresses: distnorm downloads nothing",
        "pictures in files, or sentences",
        f"fetch them first, such as: img2dataset --url_list {Path(label).name} "
        "--output_folder photos; then embed photos",
    )


@dataclass(frozen=True)
class Table:
    """A reader with its chosen columns (None: no such), where its pictures are, and remarks."""

    reader: Reader
    path: int | None
    text: int | None
    folder: str
    notes: tuple[str, ...] = ()

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
        names = {name.strip().lower() for name in reader.head}
        unnamed = path_column is None and text_column is None
        if unnamed and names & set(ADDRESSES) and not names & {*PATHS, *TEXTS}:
            raise fetch_first(label)
        place, words = choose(label, reader.head, path_column, text_column)
        folder = os.path.dirname(os.path.abspath(reader.path))
        if place is None:
            notes = [
                f"pictures were left out: column {name!r} of {reader.path.name} holds some; name "
                "it with --path-column if it has one in each row"
                for name in reader.aside
            ]
            return cls(reader, None, words, folder, (*_addresses_left(reader), *notes))
        cells = [picture(row[0], label, line) for line, row in islice(reader.rows((place,)), _PEEK)]
        names_there = [cell.name for cell in cells if cell.name and cell.content is None]
        if 2 * sum(map(is_address, names_there)) > len(names_there):
            if words is None:
                raise fetch_first(label)
            return cls(reader, None, words, folder, (_left_out(reader, place),))
        paths = [name for name in names_there if not is_address(name)]
        if pictures is not None:
            return cls(reader, place, words, os.path.abspath(pictures))
        base = _folder_of(paths, folder, reader.above) if paths else folder
        if base is not None:
            return cls(reader, place, words, base)
        note = (
            f"none of the first pictures of {label} is there, such as "
            f"{os.path.join(folder, paths[0])}: --pictures FOLDER says where they are"
        )
        if words is None or reader.beside:
            return cls(reader, place, words, folder, (note,))
        return cls(reader, None, words, folder, (f"pictures were left out: {note}",))

    @property
    def holds_pictures(self) -> bool:
        """Whether the first picture is in the table itself."""
        if self.path is None:
            return False
        first = next(self.reader.rows((self.path,)), None)
        label = str(self.reader.path)
        return first is not None and picture(first[1][0], label, first[0]).content is not None

    def items(self, problems: list[Problem], *, contents: bool = True) -> Iterator[Item]:
        """Each row's picture with each of its texts; without ``contents``, only how many."""
        label = str(self.reader.path)
        place = self.path if contents or not self.holds_pictures else None
        fields = tuple(field for field in (self.text, place) if field is not None)
        for line, cells in self.reader.rows(fields):
            texts: list[str | None] = [None]
            if self.text is not None:
                texts = [*captions(cells[0], label, line)]
            found = Picture() if place is None else picture(cells[-1], label, line)
            name = found.name if found.content is None else self._inner_name(line, found)
            if not texts:
                if self.reader.strict and not isinstance(cells[0], list | tuple):
                    raise empty_text(label, line)
                problems.append((name or f"line {line}", "a row without a text"))
            elif self.path is None:
                for text in texts:
                    yield Item(text or "", None, text)
            elif place is None:
                yield from (Item("", label, text) for text in texts)
            elif not name:
                if self.reader.strict:
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
                for text in texts:
                    yield Item(name, os.path.join(self.folder, name), text)

    def _inner_name(self, line: int, found: Picture) -> str:
        """Names within tables repeat (image.jpg in every row): the row tells them apart."""
        end = os.path.basename(found.name)
        return f"{self.reader.path.name}#{line}" + (f"/{end}" if end else "")


def _addresses_left(reader: Reader) -> tuple[str, ...]:
    columns = [at for at, name in enumerate(reader.head) if name.strip().lower() in ADDRESSES]
    return (_left_out(reader, columns[0]),) if columns else ()


def _left_out(reader: Reader, column: int) -> str:
    name, file = reader.head[column], reader.path.name
    return (
        f"pictures were left out: column {name!r} of {file} holds addresses (url), and distnorm "
        f"downloads nothing; fetch them first, such as: img2dataset --url_list {file} "
        f"--input_format {reader.kind} --url_col {name} --output_folder photos"
    )


def _folder_of(names: list[str], folder: str, above: bool) -> str | None:
    """The folder that the first pictures' names start from, None if there is none."""

    def has_any(place: str) -> bool:
        return any(os.path.exists(os.path.join(place, name)) for name in names)

    if has_any(folder):
        return folder
    for parent in (folder, os.path.dirname(folder))[: 2 if above else 1]:
        places = [place for place in subfolders(parent) if has_any(place)]
        if len(places) > 1:
            raise DistnormError(
                f"pictures such as {names[0]} in {places[0]} and in {places[1]}",
                "one folder that has them",
                "say which with --pictures FOLDER",
            )
        if places:
            return places[0]
    return None


def subfolders(folder: str) -> list[str]:
    """The folders right in one, at most a thousand."""
    try:
        with os.scandir(folder) as entries:
            found = (entry.path for entry in entries if entry.is_dir())
            return sorted(islice(found, _MANY))
    except OSError:
        return []
