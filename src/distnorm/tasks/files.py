"""What tasks read beside vectors: labels, judgements, rows, pairs, and lines of text.

Numbers come from a .npy or .npz, or from one column of a table (`distnorm.tasks.tables`): the one
that is called so, else the only one of numbers, besides one that numbers the rows. Where several
columns might be meant, none is taken.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distnorm.arrays import Float64, Indices, NDArray
from distnorm.errors import DistnormError
from distnorm.metrics.positives import row_numbers
from distnorm.system.files import ARRAY_ERRORS, missing_file
from distnorm.system.separated import is_number, point
from distnorm.tasks.caption_files import match_images
from distnorm.tasks.tables import Column, Table, table_of

__all__ = [
    "IMAGE_ROWS",
    "JUDGEMENTS",
    "LABELS",
    "MATCHES",
    "WEIGHTS",
    "Meaning",
    "by_picture",
    "check_count",
    "read_lines",
    "read_numbers",
    "read_rows",
    "read_values",
]


@dataclass(frozen=True)
class Meaning:
    """What a file's values mean: their name, their columns' names, and what errors advise."""

    what: str
    columns: tuple[tuple[str, ...], ...]  # tiers: two of one leave open which is meant
    expected: str
    remedy: str
    words: bool = False  # whether names count as values


LABELS = Meaning(
    "labels",
    (
        (
            "label",
            "labels",
            "class_id",
            "classid",
            "class_index",
            "label_id",
            "class_idx",
            "class_row",
        ),
        ("target", "targets", "y", "class", "category", "fine_label"),
        ("synset", "wnid", "class_name", "label_name"),
    ),
    "one class number per image, from 0",
    "give the class row of each image (of one-hot rows or probabilities: argmax(axis=1))",
    words=True,
)
JUDGEMENTS = Meaning(
    "judgements",
    (
        ("human", "human_score", "human_scores", "judgement", "judgment", "judgements"),
        ("rating", "ratings", "mos", "mean_rating"),
        ("score", "scores", "mean", "average"),
    ),
    "one number per caption",
    "keep one column, or call the one that is meant 'score' (of several raters: their mean)",
)
IMAGE_ROWS = Meaning(
    "image rows",
    (
        ("image_row", "image_index", "image_of_text", "image_of_caption", "image_of_reference"),
        ("image", "image_id", "row"),
    ),
    "the image row of each text, from 0",
    "give one whole number per text; several images per text go into --positives",
)
MATCHES = Meaning(
    "labels",
    (("label", "labels", "match", "is_match"), ("y", "target")),
    "0 or 1 per row",
    "write 1 where the rows of a pair match, else 0",
)
WEIGHTS = Meaning(
    "weights",
    (
        ("weight", "weights", "count", "counts", "frequency", "freq"),
        ("times", "times_asked", "n", "hits", "searches"),
    ),
    "one number per row of the input, from 0 on",
    "keep one column, or call the one that is meant 'weight'",
)
TEXTS = Meaning(
    "texts",
    (("caption", "text", "captions", "texts"), ("sentence", "reference", "title", "name")),
    "one text per line",
    "keep one column, or call the one that is meant 'caption'",
    words=True,
)


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Read texts, stripped of spaces around them; every line must hold one, in one column."""
    target = Path(path)
    table = table_of(target, _names(TEXTS))
    column = _named(table, TEXTS, target)
    if column is None:
        texts = [c for c in table.columns if c.words is not None and not c.is_index]
        if len(texts) != 1 and len(table.columns) != 1:
            raise _open_choice(table, target, TEXTS)
        column = texts[0] if texts else table.columns[0]
    empty = next((row for row, cell in enumerate(column.cells) if cell is None), None)
    if empty is not None:
        raise DistnormError(f"{target} with an empty text in row {empty}", "words", "drop the row")
    return [str(cell) for cell in column.cells]


