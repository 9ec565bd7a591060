"""The ladder of approximations."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm.comparison.diagnostics import ladder


def test_ladder_is_exact_for_one_query_and_climbs():
    rng = np.random.default_rng(0)
    bank, items = rng.normal(0, 0.1, (400, 6)) + 0.3, rng.normal(0, 1, (200, 6))
    first = ladder(bank[:1], items, 20.0)
    assert [round(r["explained_variance"], 9) for r in first] == [0, 1, 1]
    shares = [r["explained_variance"] for r in ladder(bank, items, 5.0)]
    assert shares[0] == 0 < shares[1] < shares[2] < 1


def test_ladder_on_real_features(real_data):
    folder = real_data / "coco500-clip-vit-b16"
    images, texts = (np.load(folder / f"{side}.npy") for side in ("image", "text"))
    # Items whose partner is not among the queries: unrelated halves.
    correlations = {
        beta: [r["correlation"] for r in ladder(texts[:250], images[250:], beta)]
        for beta in (20.0, 50.0)
    }
    assert correlations[20.0][1:] == pytest.approx([0.86, 0.99], abs=0.04)
    assert correlations[50.0][1:] == pytest.approx([0.57, 0.90], abs=0.12)


def test_figures_do_not_depend_on_how_many_threads_multiply(rng):
    from threadpoolctl import threadpool_limits

    rows = rng.normal(0.3, 1, (2, 600, 256))
    bank, items = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    found = []
    for threads in (1, 2, 4):
        with threadpool_limits(threads):
            found.append(ladder(bank, items, 20.0, 100.0))
    assert found[0] == found[1] == found[2]
