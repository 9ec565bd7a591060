"""Captions of one's own: results as COCO's evaluation takes them, and pairs with a preference.

Results are JSON objects, or rows of a table, with ``image_id`` and ``caption``, or as captioners
call them. Pairs are rows of two captions of one image, one pair per line: columns ``first`` and
``second``, perhaps ``prefers`` (1 or first, else 2, 0, -1 or second; the first if left out, as
original and foil) and ``category``.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.arrays import Bools, Float64, Indices
from distnorm.errors import DistnormError, DistnormWarning
from distnorm.metrics.positives import row_numbers
from distnorm.system.json_rows import json_values
from distnorm.system.lines import text_lines
from distnorm.tasks.captioning import pair_accuracy
from distnorm.tasks.foils import foil_field, is_foil_flag, say_foils_left_out
from distnorm.tasks.tables import Column, table_of

__all__ = ["CaptionPairs", "CaptionTexts", "match_images", "read_caption_pairs", "read_results"]

_IDS = ("image_id", "img_id", "imgid", "image", "file_name", "filename", "image_name", "image_path")
_CAPTIONS = ("caption", "pred_caption", "generated_caption", "prediction", "text")
_FIRST = ("first", "a", "caption1", "original", "positive", "true", "better")
_SECOND = ("second", "b", "caption2", "foil", "negative", "false", "worse")
_PREFERS = ("prefers", "preferred", "label", "winner")
_JSON = (".json", ".jsonl", ".ndjson")
_FEW = 8  # numbers, of which a vector has more
_FORM = "pairs of caption rows: first, second, perhaps prefers and category"
_REMEDY = "write columns called first and second, one pair per line"


@dataclass(frozen=True)
class CaptionTexts:
    """Captions as words, with the id of each one's image."""

    image_ids: list[str]
    captions: list[str]


@dataclass(frozen=True)
class CaptionPairs:
    """Rows of two captions, which of them is preferred, and perhaps a category of each pair."""

    first: Indices
    second: Indices
    prefers_first: Bools
    categories: list[str] | None = None

    def accuracy(self, scores: Float64, owner: Indices | None) -> dict[str, float]:
        """How often the preferred caption scores higher; both are of one image, by ``owner``."""
        if owner is not None and (owner[self.first] != owner[self.second]).any():
            at = int(np.flatnonzero(owner[self.first] != owner[self.second])[0])
            raise DistnormError(
                f"pair {at} of captions of images {owner[self.first[at]]} and "
                f"{owner[self.second[at]]}",
                "two captions of one image",
                "mend --pairs or --image-of-caption",
            )
        first, second = scores[self.first], scores[self.second]
        return pair_accuracy(first, second, self.prefers_first, self.categories)


def read_results(path: str | os.PathLike[str]) -> CaptionTexts | None:
    """Read captions with image ids; None for a file of another kind.

    Results are objects with ``image_id`` and ``caption`` (or ``image``, ``file_name``,
    ``prediction`` ...), in a list, in lines, under ``annotations`` or ``results`` or as a table; or
    an object of ids with their captions. Several captions of one id are as many entries.

    Raises `DistnormError` for such a file in which an entry lacks an id or a caption. Warns of
    captions that the file calls foils.
    """
    entries = _entries(Path(path))
    if entries is None:
        return None
    ids, captions = list[str](), list[str]()
    for row, (image, caption) in enumerate(entries):
        texts = caption if isinstance(caption, list) else [caption]
        if image is None or not all(isinstance(text, str) and text.strip() for text in texts):
            raise DistnormError(
                f"{path} with {json.dumps((image, caption), default=str):.60} in entry {row}",
                "an image_id and a caption",
                "leave such entries out",
            )
        ids += [_id(image)] * len(texts)
        captions += [text.strip() for text in texts]
    return CaptionTexts(ids, captions)


def _entries(path: Path) -> list[tuple[Any, Any]] | None:
    """Image ids with captions; None for a file that has no such."""
    kind = path.suffix.lower()
    if not path.is_file() or kind not in (*_JSON, ".csv", ".tsv", ".txt"):
        return None
    if kind not in _JSON:
        head = set(re.findall(r"\w+", next(text_lines(path), "").lower()))
        if _both(head) is None:
            return None
        table = table_of(path, (*_IDS, *_CAPTIONS))
        columns = table.named(*_IDS), table.named(*_CAPTIONS)
        numbers = sum(column.numbers is not None for column in table.columns)
        if not all(columns) or numbers > _FEW:
            return None  # vectors beside their names
        flags = [column for column in table.columns if is_foil_flag(column.name)]
        cells = zip(*([(flag.name, cell) for cell in flag.cells] for flag in flags), strict=True)
        _say_foils(path, cells)
        return [*zip(columns[0][0].cells, columns[1][0].cells, strict=True)]
    value = json_values(path)
    if isinstance(value, dict):
        lists = [value[name] for name in ("annotations", "results") if name in value]
        if not lists and _both(value) is not None:
            value = [value]
        elif not lists or not isinstance(lists[0], list):
            named = [*value.items()]
            return named if named and all(map(_is_caption, value.values())) else None
        else:
            say_foils_left_out(path, value)
            value = lists[0]
    entries = value if isinstance(value, list) else []
    first = entries[0] if entries and isinstance(entries[0], dict) else {}
    names = _both(first)
    vectors = (x for x in first.values() if isinstance(x, list) and len(x) > _FEW)
    if names is None or any(isinstance(x[0], int | float) for x in vectors):
        return None
    image, caption = names
    _say_foils(path, (x.items() for x in entries if isinstance(x, dict)))
    return [(x.get(image), x.get(caption)) if isinstance(x, dict) else (None, x) for x in entries]