def read_values(path: str | os.PathLike[str], meaning: Meaning) -> NDArray:
    """Read an array as it is, or a table's column: float64 without NaN, or words.

    Of any shape from a .npy or .npz; (n,) from a table, (n, c) from one of several numbers per row
    where labels are meant and every row holds a single 1. Raises `DistnormError` for a missing or
    unreadable file, an empty cell, or a choice of columns.
    """
    target = Path(path)
    if _is_array(target):
        return _array(target, meaning)
    table = table_of(target, _names(meaning))
    column = _named(table, meaning, target) or _only(table, meaning, target)
    if isinstance(column, np.ndarray):
        return column
    values = column.numbers
    if values is None and not meaning.words:
        values = _truths(column)
    if values is None:
        words = column.words if meaning.words else None
        if words is None:
            shown = next((c for c in column.cells if _odd(c)), None)
            comma = isinstance(shown, str) and is_number(point(shown))
            hint = "; a decimal comma is written as a point" if comma else ""
            raise DistnormError(
                f"{target} with {shown!r:.60}", meaning.expected, meaning.remedy + hint
            )
        return np.array(words)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DistnormError(
            f"{target} with {meaning.what} that are no finite number, first in row {row}",
            meaning.expected,
            "fill the cell, or drop the row and what it stands for",
        )
    return values


