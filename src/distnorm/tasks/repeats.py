"""Rows that are copies of one another: a common layout repeats each image for every caption.

Counted as images of their own, copies are rivals of one another, and a split by row puts one
image's captions on both sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distnorm.arrays import (
    Array,
    CheckedRows,
    Indices,
    NDArray,
    UInt64,
    blocks,
    rows_per_block,
    to_numpy,
)
from distnorm.errors import DistnormError
from distnorm.metrics.positives import row_numbers

__all__ = ["check_row_pairs", "distinct_rows"]


def distinct_rows(x: Array) -> tuple[Indices, Indices]:
    """First occurrence of each distinct row, in order, and which of these each row equals.

    Every row is read once, for a sum of its words by which equal rows are found.
    """
    host = to_numpy(x)
    sums = np.concatenate([_word_sums(host[b]) for b in blocks(len(host), _block(host))])
    _, first, group = np.unique(sums, return_index=True, return_inverse=True)
    group = group.ravel()
    for some in blocks(len(host), _block(host)):
        leaders = first[group[some]]
        copies = leaders != np.arange(some.start, some.stop)
        if copies.any() and not np.array_equal(host[some][copies], host[leaders[copies]]):
            # Other rows with the same sum: as good as impossible.
            _, first, group = np.unique(host, axis=0, return_index=True, return_inverse=True)
            group = group.ravel()
            break
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[group]


def check_row_pairs(images: CheckedRows, image_of_text: Any, names: tuple[str, str]) -> None:
    """Raise for images that are copies of one another where each belongs to the text of its row.

    So do rows of ``image_of_text`` that count distinct images, where the images are repeated.
    """
    n = images.shape[0]
    rows = np.arange(n) if image_of_text is None else row_numbers(image_of_text)
    if rows is None or not len(rows):
        return
    paired = np.array_equal(rows, np.arange(n))
    named = int(rows.max()) + 1
    if not paired and named >= n:
        return
    first, which = distinct_rows(images.rows)
    if len(first) == n or not (paired or len(first) == named):
        return
    if not paired:
        raise DistnormError(
            f"{n} {names[0]} of which {named} are distinct, and rows of {named} for {names[1]}",
            f"rows of these {n}, or each of the {named} once",
            "pass --repeated-images in place of --image-of-text, in Python images, image_of_text "
            "= distnorm.comparison.deduplicate_images(images)",
        )
    copy = int(np.flatnonzero(first[which] != np.arange(n))[0])
    raise DistnormError(
        f"{n} {names[0]} of which {len(first)} are distinct (row {copy} repeats row "
        f"{first[which[copy]]}), paired row by row with {names[1]}",
        "each of them once, as copies would be rivals of one another",
        "pass --repeated-images, in Python images, image_of_text = "
        "distnorm.comparison.deduplicate_images(images)",
    )


def _block(rows: NDArray) -> int:
    return rows_per_block(rows.shape[1], itemsize=8)


def _word_sums(rows: NDArray) -> UInt64:
    """A sum of each row's words of 8 bytes with odd random weights, modulo 2^64."""
    short = -rows.shape[1] * rows.itemsize % 8 // rows.itemsize
    words = np.ascontiguousarray(np.pad(rows, ((0, 0), (0, short))) if short else rows)
    words = words.view(np.uint64)
    weights = np.random.default_rng(0).integers(0, 2**63, words.shape[1], dtype=np.uint64) * 2 + 1
    return np.asarray(np.einsum("ij,j->i", words, weights))
