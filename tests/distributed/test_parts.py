"""What a worker of a search does, without Ray: parts, blocks, merging in any order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import distnorm
from distnorm.distributed.parts import (
    Asked,
    Best,
    Wanted,
    ahead_in,
    best_of,
    best_of_block,
    merged,
    parts_of,
)
from distnorm.distributed.sources import Fragment
from distnorm.exact import places
from distnorm.search.bias_file import bias_of


@dataclass(frozen=True)
class _Rows:
    """Rows in memory, read as a fragment is."""

    rows: np.ndarray
    file: Path = Path()

    def read(self, most):
        for start in range(0, len(self.rows), most):
            yield self.rows[start : start + most]


@dataclass(frozen=True)
class _Told:
    """What was shared, without Ray."""

    value: object

    def get(self):
        return self.value


def fragments(rows, edges):
    """Rows cut at some places."""
    cuts = [0, *sorted(edges), len(rows)]
    pairs = [(a, b) for a, b in itertools.pairwise(cuts) if a < b]
    return [
        Fragment(number, f"file {number}", a, b - a, 0, rows.shape[1], _Rows(rows[a:b]))
        for number, (a, b) in enumerate(pairs)
    ]


def searched(rows, edges, asked, step=1, order=None):
    """The best of all parts, merged in some order."""
    found = [best_of(part, _Told(asked)) for part in parts_of(fragments(rows, edges), step)]
    best = Best.none(len(asked.queries))
    for at in order or range(len(found)):
        best = merged([best, found[at]], asked.k)
    return best


def crowd(n=60, d=5, seed=0):
    """Rows with many copies, in rising and falling company."""
    rng = np.random.default_rng(seed)
    few = rng.standard_normal((7, d)).astype(np.float32)
    return few[rng.integers(0, len(few), n)]


@given(st.sets(st.integers(1, 59), max_size=8), st.integers(1, 70), st.randoms())
def test_any_parts_in_any_order_give_the_list_of_one_search(edges, k, random):
    rows, queries = crowd(), np.random.default_rng(3).standard_normal((3, 5)).astype(np.float32)
    scores, places_of = distnorm.topk(queries, rows, k)
    asked = Asked(queries.astype(np.float64), k)
    order = list(range(len(parts_of(fragments(rows, edges)))))
    random.shuffle(order)
    best = searched(rows, edges, asked, order=order)
    np.testing.assert_array_equal(best.rows, places_of)
    np.testing.assert_array_equal(best.scores.astype(np.float32), scores)


@pytest.mark.parametrize("step", [1, 4, 16, 1000])
@pytest.mark.parametrize("edges", [[], [1], [15, 16, 17], [5, 6, 7, 8, 40], [59]])
def test_parts_have_every_row_once_and_begin_at_multiples(edges, step):
    rows = np.arange(60, dtype=np.float32)[:, None] + 1
    parts = parts_of(fragments(rows, edges), step)
    assert [part.first for part in parts] == [0, *np.cumsum([p.rows for p in parts])[:-1]]
    assert sum(part.rows for part in parts) == 60
    assert all(part.first % step == 0 or step == 1 for part in parts)
    for most in (4, 7, 100):
        if step > 1 and step % most:
            continue
        blocks = [block for part in parts for block in part.blocks(most)]
        np.testing.assert_array_equal(np.concatenate([block for _, block, _ in blocks]), rows)
        for first, block, _ in blocks:
            assert block[0, 0] == first + 1
            assert len(block) <= most
            assert step == 1 or first % most == 0


def test_biases_are_those_of_one_search(monkeypatch):
    monkeypatch.setattr("distnorm.distributed.parts.BLOCK", 16)
    monkeypatch.setattr("distnorm.search.bias_file.BLOCK", 16)
    rng = np.random.default_rng(1)
    rows = distnorm.normalize(rng.standard_normal((100, 8)).astype(np.float32))
    rows[70] = rows[3]
    texts = distnorm.normalize(rng.standard_normal((40, 8)).astype(np.float32))
    for method in ("dn2", "nnn", "is"):
        norm = distnorm.make(method).fit(images=rows, texts=texts)
        bias = bias_of(norm, rows, "image")
        expected = distnorm.topk(texts[:4], rows, 9, bias)
        asked = Asked(texts[:4].astype(np.float64), 9, norm, "image")
        best = searched(rows, [1, 2, 30, 71], asked, step=16)
        np.testing.assert_array_equal(best.rows, expected[1])
        np.testing.assert_array_equal(best.scores.astype(np.float32), expected[0])


def test_places_are_those_of_one_list():
    rows, query = crowd(), np.ones(5, dtype=np.float32)
    wanted = np.array([0, 4, 16, 17, 40, 59])
    for counted in (None, np.arange(60) % 3 > 0):
        expected = places(query, rows, wanted, counted)
        told = _Told(Wanted(query, wanted, rows[wanted], counted))
        for edges in ([], [17], [1, 16, 17, 18, 59]):
            ahead = sum(ahead_in(part, told) for part in parts_of(fragments(rows, edges)))
            np.testing.assert_array_equal(ahead + 1, expected)


def test_a_bad_row_is_named_with_its_fragment_and_its_number_in_all():
    rows = crowd()
    rows[44] = np.nan
    with pytest.raises(distnorm.DistnormError, match="NaN in file 1, first in row 44"):
        searched(rows, [40], Asked(np.ones((1, 5)), 3))
    with pytest.raises(distnorm.DistnormError, match="a bias"):
        best_of_block(Asked(np.ones((1, 5)), 3), 0, crowd(), "here", np.full(60, np.nan))


def test_wide_rows_give_wide_scores():
    asked = Asked(np.ones((1, 5)), 3)
    assert not searched(crowd(), [20], asked).wide
    assert searched(crowd().astype(np.float64), [20], asked).wide
    assert Best.none(2).rows.shape == (2, 0)
