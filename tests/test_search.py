"""Exact top-k against sorting everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import distnorm
from distnorm import DistnormError


@given(st.integers(0, 1000), st.integers(1, 30), st.booleans())
def test_topk_is_a_stable_sort(seed, k, biased):
    rng = np.random.default_rng(seed)
    queries, items = (rng.integers(-2, 3, (n, 4)).astype(np.float32) for n in (5, 20))
    queries[~queries.any(axis=1)] = items[~items.any(axis=1)] = 1
    bias = rng.integers(-1, 2, 20).astype(float) if biased else None
    scores, rows = distnorm.search.topk(queries, items, k, bias)
    full = queries.astype(float) @ items.T - (0 if bias is None else bias)
    order = np.argsort(-full, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_allclose(scores, np.take_along_axis(full, order, axis=1), atol=1e-6)


def test_memory_maps_and_half_precision(tmp_path, rng):
    items = rng.normal(0, 1, (500, 16)).astype(np.float16)
    np.save(tmp_path / "x.npy", items)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    queries = rng.normal(0, 1, (3, 16)).astype(np.float32)
    _, rows = distnorm.search.topk(queries, mapped, 7)
    wanted = np.argsort(-(queries @ items.astype(np.float32).T), axis=1)[:, :7]
    np.testing.assert_array_equal(rows, wanted)


@pytest.mark.parametrize(
    ("k", "bias", "part"),
    [
        (0, None, "k = 0"),
        (True, None, "k = True"),
        (1, np.zeros(3), "bias of shape"),
        (1.5, None, "k"),
    ],
)
def test_what_it_refuses(k, bias, part, rng):
    x = rng.normal(0, 1, (4, 3))
    with pytest.raises(DistnormError, match=part):
        distnorm.search.topk(x, x, k, bias)