def _say_foils(path: Path, rows: Iterable[Iterable[tuple[str, Any]]]) -> None:
    """Say how many captions the file calls foils: they are scored as all others are."""
    flags = [flag for flag in map(foil_field, rows) if flag is not None]
    if flags:
        words = (
            f"{path}: {len(flags)} of the captions are foils ({flags[0]!r}), scored as all others"
        )
        warnings.warn(words, DistnormWarning, stacklevel=4)


def _both(names: Collection[str]) -> tuple[str, str] | None:
    """The names of an image's id and of a caption among some; None without either."""
    found = [next((name for name in own if name in names), None) for own in (_IDS, _CAPTIONS)]
    return None if None in found else (str(found[0]), str(found[1]))


def _is_caption(value: Any) -> bool:
    """Whether it is a text, or a list of texts."""
    texts = value if isinstance(value, list) else [value]
    return bool(texts) and all(isinstance(text, str) for text in texts)


def match_images(ids: Sequence[str], names: Sequence[str]) -> Indices:
    """The row of each id among names: the only one of this path, name, stem or number (COCO's)."""
    places: dict[str, int] = {}
    shared: dict[str, set[str]] = {}
    for row, name in enumerate(names):
        stem = Path(name).stem
        digits = re.search(r"\d+$", stem)
        for key in {name, Path(name).name, stem, *([_id(int(digits.group()))] if digits else [])}:
            places.setdefault(key, row)
            shared.setdefault(key, set()).add(name)
    rows = []
    for image in ids:
        if image not in places or len(shared[image]) > 1:
            several = image in places
            raise DistnormError(
                f"image_id {image}, which {'several images have' if several else 'no image has'}",
                f"one of the images' names, such as {names[0]!r}",
                "give --image-ids, one id per image row",
            )
        rows.append(places[image])
    return np.array(rows, dtype=np.intp)


def read_caption_pairs(path: str | os.PathLike[str], n_captions: int) -> CaptionPairs:
    """Read pairs of rows of so many captions; raises for another file, row or preference."""
    target = Path(path)
    table = table_of(target, (*_FIRST, *_SECOND, *_PREFERS))
    first, second = table.named(*_FIRST), table.named(*_SECOND)
    if not first and not second and len(table.columns) == 2:
        first, second = [table.columns[0]], [table.columns[1]]
    prefers, category = table.named(*_PREFERS), table.named("category")
    if len(first) != 1 or len(second) != 1 or len(prefers) > 1:
        raise DistnormError(f"{target} with {table.shown()}", _FORM, _REMEDY)
    rows = [_rows(column[0], target, n_captions) for column in (first, second)]
    wins = np.ones(len(table), dtype=bool)
    if prefers:
        wins = np.array([_prefers_first(cell, target) for cell in prefers[0].cells])
    names = [str(cell) for cell in category[0].cells] if category else None
    return CaptionPairs(rows[0], rows[1], wins, names)


def _rows(column: Column, path: Path, n_captions: int) -> Indices:
    rows = None if column.numbers is None else row_numbers(column.numbers)
    if rows is None or rows.min() < 0 or rows.max() >= n_captions:
        raise DistnormError(
            f"{path} with {column.name or 'a column'!r} that holds no caption rows",
            f"{_FORM}, from 0 to {n_captions - 1}",
            _REMEDY,
        )
    return rows


def _prefers_first(cell: Any, path: Path) -> bool:
    word = _id(cell).lower() if cell is not None else ""
    if word not in ("1", "first", "a", "true", "2", "0", "-1", "second", "b", "false"):
        raise DistnormError(
            f"{path} that prefers {cell!r:.40}", "1 or first, else 2, 0, -1 or second", "mend it"
        )
    return word in ("1", "first", "a", "true")


def _id(cell: Any) -> str:
    """An id as it is written, whole floats as whole numbers."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
