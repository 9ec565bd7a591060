"""Tables with a column of pictures' paths, of texts, or both: CSV, TSV, Parquet."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from distnorm.embedding.items import Item
from distnorm.errors import DistnormError, require

__all__ = ["TABLES", "empty_text", "table_items"]

TABLES = (".csv", ".tsv", ".parquet")
_PATHS = ("path", "filepath", "file", "image", "image_path", "filename", "file_name")
_TEXTS = ("caption", "text", "title", "sentence")

Row = tuple[int, Any, Any]


def table_items(path: Path, path_column: str | None, text_column: str | None) -> Iterator[Item]:
    """Each row's picture, text or both; paths are relative to the table's folder."""
    folder = os.path.dirname(os.path.abspath(path))
    rows = _parquet if path.suffix.lower() == ".parquet" else _separated
    for line, place, words in rows(path, path_column, text_column):
        text = None if words is _NONE else str(words or "").strip()
        if text == "":
            raise empty_text(str(path), line)
        if place is _NONE:
            yield Item(text or "", None, text)
            continue
        name = str(place or "").strip()
        if not name:
            raise DistnormError(
                f"an empty path in line {line} of {path}", "a picture's path", "drop the line"
            )
        yield Item(name, os.path.join(folder, name), text)


def empty_text(source: str, line: int) -> DistnormError:
    """The error for an empty text."""
    return DistnormError(f"an empty text in line {line} of {source}", "words", "drop the line")


_NONE = object()  # there is no such column


def _separated(path: Path, path_column: str | None, text_column: str | None) -> Iterator[Row]:
    csv.field_size_limit(1 << 24)
    reader = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            head = next(reader, [])
            place, words = _columns(path, head, path_column, text_column)
            for row in reader:
                yield (
                    reader.line_num,
                    _NONE if place is None else _cell(row, place),
                    _NONE if words is None else _cell(row, words),
                )
    except UnicodeDecodeError as error:
        raise DistnormError(f"{path}, which is no text", "UTF-8", "convert it") from error
    except csv.Error as error:
        line = reader.line_num if reader is not None else 1
        raise DistnormError(f"{path}, line {line}: {error}", "a table", "mend the line") from error


def _parquet(path: Path, path_column: str | None, text_column: str | None) -> Iterator[Row]:
    arrow = require("pyarrow", "embed")
    parquet = require("pyarrow.parquet", "embed")
    try:
        with parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            chosen = _columns(path, names, path_column, text_column)
            present = [names[column] for column in chosen if column is not None]
            line = 0
            for batch in file.iter_batches(batch_size=4096, columns=present):
                columns = [
                    [_NONE] * batch.num_rows
                    if column is None
                    else batch.column(names[column]).to_pylist()
                    for column in chosen
                ]
                for place, words in zip(*columns, strict=True):
                    line += 1
                    yield line, place, words
    except (arrow.ArrowInvalid, OSError) as error:
        why = str(error).partition("\n")[0]
        raise DistnormError(f"{path}: {why}", "a Parquet file", "write it again") from error


def _columns(
    path: Path, head: Sequence[str], path_column: str | None, text_column: str | None
) -> tuple[int | None, int | None]:
    places: dict[str, int] = {}
    for number, name in enumerate(head):
        places.setdefault(name.strip().lower(), number)
    columns = []
    for chosen, usual in ((path_column, _PATHS), (text_column, _TEXTS)):
        if chosen is not None and chosen.strip().lower() not in places:
            raise DistnormError(
                f"{path} with columns {', '.join(places) or 'none'}",
                f"a column {chosen!r}",
                "name one that is there",
            )
        names = usual if chosen is None else (chosen.strip().lower(),)
        columns.append(next((places[name] for name in names if name in places), None))
    if columns == [None, None]:
        raise DistnormError(
            f"{path} with columns {', '.join(places) or 'none'}",
            f"one of {', '.join((*_PATHS, *_TEXTS))}",
            "name the columns in the first line, or pass --path-column or --text-column",
        )
    return columns[0], columns[1]


def _cell(row: Sequence[str], column: int) -> str:
    return row[column] if column < len(row) else ""
