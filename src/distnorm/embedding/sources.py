"""What is to be embedded: folders of pictures, lists of paths, tables, sentences."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distnorm.errors import DistnormError

__all__ = ["PICTURES", "Item", "find_items"]

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_PATHS = ("path", "filepath", "file", "image", "image_path", "filename")
_TEXTS = ("caption", "text", "title", "sentence")


@dataclass(frozen=True)
class Item:
    """A picture, a text, or both; ``name`` is what results call it."""

    name: str
    path: Path | None
    text: str | None


def find_items(source: str | os.PathLike[str]) -> list[Item]:
    """List what a source holds, in a fixed order.

    Parameters
    ----------
    source : path
        A folder (searched through; with a ``captions.tsv``, that table); a ``.csv`` or ``.tsv``
        with a column of paths (``path``, ``file``, ``image`` ...), of texts (``caption``,
        ``text`` ...), or both; any other file: one sentence a line, or one picture's path a line.

    Raises
    ------
    DistnormError
        For a missing or empty source, or an empty text, with its line.
    """
    target = Path(source)
    if not target.exists():
        raise DistnormError(f"no file or folder {target}", "an existing one", "check the path")
    if target.is_dir():
        table = target / "captions.tsv"
        items = list(_table(table)) if table.exists() else list(_folder(target))
    elif target.suffix.lower() in (".csv", ".tsv"):
        items = list(_table(target))
    elif target.suffix.lower() in PICTURES:
        items = [Item(target.name, target, None)]
    else:
        items = list(_lines(target))
    if not items:
        raise DistnormError(
            f"{target} without pictures or texts",
            f"files of type {', '.join(PICTURES)}, a table, or lines",
            "name another source",
        )
    return items


def _folder(folder: Path) -> Iterator[Item]:
    """Pictures below a folder, sorted; links to folders are not followed."""
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(root) / name
            if path.suffix.lower() in PICTURES and not name.startswith("."):
                yield Item(path.relative_to(folder).as_posix(), path, None)


def _table(path: Path) -> Iterator[Item]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        columns = {name.strip().lower(): name for name in reader.fieldnames or []}
        place = next((columns[name] for name in _PATHS if name in columns), None)
        words = next((columns[name] for name in _TEXTS if name in columns), None)
        if place is None and words is None:
            raise DistnormError(
                f"{path} with columns {', '.join(columns) or 'none'}",
                f"one of {', '.join((*_PATHS, *_TEXTS))}",
                "name the columns in the first line",
            )
        for row in reader:
            text = None if words is None else (row[words] or "").strip()
            if text == "":
                raise _empty(path, reader.line_num)
            name = str(text) if place is None else (row[place] or "").strip()
            yield Item(name, None if place is None else path.parent / name, text)


def _lines(path: Path) -> Iterator[Item]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DistnormError(f"{path}, which is no text", "UTF-8 lines", "convert it") from error
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            raise _empty(path, number)
        if Path(text).suffix.lower() in PICTURES:
            yield Item(text, path.parent / text, None)
        else:
            yield Item(text, None, text)


def _empty(path: Path, line: int) -> DistnormError:
    return DistnormError(f"an empty text in line {line} of {path}", "words", "drop the line")
