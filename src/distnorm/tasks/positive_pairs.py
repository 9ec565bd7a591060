"""Which items are relevant to which queries, from files.

Pairs of rows (query, item), one per line of a .csv, .tsv, .txt, .jsonl or .parquet or as a .npy of
shape (p, 2); columns go by their names (query or text, item or image), else query first. A column
of relevances leaves out what is not above 0; TREC's qrels have one. Or a boolean .npy (queries,
items), or JSON: a list of items for each query, ``{"query": [items]}``, or qrels, ``{"query":
{"item": 1}}``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.arrays import Float64, Indices, NDArray
from distnorm.errors import DistnormError
from distnorm.metrics.positives import Positives, row_numbers
from distnorm.system.json_rows import json_values
from distnorm.tasks.files import Meaning, read_values
from distnorm.tasks.tables import Column, Table, table_of

__all__ = ["read_positives"]

_QUERIES = (
    "query", "query_row", "query_id", "query-id", "qid", "text", "text_row", "text_id", "caption",
    "caption_row", "caption_id", "second",
)  # fmt: skip
_ITEMS = (
    "item", "item_row", "item_id", "image", "image_row", "image_id", "doc", "docid", "doc_id",
    "corpus-id", "first",
)  # fmt: skip
_ITERATIONS = {"0", "Q0"}  # the second column of TREC's qrels
_RELEVANCE = ("rel", "relevance", "score", "label", "positive")
_FORM = "pairs of rows: query (text) and item (image), from 0"
_REMEDY = "write two columns called query and item, one pair per line"
_MEANING = Meaning("positives", (), _FORM, _REMEDY)


def read_positives(path: str | os.PathLike[str], n_queries: int, n_items: int) -> Positives:
    """Read the relevant items of the queries; queries and items may be in no pair; or raise."""
    target = Path(path)
    kind = target.suffix.lower()
    if kind in (".npy", ".npz"):
        return _of_array(target, read_values(target, _MEANING), n_queries, n_items)
    if kind == ".json":
        lists = _lists(target, n_queries)
        if lists is not None:
            return Positives.of(lists, n_queries, n_items, partial=True)
    table = table_of(target, (*_QUERIES, *_ITEMS, *_RELEVANCE))
    queries, items, relevance = _columns(table, target)
    rows, columns = (_rows(column, target) for column in (queries, items))
    if relevance is not None:
        kept = np.flatnonzero(_numbers(relevance, target) > 0)
        rows, columns = rows[kept], columns[kept]
    return Positives.of_pairs(rows, columns, n_queries, n_items, partial=True)


def _of_array(path: Path, array: NDArray, n_queries: int, n_items: int) -> Positives:
    pairs = row_numbers(array) if array.ndim == 2 and array.shape[1] == 2 else None
    if array.dtype != bool and pairs is not None and array.shape != (n_queries, n_items):
        return Positives.of_pairs(pairs[:, 0], pairs[:, 1], n_queries, n_items, partial=True)
    if array.shape == (n_queries, n_items) and np.isin(array, (0, 1)).all():
        return Positives.of(array.astype(bool), n_queries, n_items, partial=True)
    raise DistnormError(
        f"{path} of shape {array.shape} and dtype {array.dtype}",
        f"(pairs, 2) rows, or a boolean matrix ({n_queries}, {n_items})",
        "save the pairs of query (text) and item (image) rows",
    )


def _lists(path: Path, n_queries: int) -> Any:
    """JSON by query; None if it is a table of pairs."""
    content = json_values(path)
    if isinstance(content, dict):
        if not all(key.isdecimal() for key in content):
            return None
        return {int(key): _items(path, value) for key, value in content.items()}
    if not isinstance(content, list) or not all(isinstance(entry, list) for entry in content):
        return None
    pairs = all(len(entry) == 2 for entry in content)
    first = [entry[0] for entry in content] if pairs else []
    if pairs and (len(content) != n_queries or first == list(range(n_queries))):
        return None
    if pairs:
        raise DistnormError(
            f"{path} with {n_queries} lists of 2 for {n_queries} queries, pairs or lists of items",
            _FORM,
            'say which: write objects {"query": 0, "item": 7}',
        )
    return content


def _items(path: Path, value: Any) -> Any:
    """The items of one query: a list, one, or those of positive relevance."""
    if not isinstance(value, dict):
        return value
    try:
        return [int(item) for item, relevance in value.items() if float(relevance) > 0]
    except (TypeError, ValueError) as error:
        raise DistnormError(f"{path} with {value!r:.60}", _FORM, _REMEDY) from error


def _columns(table: Table, path: Path) -> tuple[Column, Column, Column | None]:
    query, item, relevance = (table.named(*names) for names in (_QUERIES, _ITEMS, _RELEVANCE))
    if len(query) == 1 and len(item) == 1 and len(relevance) < 2:
        return query[0], item[0], relevance[0] if relevance else None
    columns = list(table.columns)
    if not query and not item and len(columns) == 3 and table.headed and columns[0].is_index:
        columns = columns[1:]  # pandas'
    if not query and not item and len(columns) == 2:
        return columns[0], columns[1], None
    if not table.headed and len(columns) == 4 and set(columns[1].cells) <= _ITERATIONS:
        return columns[0], columns[2], columns[3]
    raise DistnormError(f"{path} with {table.shown()}", _FORM, _REMEDY)


def _numbers(column: Column, path: Path) -> Float64:
    if column.numbers is None or not np.isfinite(column.numbers).all():
        raise DistnormError(f"{path} with a cell that is no number", _FORM, _REMEDY)
    return column.numbers


def _rows(column: Column, path: Path) -> Indices:
    rows = row_numbers(_numbers(column, path))
    if rows is None:
        raise DistnormError(
            f"{path} with numbers that are not whole in {column.name or 'a column'!r}",
            _FORM,
            _REMEDY,
        )
    return rows
