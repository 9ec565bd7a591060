"""Top-k of tensors where they are: the same lists as on the host, whatever the input."""

from __future__ import annotations

import device_ways
import numpy as np
import pytest

from distnorm.errors import DistnormError
from distnorm.exact import Gallery, topk


@pytest.fixture(params=device_ways.WAYS)
def torch(request, monkeypatch):
    """Torch, whose tensors count as lying on a device."""
    return device_ways.as_device(request.param, monkeypatch)


@pytest.fixture
def plain(monkeypatch):
    """The same without kernels."""
    return device_ways.as_device("torch", monkeypatch)


def unit_rows(n, d, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) + 0.9 * np.random.default_rng(99).standard_normal(d)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def on_host(queries, items, k, bias=None):
    """Lists in float64, from a full matrix: the highest first, of equal ones the lowest index."""
    left, right = (np.asarray(x.double()) for x in (queries, items))
    scores = np.einsum("id,jd->ij", left, right) - (0 if bias is None else bias)
    order = np.lexsort((np.broadcast_to(np.arange(len(right)), scores.shape), -scores))[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


def check(queries, items, k, bias=None, **options):
    scores, places = topk(queries, items, k, bias, **options)
    wanted, order = on_host(queries, items, k, bias)
    assert np.array_equal(np.asarray(places), order)
    np.testing.assert_allclose(np.asarray(scores), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("biased", [False, True])
def test_every_precision_gives_the_list_of_float64(torch, dtype, biased):
    kind = getattr(torch, dtype)
    queries, items = (
        torch.from_numpy(unit_rows(n, 40, seed)).to(kind) for n, seed in ((19, 0), (301, 1))
    )
    bias = np.random.default_rng(3).normal(0, 0.3, 301) if biased else None
    check(queries, items, 10, bias)


@pytest.mark.parametrize("n", [1, 17])
@pytest.mark.parametrize("m", [1, 3, 63, 64, 65, 130])
def test_tiles_that_items_queries_and_dimensions_do_not_fill(torch, n, m):
    queries, items = (
        torch.from_numpy(unit_rows(rows, d, rows)).half() for rows, d in ((n, 33), (m, 33))
    )
    for k in {1, m}:
        check(queries, items, k)


def test_k_near_and_above_the_number_of_items(torch):
    queries = torch.from_numpy(unit_rows(18, 16, 0)).half()
    items = torch.from_numpy(unit_rows(70, 16, 1)).half()
    for k in (69, 70):
        check(queries, items, k)
    assert topk(queries, items, 1000)[1].shape == (18, 70)


def test_copies_and_galleries_in_order_of_their_scores(torch):
    queries = torch.from_numpy(unit_rows(20, 24, 0)).half()
    items = unit_rows(200, 24, 1)
    items = items[np.argsort(items @ unit_rows(20, 24, 0)[0])]
    items[50:90], items[150] = items[7], items[8]
    check(queries, torch.from_numpy(items).half(), 12)
    check(queries, torch.from_numpy(np.repeat(items[:3], 70, axis=0)).half(), 5)


def test_items_of_one_score_come_in_the_order_of_their_rows(torch):
    # Permuted entries and a query of equal ones: sums that only rounding tells apart.
    rng = np.random.default_rng(0)
    row = rng.standard_normal(48).astype(np.float32)
    items = np.stack([rng.permutation(row) for _ in range(90)])
    queries = np.full((17, 48), 0.25, dtype=np.float32)
    got = topk(torch.from_numpy(queries), torch.from_numpy(items), 20)[1]
    wanted = topk(queries, items, 20, precision="float32")[1]
    assert np.array_equal(np.asarray(got), wanted)


@pytest.mark.parametrize("scale", [1e-6, 12.0, 300.0, 1e6])
def test_rows_of_any_length(torch, scale):
    rng = np.random.default_rng(0)
    queries, items = unit_rows(18, 24, 0), unit_rows(150, 24, 1)
    queries *= scale * rng.uniform(0.5, 2, (18, 1))
    items *= scale * rng.uniform(0.5, 2, (150, 1))
    left, right = (torch.from_numpy(x.astype(np.float32)) for x in (queries, items))
    for bias in (None, rng.normal(0, 0.1, 150) * scale**2, rng.normal(0, 1e7, 150) * scale**2):
        scores, places = topk(left, right, 7, bias)
        wanted, order = on_host(left, right, 7, bias)
        assert np.array_equal(np.asarray(places), order)
        np.testing.assert_allclose(np.asarray(scores) / scale**2, wanted / scale**2, rtol=1e-5)


def test_one_row_that_is_far_longer_than_all_others(plain):
    queries, items = unit_rows(18, 24, 0), unit_rows(150, 24, 1)
    queries[3] *= 1e9
    items[77] *= 1e9
    check(*(plain.from_numpy(x) for x in (queries, items)), 6)


def test_rows_whose_squares_leave_float32(plain):
    queries, items = (unit_rows(n, 24, n).astype(np.float32) for n in (18, 150))
    items[5] *= np.float32(1e25)
    check(*(plain.from_numpy(x) for x in (queries, items)), 6)


def test_items_nearer_to_each_other_than_any_bound(plain, monkeypatch):
    rng = np.random.default_rng(0)
    base = unit_rows(1, 32, 0)
    items = base + 1e-9 * rng.standard_normal((400, 32))
    check(plain.from_numpy(unit_rows(20, 32, 1)), plain.from_numpy(items), 9)
    # Too many groups to score: the next precision, then the host.
    monkeypatch.setattr("distnorm.exact.on_device._MOST_GROUPS", 2)
    check(plain.from_numpy(unit_rows(20, 32, 1)), plain.from_numpy(items), 3)


def test_more_stretches_than_one_and_more_blocks_of_queries(plain, monkeypatch):
    monkeypatch.setattr("distnorm.device.operations._KEPT", 2048)
    monkeypatch.setattr("distnorm.exact.on_device._MAXIMA", 256)
    queries, items = (plain.from_numpy(unit_rows(n, 20, n)).half() for n in (33, 700))
    check(queries, items, 10, np.random.default_rng(3).normal(0, 0.1, 700))


def test_a_device_that_adds_up_wrongly_is_not_believed(plain, monkeypatch):
    from distnorm.device import operations
    from distnorm.exact import on_device

    true = operations.group_maxima

    def off(*args, **kwargs):
        found = true(*args, **kwargs)
        found.values[:, ::2] -= 0.2
        return found

    monkeypatch.setattr(on_device, "group_maxima", off)
    queries, items = (plain.from_numpy(unit_rows(n, 20, n)).half() for n in (20, 700))
    check(queries, items, 10)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_rows_that_are_no_embeddings_are_named(torch, value):
    queries, items = (torch.from_numpy(unit_rows(n, 20, n)).half() for n in (18, 90))
    items[61] = value
    with pytest.raises(DistnormError, match="row 61"):
        topk(queries, items, 3)


def test_views_of_other_strides_and_tensors_that_want_a_gradient(torch):
    rng = np.random.default_rng(0)
    columns = torch.from_numpy(rng.standard_normal((24, 110)).astype(np.float32))
    queries = torch.from_numpy(unit_rows(36, 24, 0).astype(np.float32))[::2].requires_grad_()
    scores, places = topk(queries, columns.T, 5)
    wanted = on_host(queries.detach(), columns.T, 5)
    assert np.array_equal(np.asarray(places), wanted[1])
    assert not scores.requires_grad
    bias = torch.zeros(110, requires_grad=True)
    assert np.array_equal(
        np.asarray(topk(queries, columns.T.half(), 5, bias)[1]),
        on_host(queries.detach(), columns.T.half(), 5)[1],
    )


def test_queries_and_items_of_different_libraries(torch):
    queries, items = (unit_rows(n, 20, n).astype(np.float32) for n in (18, 90))
    scores, places = topk(queries, torch.from_numpy(items), 4)
    assert isinstance(scores, np.ndarray)
    assert isinstance(places, np.ndarray)
    wanted = on_host(torch.from_numpy(queries), torch.from_numpy(items), 4)[1]
    assert np.array_equal(places, wanted)
    whole, half = (torch.from_numpy(x) for x in (queries.astype(np.float64), items))
    assert topk(whole, half.half(), 4)[0].dtype == torch.float64


def test_a_gallery_keeps_what_was_converted(plain, monkeypatch):
    from distnorm.exact import on_device

    calls = []
    true = on_device.halved
    monkeypatch.setattr(on_device, "halved", lambda *x: calls.append(len(x[0])) or true(*x))
    queries, items = (plain.from_numpy(unit_rows(n, 20, n)) for n in (18, 90))
    gallery = Gallery(items)
    first = topk(queries, gallery, 4)[1]
    assert np.array_equal(np.asarray(topk(queries, gallery, 4)[1]), np.asarray(first))
    assert sorted(calls) == [18, 18, 90]


def test_without_half_precision_the_lists_are_the_same(plain):
    queries, items = (plain.from_numpy(unit_rows(n, 20, n)).float() for n in (18, 90))
    check(queries, items, 5, precision="float32")


def test_a_host_gallery_in_parts_for_a_device(plain, monkeypatch):
    from distnorm.exact import on_device

    monkeypatch.setattr(on_device, "_BYTES", 4 * 20 * 64)
    queries, items = (unit_rows(n, 20, n).astype(np.float32) for n in (18, 300))
    items[100:120] = items[7]
    bias = np.random.default_rng(3).normal(0, 0.1, 300)
    bias[100:120] = bias[7]
    steps = []
    search = on_device.DeviceSearch(
        plain.from_numpy(queries), Gallery(items), 9, plain.from_numpy(bias)
    )
    scores, places, left = search.run(lambda *done: steps.append(done))
    wanted, order = on_host(plain.from_numpy(queries), plain.from_numpy(items), 9, bias)
    assert not len(left)
    assert np.array_equal(np.asarray(places), order)
    np.testing.assert_allclose(np.asarray(scores), wanted, rtol=1e-12)
    assert steps[-1] == (300, 300)
    assert len(steps) == 5


def test_memory_that_runs_out_makes_blocks_smaller(plain, monkeypatch):
    from distnorm.exact import on_device

    true, sizes = on_device.group_maxima, []

    def tight(queries, *args, **kwargs):
        sizes.append(len(queries))
        if len(queries) > 5:
            raise plain.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return true(queries, *args, **kwargs)

    monkeypatch.setattr(on_device, "group_maxima", tight)
    queries, items = (plain.from_numpy(unit_rows(n, 20, n)) for n in (18, 90))
    check(queries, items, 4)
    assert max(sizes) == 18
    assert sizes.count(4) >= 4


def test_memory_too_small_for_anything_is_said_in_one_line(plain, monkeypatch):
    from distnorm.exact import on_device

    def none(*args, **kwargs):
        raise plain.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    queries, items = (plain.from_numpy(unit_rows(n, 20, n)) for n in (18, 90))
    for name in ("group_maxima", "halved"):
        with monkeypatch.context() as patch:
            patch.setattr(on_device, name, none)
            with pytest.raises(
                DistnormError, match=r"too little memory on the device.*x\.cpu\(\)"
            ) as e:
                topk(queries, items, 4)
            assert "\n" not in str(e.value)


def test_a_gallery_too_large_to_convert_is_converted_in_parts(plain, monkeypatch):
    from distnorm.exact import on_device

    true = on_device.halved

    def tight(rows, lengths):
        if len(rows) > 100:
            raise plain.cuda.OutOfMemoryError("CUDA out of memory")
        return true(rows, lengths)

    monkeypatch.setattr(on_device, "halved", tight)
    check(*(plain.from_numpy(unit_rows(n, 20, n)) for n in (18, 900)), 4)


def test_a_tensor_without_values_is_refused(plain):
    with pytest.raises(DistnormError, match="got"):
        topk(plain.empty(3, 8, device="meta"), plain.empty(9, 8, device="meta"), 2)
    with pytest.raises(DistnormError, match="got"):
        topk(plain.ones(3, 8), plain.empty(9, 8, device="meta"), 2)
