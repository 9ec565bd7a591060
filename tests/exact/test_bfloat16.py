"""The pass in bfloat16: its bound, its look at bits, and when it is taken."""

import sys

import numpy as np
import pytest

from distnorm.exact import bfloat16 as module
from distnorm.exact import top_k as exact_module
from distnorm.search import topk

torch = pytest.importorskip("torch", reason="bfloat16 is torch's")


def rows(rng, n, d, spread=0.0):
    return np.float32(rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-spread, spread, (n, 1)))


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("spread", [0.0, 6.0])
def test_scores_lie_within_their_bound(rng, spread, biased):
    queries, items = rows(rng, 40, 96, spread), rows(rng, 70, 96, spread)
    bias = rng.standard_normal(70) if biased else None
    engine = module.Bfloat16Engine(queries).another()
    longest, sound = engine.longest(items)
    block, error = engine.block(items, longest, bias)
    part = engine.part(engine.scores(slice(5, 40), block), slice(0, 35))
    row, place, value = engine.values(part, *np.indices(part.shape).reshape(2, -1), None)
    exact = queries.astype(float) @ items.astype(float).T - (bias if biased else 0)
    off = np.abs(value - exact[row + 5, place])
    allowed = error[row + 5] + engine.rounding * np.abs(value)
    assert sound
    assert (off <= allowed).all()
    assert off.max() > 0


def test_bits_are_compared_like_numbers(rng):
    engine = module.Bfloat16Engine(rows(rng, 8, 16))
    block = engine.block(rows(rng, 50, 16), 9.0, None)[0]
    part = engine.part(engine.scores(slice(0, 8), block), slice(0, 8))
    values = engine.values(part, *np.indices(part.shape).reshape(2, -1), None)[2].reshape(8, 50)
    assert (values < 0).any()
    for threshold in (values[:, 3], -values[:, 4], np.zeros(8), np.full(8, -np.inf)):
        found = np.zeros((8, 50), dtype=bool)
        found[engine.above(part, threshold.astype(float))] = True
        reached = values >= threshold[:, None]
        assert found[reached].all()
        # Beyond what reaches it, at most the next smaller number.
        near = np.abs(threshold[:, None]) * 2.0**-7 + 1e-30
        assert (values[found] >= (threshold[:, None] - near + np.zeros(50))[found]).all()
    assert not len(engine.above(part, np.full(8, np.inf))[0])


def test_large_jobs_take_it_where_it_is_faster(monkeypatch):
    monkeypatch.setattr(module, "_faster", lambda: True)
    assert module.bfloat16_pays(1000, 100_000, 512)
    assert not module.bfloat16_pays(100, 100_000_000, 512)
    assert not module.bfloat16_pays(1000, 1000, 512)
    monkeypatch.delitem(sys.modules, "torch")
    assert not module.bfloat16_pays(1000, 100_000, 512)
    assert module.bfloat16_pays(1000, 10_000_000, 512)
    monkeypatch.setattr(module, "_faster", lambda: False)
    assert not module.bfloat16_pays(1000, 10_000_000, 512)


def test_auto_gives_the_same_list(rng, monkeypatch):
    queries, items = rows(rng, 130, 24), rows(rng, 3000, 24)
    items[7] = items[2900]
    wanted = topk(queries, items, 12, precision="float32")
    seen = []

    class Spy(module.Bfloat16Engine):
        def scores(self, *asked):
            seen.append(asked)
            return super().scores(*asked)

    monkeypatch.setattr(exact_module, "Bfloat16Engine", Spy)
    monkeypatch.setattr(exact_module, "bfloat16_pays", lambda *sizes: sizes == (130, 3000, 24))
    for found, one in zip(topk(queries, items, 12), wanted, strict=True):
        np.testing.assert_array_equal(found, one)
    assert seen


def test_where_torch_makes_tensors_elsewhere(rng):
    queries, items = rows(rng, 3, 8), rows(rng, 90, 8)
    wanted = topk(queries, items, 5)
    with torch.device("meta"):
        found = topk(queries, items, 5, precision="bfloat16")
    np.testing.assert_array_equal(found[1], wanted[1])
