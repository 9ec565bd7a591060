"""Moments of tensors where they are: as exact as on the host, and as strict."""

from __future__ import annotations

import device_ways
import numpy as np
import pytest

from distnorm.errors import DistnormError
from distnorm.moments import Moments

N, D = 1500, 40


@pytest.fixture(params=device_ways.WAYS)
def torch(request, monkeypatch):
    """Torch, whose tensors count as lying on a device, however few."""
    found = device_ways.as_device(request.param, monkeypatch)
    monkeypatch.setattr("distnorm.moments.sums.LARGEST_EXACT", 0)
    monkeypatch.setattr("distnorm.moments.sums._on_host_without_copy", lambda x: x)
    monkeypatch.setattr("distnorm.device.sums._AT_ONCE", 600)
    monkeypatch.setattr("distnorm.device.sums._PRODUCTS", 128)
    monkeypatch.setattr("distnorm.device.sums._CACHE", 1 << 12)
    return found


def rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, D)) + rng.standard_normal(D)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_sums_are_those_of_float64(torch, dtype):
    given = torch.from_numpy(rows()).to(getattr(torch, dtype))
    found = Moments(order=2).update(given)
    wide = given.double().numpy()
    np.testing.assert_allclose(found.sum, wide.sum(axis=0), rtol=0, atol=1e-6 * N)
    np.testing.assert_allclose(found.second, wide.T @ wide, rtol=0, atol=1e-6 * N)
    np.testing.assert_allclose(found.squares, (wide**2).sum(), rtol=1e-6)
    assert found.count == N
    assert found.unit_length


def test_rows_of_other_strides_and_with_a_gradient(torch):
    wide = rows()
    columns = torch.from_numpy(np.ascontiguousarray(wide.T)).float().T.requires_grad_()
    found = Moments(order=2).update(columns)
    np.testing.assert_allclose(found.sum, wide.sum(axis=0), rtol=0, atol=1e-6 * N)
    every_other = torch.from_numpy(wide).float()[::2]
    found = Moments(order=2).update(every_other)
    np.testing.assert_allclose(found.second, wide[::2].T @ wide[::2], rtol=0, atol=1e-6 * N)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_rows_that_are_no_embeddings_are_named(torch, value):
    given = torch.from_numpy(rows()).half()
    given[1203] = value
    with pytest.raises(DistnormError, match="row 1203"):
        Moments().update(given)


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e8, 1e15])
def test_rows_of_any_length(torch, size):
    wide = rows() * size
    found = Moments(order=1).update(torch.from_numpy(wide))
    np.testing.assert_allclose(found.sum, wide.sum(axis=0), rtol=0, atol=1e-6 * N * size)


def test_memory_that_runs_out_is_said_in_one_line(torch, monkeypatch):
    def none(*args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("distnorm.moments.sums.gram", none)
    with pytest.raises(DistnormError, match="too little memory on the device for sums of rows"):
        Moments(order=2).update(torch.from_numpy(rows()))


@pytest.mark.parametrize("d", [5, 16, 150])
@pytest.mark.parametrize("different", [4000, 700])
def test_the_sketch_is_that_of_the_host(torch, monkeypatch, d, different):
    monkeypatch.setattr("distnorm.moments.sketch._DEVICE_BLOCK", 1000)
    given = np.random.default_rng(0).standard_normal((different, d)).astype(np.float32)
    given = np.tile(given, (-(-4000 // different), 1))
    there, here = (Moments().update(x).sketch for x in (torch.from_numpy(given), given))
    assert np.array_equal(there.hashes, here.hashes)
    assert np.array_equal(there.counts, here.counts)
    assert there.limit == here.limit
    assert np.array_equal(there.points, here.points)
