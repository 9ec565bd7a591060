"""Biases of tensors from a bank, where they are: as of a full matrix in float64."""

from __future__ import annotations

import device_ways
import numpy as np
import pytest

from distnorm.errors import DistnormError
from distnorm.methods.bank import inverted_softmax_bias, nearest_neighbor_bias
from distnorm.methods.coverage import Bank

N, M, D = 20, 150, 40


@pytest.fixture(params=device_ways.WAYS)
def torch(request, monkeypatch):
    """Torch, whose tensors count as lying on a device."""
    found = device_ways.as_device(request.param, monkeypatch)
    monkeypatch.setattr("distnorm.methods.bank.on_host", lambda x: False)
    return found


@pytest.fixture(params=["float16", "bfloat16", "float32", "float64"])
def problem(request, torch):
    """Items and a bank of one precision, and both in float64."""
    rng = np.random.default_rng(0)
    items, bank = (rng.standard_normal((n, D)) + rng.standard_normal(D) for n in (N, M))
    items, bank = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (items, bank))
    both = [torch.from_numpy(x).to(getattr(torch, request.param)) for x in (items, bank)]
    return *both, *(x.double().numpy() for x in both)


def softmax(items, bank, beta, weights=None):
    weights = np.ones(len(bank)) if weights is None else weights
    exponents = beta * items @ bank.T
    peak = exponents.max(axis=1)
    means = np.exp(exponents - peak[:, None]) @ weights / weights.sum()
    return (peak + np.log(means)) / beta


@pytest.mark.parametrize("beta", [3.0, 40.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_softmax(problem, beta, weighted):
    items, bank, left, right = problem
    weights = np.random.default_rng(1).uniform(0, 3, M) if weighted else None
    if weighted:
        weights[7] = 0
    found = inverted_softmax_bias(items, Bank(bank, weights), beta)
    assert found.dtype == (items.dtype if items.dtype.itemsize > 2 else found.dtype)
    np.testing.assert_allclose(
        found.double().numpy(), softmax(left, right, beta, weights), atol=1e-6
    )


@pytest.mark.parametrize("k", [1, 8, M // 2, M])
def test_nearest(problem, k):
    items, bank, left, right = problem
    found = nearest_neighbor_bias(items, bank, k)
    wanted = np.sort(left @ right.T, axis=1)[:, -k:].mean(axis=1)
    np.testing.assert_allclose(found.double().numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-25, 1e-5, 30.0, 1e5])
def test_rows_of_any_length_and_several_blocks(torch, scale, monkeypatch):
    monkeypatch.setattr("distnorm.device.banks._SCORES", 2000)
    monkeypatch.setattr("distnorm.device.banks._ROWS", 17)
    rng = np.random.default_rng(0)
    items, bank = (rng.standard_normal((n, D)) for n in (N, M))
    left, right = (torch.from_numpy(x.astype(np.float32)) for x in (items * scale, bank / scale))
    found = nearest_neighbor_bias(left, right, 5)
    wanted = np.sort(items @ bank.T, axis=1)[:, -5:].mean(axis=1)
    np.testing.assert_allclose(found.double().numpy(), wanted, atol=2e-5)
    for beta in (0.2, 30.0):  # exponents within float32's range and beyond it
        found = inverted_softmax_bias(left, right, beta)
        np.testing.assert_allclose(found.double().numpy(), softmax(items, bank, beta), atol=2e-5)


def test_memory_that_runs_out(torch, monkeypatch):
    from distnorm.device import banks

    rng = np.random.default_rng(0)
    items, bank = (torch.from_numpy(rng.standard_normal((n, D))).half() for n in (N, M))
    wanted = nearest_neighbor_bias(items, bank, 5)
    true, sizes = banks._pair, []

    def tight(rows, others):
        sizes.append(len(rows.rows))
        if len(rows.rows) > limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return true(rows, others)

    monkeypatch.setattr(banks, "_pair", tight)
    limit = 6
    assert torch.allclose(nearest_neighbor_bias(items, bank, 5), wanted, rtol=1e-5)
    assert sizes[0] == N
    limit = 0
    for function, number in ((nearest_neighbor_bias, 5), (inverted_softmax_bias, 0.1)):
        with pytest.raises(DistnormError, match="too little memory on the device"):
            function(items, bank, number)