def read_numbers(path: str | os.PathLike[str], meaning: Meaning = JUDGEMENTS) -> Float64:
    """Read a vector of finite numbers; raises for another file, or values that are none."""
    found = _flat(read_values(path, meaning))
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "biuf":
        raise DistnormError(
            f"{path} with {meaning.what} of shape {found.shape} and dtype {found.dtype}",
            meaning.expected,
            meaning.remedy,
        )
    values = found.astype(np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DistnormError(
            f"{path} with {values[row]} in row {row}", "finite numbers", "drop the row"
        )
    return values


def read_rows(path: str | os.PathLike[str], meaning: Meaning = IMAGE_ROWS) -> Indices:
    """Read a vector of whole numbers, such as the row that each row belongs to; or raise."""
    numbers = read_numbers(path, meaning)
    rows = row_numbers(numbers)
    if rows is None:
        whole = (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
        row = int(np.flatnonzero(~whole)[0])
        raise DistnormError(
            f"{path} with {numbers[row]} in row {row}",
            f"whole numbers: {meaning.expected}",
            meaning.remedy,
        )
    return rows


def check_count(
    values: NDArray, n: int, path: str | os.PathLike[str], meaning: Meaning, per: str
) -> None:
    """Raise unless there is a value for each of the n rows of ``per``."""
    count = values.shape[0] if values.ndim else 0
    if count == n:
        return
    remedy = meaning.remedy
    numeric = values.ndim == 1 and values.dtype.kind in "iuf"
    if count == n + 1 and numeric and values[0] == 0 and Path(path).suffix.lower() not in _ARRAYS:
        remedy = "if the first line is pandas' head, drop it: to_csv(..., header=False)"
    raise DistnormError(f"{path} with {count} {meaning.what}", f"{n}, one per row of {per}", remedy)


def by_picture(values: NDArray, path: str | os.PathLike[str], names: Sequence[str]) -> NDArray:
    """Values of a table in the order of the pictures ``names``, where it has a column of these.

    Raises
    ------
    DistnormError
        For a table of some of the pictures and of others, or of one twice.
    """
    target = Path(path)
    if _is_array(target):
        return values
    known = [Path(name).name for name in names]
    columns = table_of(target, _names(LABELS)).columns
    own = next((list(map(str, c.cells)) for c in columns if c.names_pictures), [])
    found = [Path(cell).name for cell in own]
    if found == known or not set(found) & set(known):
        return values
    remedy = (
        "give one row for each picture of the store, or leave the pictures' names out if the rows "
        "are in the store's order"
    )
    try:
        rows = match_images(own, names)
    except DistnormError as error:
        raise DistnormError(f"{target} with {error.got}", error.expected, remedy) from error
    if len(np.unique(rows)) != len(rows):
        raise DistnormError(f"{target} with a picture in two rows", "each once", remedy)
    ordered = np.empty_like(values)
    ordered[rows] = values
    return ordered


_ARRAYS = (".npy", ".npz")


def _is_array(path: Path) -> bool:
    """Whether NumPy wrote a file, by its name, or by its first bytes where it has no ending."""
    if path.suffix or not path.is_file():
        return path.suffix.lower() in _ARRAYS
    with path.open("rb") as file:
        return file.read(6) == b"\x93NUMPY"


def _array(path: Path, meaning: Meaning) -> NDArray:
    if not path.exists():
        raise missing_file(path)
    try:
        # Opened here: NumPy leaves a file open that turns out not to be an archive.
        with path.open("rb") as raw:
            found = np.load(raw, allow_pickle=False)
            if not isinstance(found, np.ndarray):
                found = found[_array_name(list(found.files), path, meaning)]
    except DistnormError:
        raise
    except ARRAY_ERRORS as error:
        raise DistnormError(
            f"{path}, which cannot be read",
            f"{meaning.expected}, in a whole file",
            "write it again with numpy.save, as numbers or texts and not as objects",
        ) from error
    values: NDArray = np.asarray(found)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    named = meaning.words and meaning is not LABELS
    if values.dtype.kind == "U" and values.size and not named:
        values = values.astype(np.float64) if all(map(is_number, values.flat)) else values
    one_row = values.ndim == 2 and len(values) == 1 and bool(meaning.columns)
    return values[0] if one_row else values


def _array_name(names: list[str], path: Path, meaning: Meaning) -> str:
    """Which array of several is meant: the only one, or the one of such a name."""
    if len(names) == 1:
        return names[0]
    for tier in meaning.columns:
        own = [name for name in names if name.lower() in tier]
        if len(own) == 1:
            return own[0]
        if own:
            break
    sparse = {"indptr", "shape"} <= set(names)
    raise DistnormError(
        f"{path} with {', '.join(map(repr, names[:8])) or 'no arrays'}",
        f"{meaning.what} alone",
        f"numpy.save('x.npy', scipy.sparse.load_npz({str(path)!r}).toarray())"
        if sparse
        else "save them with numpy.save",
    )


def _flat(values: NDArray) -> NDArray:
    """(n, 1) as (n,)."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _names(meaning: Meaning) -> list[str]:
    return [name for tier in meaning.columns for name in tier]


def _named(table: Table, meaning: Meaning, path: Path) -> Column | None:
    """The column of one of the names; numbers before words."""
    words: list[Column] = []
    for tier in meaning.columns:
        found = table.named(*tier)
        numbers = [column for column in found if column.numbers is not None]
        if len(numbers) > 1:
            raise _open_choice(table, path, meaning)
        if numbers and meaning is not TEXTS:
            return numbers[0]
        words += found
    if len(words) > 1 and words[0].cells != words[1].cells:
        raise _open_choice(table, path, meaning)
    return words[0] if words else None


def _only(table: Table, meaning: Meaning, path: Path) -> Column | Float64:
    """The only column that can be meant, or a one-hot matrix of labels."""
    columns = list(table.columns)
    if len(table) == 1 and len(columns) > 2 and not table.headed:
        raise DistnormError(
            f"{path} with one line of {len(columns)} values", meaning.expected, "write one per line"
        )
    if len(columns) > 1 and columns[0].is_index:
        columns = columns[1:]
    if len(columns) == 1:
        return columns[0]
    numbers = [column.numbers for column in columns if column.numbers is not None]
    if meaning is LABELS and len(numbers) == len(columns):
        matrix = np.stack(numbers, axis=1)
        if np.isin(matrix, (0, 1)).all() and (matrix.sum(axis=1) == 1).all():
            return matrix
    if len(numbers) == 1:
        return next(column for column in columns if column.numbers is not None)
    texts = [column for column in columns if column.words is not None]
    if meaning.words and not numbers and len(texts) == 1:
        return texts[0]
    raise _open_choice(table, path, meaning)


def _open_choice(table: Table, path: Path, meaning: Meaning) -> DistnormError:
    comma = not table.headed and path.suffix.lower() in (".csv", ".txt")
    words = "; a decimal comma is written as a point" if comma else ""
    return DistnormError(
        f"{path} with {table.shown()}", f"{meaning.expected}, in one column", meaning.remedy + words
    )


def _truths(column: Column) -> Float64 | None:
    """1 and 0 of True and False, as pandas writes them; None for other words."""
    words = [str(cell).lower() for cell in column.cells]
    known = {"true": 1.0, "false": 0.0}
    return np.array([known[word] for word in words]) if set(words) <= set(known) else None


def _odd(cell: object) -> bool:
    return not (isinstance(cell, (bool, int, float)) or (isinstance(cell, str) and is_number(cell)))
