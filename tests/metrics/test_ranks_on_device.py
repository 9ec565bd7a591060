"""Ranks of tensors where they are: the same numbers as on the host."""

from __future__ import annotations

import device_ways
import numpy as np
import pytest

import distnorm
from distnorm.comparison import compare_retrieval
from distnorm.metrics.positives import Positives
from distnorm.metrics.ranking import Ranking
from distnorm.metrics.ranks import best_ranks, best_ranks_both_ways, pair_ranks, top_items

N, M, D = 90, 230, 24


@pytest.fixture
def torch(monkeypatch):
    """Torch, whose tensors count as lying on a device; small blocks."""
    found = device_ways.as_device("torch", monkeypatch)
    monkeypatch.setattr("distnorm.exact.device_ranks._SCORES", 3000)
    monkeypatch.setattr("distnorm.exact.device_ranks._NUMBERS", 3000)
    return found


def problem(dtype=np.float32, seed=0):
    """Queries, items and several positives a query, with copies among both."""
    rng = np.random.default_rng(seed)
    queries = rng.standard_normal((N, D))
    owner = np.sort(rng.integers(0, N, M))
    items = queries[owner] + 1.5 * rng.standard_normal((M, D)) + 0.5
    items[40:60] = items[39]
    items[100], items[101] = items[39], items[7]
    queries[30:34] = queries[29]
    queries, items = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, items))
    return queries.astype(dtype), items.astype(dtype), owner


def truths(owner):
    by_item = Positives.of(owner, M, N)
    queries = by_item.transposed().asked
    return by_item.transposed().take(queries), queries


def rankings(torch, queries, items, bias=None, gate=None):
    """The same ranking of arrays and of tensors."""
    tensors = (torch.from_numpy(x) for x in (queries, items))
    return Ranking(queries, items, bias, gate), Ranking(*tensors, bias, gate)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", ["plain", "bias", "gate"])
def test_ranks_are_those_of_the_host(torch, dtype, kind):
    queries, items, owner = problem(dtype)
    truth, asked = truths(owner)
    rng = np.random.default_rng(1)
    bias = None if kind == "plain" else rng.normal(0, 0.1, M)
    if bias is not None:
        bias[40:60] = bias[39]
    gate = rng.random(M) < 0.5 if kind == "gate" else None
    host, here = rankings(torch, queries[asked], items, bias, gate)
    for function in (pair_ranks, best_ranks):
        assert np.array_equal(function(here, truth), function(host, truth))
    assert np.array_equal(top_items(here, 7), top_items(host, 7))


def test_items_of_one_score_but_for_rounding(torch):
    rng = np.random.default_rng(0)
    row = rng.standard_normal(48).astype(np.float32)
    items = np.stack([rng.permutation(row) for _ in range(70)])
    queries = np.full((9, 48), 0.25, dtype=np.float32)
    truth = Positives.of([sorted(rng.choice(70, 3, replace=False)) for _ in range(9)], 9, 70)
    host, here = rankings(torch, queries, items)
    for function in (pair_ranks, best_ranks):
        assert np.array_equal(function(here, truth), function(host, truth))


@pytest.mark.parametrize("scale", [1e-20, 1e-6, 100.0, 1e20])
def test_rows_of_any_length(torch, scale):
    queries, items, owner = problem(np.float64)
    truth, asked = truths(owner)
    host, here = rankings(torch, queries[asked] * scale, items * scale)
    assert np.array_equal(best_ranks(here, truth), best_ranks(host, truth))


@pytest.mark.parametrize("biased", [(False, False), (True, False), (True, True)])
def test_both_directions_of_one_product(torch, biased):
    queries, items, owner = problem()
    keep = np.unique(owner)
    queries, owner = queries[keep], np.searchsorted(keep, owner)
    back = Positives.of(owner, M, len(keep))
    rng = np.random.default_rng(1)
    first = rng.normal(0, 0.1, M) if biased[0] else None
    second = rng.normal(0, 0.1, len(keep)) if biased[1] else None
    found = []
    for wrap in (np.asarray, torch.from_numpy):
        left, right = wrap(queries), wrap(items)
        both = Ranking(left, right, first), Ranking(right, left, second)
        steps = []
        found.append(
            best_ranks_both_ways(
                *both, (back.transposed(), back), progress=lambda *x, steps=steps: steps.append(x)
            )
        )
        assert steps[-1] == (M + len(keep), M + len(keep))
    for host, here in zip(*found, strict=True):
        assert np.array_equal(host, here)


@pytest.mark.parametrize("method", ["dot", "dn", "dn2", "nnn", "is"])
def test_evaluations_are_those_of_the_host(torch, method):
    queries, items, owner = problem()
    extra = problem(seed=5)[:2]
    found = []
    for wrap in (np.asarray, torch.from_numpy):
        images, texts, more = wrap(queries), wrap(items), [wrap(x) for x in extra]
        norm = distnorm.make(method).fit(images=more[0], texts=more[1])
        one = distnorm.evaluate_retrieval(
            norm, images, texts, owner.tolist(), with_r_precision=True, k=(1, 5)
        )
        classes = distnorm.evaluate_classification(norm, texts, images, owner)
        found.append((one.metrics, classes.metrics))
    assert found[0] == found[1]


def test_comparisons_are_those_of_the_host(torch):
    queries, items, owner = problem()
    found = []
    for wrap in (np.asarray, torch.from_numpy):
        several = compare_retrieval(
            wrap(queries), wrap(items), owner, methods=["dn"], repeats=1, diagnostics=False
        )
        found.append(several.to_dict()["results"])
    assert found[0] == found[1]


def test_zero_shot_on_tensors(torch):
    queries, items, owner = problem()
    found = []
    for wrap in (np.asarray, torch.from_numpy):
        classifier = distnorm.ZeroShotClassifier("dn").fit(wrap(queries))
        classifier.partial_fit(wrap(items))
        found.append((classifier.predict(wrap(items)), classifier.score(wrap(items), owner)))
    assert np.array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_memory_that_runs_out_makes_blocks_smaller(torch, monkeypatch):
    from distnorm.exact import device_ranks

    queries, items, owner = problem()
    truth, asked = truths(owner)
    host, here = rankings(torch, queries[asked], items)
    wanted = best_ranks(host, truth)
    true, seen = device_ranks._Job._decide, []

    def sometimes(self, pair, item):
        seen.append(len(pair))
        if len(seen) in (2, 5):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        true(self, pair, item)

    monkeypatch.setattr(device_ranks._Job, "_decide", sometimes)
    assert np.array_equal(best_ranks(here, truth), wanted)
    assert len(seen) > 5
