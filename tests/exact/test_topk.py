"""Exact top-k against sorting everything, in every precision, from every kind of gallery."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

import distnorm
from distnorm import DistnormError
from distnorm.exact import decision
from distnorm.exact import engines as engines_module
from distnorm.exact import scan as scan_module
from distnorm.exact import top_k as exact_module
from distnorm.search import Gallery, topk
from distnorm.system import threads as parallel
from distnorm.system.shards import ShardedRows

PRECISIONS = ("float32 by items", "float32 by queries", "bfloat16", "half")


def chosen(name, patch):
    """The setting of a first pass; the steps of a GPU's run on torch's processor here."""
    if name != "half":
        # In several threads, chunks and tiles, however small the problem.
        patch.setattr(scan_module, "threads", lambda: 5)
        patch.setattr(scan_module, "_ROWS", 2)
        patch.setattr(scan_module, "_CHUNK", 256)
        patch.setattr(scan_module, "_TILE", 1)
        patch.setattr(exact_module, "FEW", 0 if name.endswith("queries") else 32)
        if name != "bfloat16":
            return "float32"
    pytest.importorskip("torch", reason="passes in lower precisions are torch's")
    return name


@pytest.fixture(params=PRECISIONS)
def precision(request, monkeypatch):
    """All first passes: torch computes half precision on any processor, with float32 sums."""
    return chosen(request.param, monkeypatch)


def oracle(queries, items, k, bias=None, dtype=np.float32):
    """Every score in float64; a stable sort of them, then rounded."""
    full = np.stack([np.einsum("ij,j->i", np.float64(items), q) for q in np.float64(queries)])
    full = full if bias is None else full - bias
    order = np.argsort(-full, axis=1, kind="stable")[:, :k]
    with np.errstate(over="ignore"):
        return np.take_along_axis(full, order, axis=1).astype(dtype), order


def agree(queries, items, k, bias=None, **settings):
    wide = np.float64 in (np.asarray(queries).dtype, np.asarray(items).dtype)
    scores, rows = topk(queries, items, k, bias, **settings)
    wanted = oracle(queries, items, k, bias, np.float64 if wide else np.float32)
    np.testing.assert_array_equal(rows, wanted[1])
    if settings.get("precision") == "half":
        # A device adds in an order of its own: the last bits, not the list.
        reach = np.abs(wanted[0]).max() + (0 if bias is None else np.abs(bias).max())
        within = 1e-12 if wide else 2e-7
        np.testing.assert_allclose(scores, wanted[0], rtol=within, atol=1e-13 * reach)
        return
    np.testing.assert_array_equal(scores, wanted[0])


@st.composite
def problems(draw):
    """Queries, items, k and bias: the ways in which scores can lie close together."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m, d = draw(st.integers(1, 6)), draw(st.integers(1, 400)), draw(st.integers(1, 40))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    items = rng.standard_normal((m, d))
    kind = draw(st.sampled_from(["plain", "whole", "copies", "near", "sizes", "all alike"]))
    if kind == "whole":
        items = np.where(items > 0, 1.0, -1.0)
    elif kind == "copies":
        items = items[rng.integers(0, max(1, m // 8), m)]
    elif kind == "near":
        items = items[rng.integers(0, max(1, m // 8), m)] * (1 + 1e-4 * rng.standard_normal((m, 1)))
    elif kind == "sizes":
        items *= 10.0 ** rng.uniform(-4, 2, (m, 1))
    elif kind == "all alike":
        items = np.repeat(items[:1], m, axis=0)
    items = np.where(np.abs(items) < 1e-3, 1e-3, items)
    queries = np.where(draw(st.booleans()), -np.abs(items[:1]), rng.standard_normal((n, d)))
    bias = rng.standard_normal(m) * draw(st.sampled_from([1e-3, 1.0, 50.0]))
    k = draw(st.integers(1, 2 * m))
    return queries.astype(dtype), items.astype(dtype), k, draw(st.sampled_from([None, bias]))


@given(problems(), st.sampled_from([16, 48, 4096]), st.sampled_from([2, 1024]))
@pytest.mark.parametrize("precision", PRECISIONS)
def test_topk_is_a_stable_sort(precision, problem, columns, rows):
    queries, items, k, bias = problem
    with pytest.MonkeyPatch.context() as patch:
        precision = chosen(precision, patch)
        patch.setattr(engines_module, "TILE", (rows, columns))
        agree(queries, items, k, bias, precision=precision)


def test_an_order_that_floods_every_block(precision, rng):
    """Sorted from worst to best: each block beats all before it."""
    items = rng.standard_normal((20_000, 8)).astype(np.float32)
    items = items[np.argsort(items[:, 0])]
    queries = np.eye(8, dtype=np.float32)[:1] + 1e-3 * rng.standard_normal((40, 8), np.float32)
    agree(queries, items, 3, precision=precision)


def test_near_scores_are_left_to_a_higher_precision(precision, rng, monkeypatch):
    """10,000 items that no precision but the last can tell apart, and 5,000 copies of the best."""
    asked = []
    real = exact_module.exhaustive
    monkeypatch.setattr(
        exact_module, "exhaustive", lambda q, *rest: asked.append(len(q)) or real(q, *rest)
    )
    items = np.ones((15_000, 16)) + 1e-7 * rng.standard_normal((15_000, 16))
    items[rng.permutation(15_000)[:5_000]] = 1 + 1e-6
    queries = np.concatenate([np.ones((2, 16)), rng.standard_normal((2, 16))])
    agree(queries.astype(np.float32), items.astype(np.float32), 10, precision=precision)
    assert asked or precision == "half"  # a device scores so few in float64 itself
    agree(queries, items, 10, precision=precision)


def test_copies_of_one_item_cost_little_in_float64(rng, monkeypatch):
    """A placeholder picture 30,000 times over: its scores are computed once a block at most."""
    items = rng.standard_normal((40_000, 16)).astype(np.float32)
    items[rng.permutation(40_000)[:30_000]] = 1
    computed = []
    real = decision.KBest.add
    monkeypatch.setattr(
        decision.KBest,
        "add",
        lambda self, scores, places: computed.append(len(scores)) or real(self, scores, places),
    )
    agree(np.ones((3, 16), np.float32), items, 10)
    assert 0 < sum(computed) < 3 * 10_000


def test_scores_beyond_float32(precision, rng):
    for size in (1e-25, 1e-18, 1e17, 3e19):
        items = size * rng.standard_normal((300, 6))
        agree((size * rng.standard_normal((3, 6))).astype(np.float32), items, 5,
              precision=precision)  # fmt: skip


def test_bounds_hold_for_each_score(rng):
    """|s' - s| <= e for every pair, and not by a factor of hundreds."""
    items, queries = (rng.standard_normal((n, 96)).astype(np.float32) for n in (512, 30))
    bias = rng.standard_normal(512) * 3
    engine = engines_module.FewEngine(queries)
    block, error = engine.block(items, float(engine.lengths(items).max()), bias)
    longest, sound = engine.longest(items)
    assert sound
    assert longest >= np.linalg.norm(items.astype(np.float64), axis=1).max()
    part = engine.part(engine.scores(slice(0, 30), block), slice(0, 30))
    nothing = np.full(30, -np.inf)
    row, column, score = engine.values(part, *engine.above(part, nothing), nothing)
    approximate = np.full((30, 512), np.nan)
    approximate[row, column] = score
    exact = queries.astype(np.float64) @ items.T.astype(np.float64) - bias
    allowed = error[:, None] + engine.rounding * np.abs(approximate)
    off = np.abs(approximate - exact) / allowed
    assert off.max() <= 1
    assert off.max() > 0.005


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_files_and_shards_are_read_in_blocks(tmp_path, rng, dtype, monkeypatch, precision):
    items = rng.standard_normal((5000, 24)).astype(dtype)
    queries = rng.standard_normal((7, 24)).astype(np.float32)
    bias = rng.standard_normal(5000)
    np.save(tmp_path / "x.npy", items)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    shards = ShardedRows([mapped[:1], mapped[1:2000], mapped[2000:]])
    monkeypatch.setattr(engines_module, "TILE", (4, 512))
    monkeypatch.setattr("distnorm.exact.on_device._BYTES", 4 * 24 * 512)
    wanted = oracle(queries, items, 12, bias)
    reports = []
    for gallery in (mapped, shards, Gallery(shards)):
        scores, rows = topk(queries, gallery, 12, bias, precision=precision,
                            progress=lambda *now: reports.append(now))  # fmt: skip
        np.testing.assert_array_equal(rows, wanted[1])
        np.testing.assert_array_equal(scores, wanted[0])
    assert reports[-1] == (5000, 5000)
    assert len(reports) >= 9


def test_queries_that_do_not_fit_at_once(rng, monkeypatch):
    monkeypatch.setattr(exact_module, "_RESULTS", 30)
    items, queries = (rng.standard_normal((n, 8)).astype(np.float32) for n in (900, 20))
    reports = []
    agree(queries, items, 10, progress=lambda *now: reports.append(now))
    assert reports[-1] == (7 * 900, 7 * 900)


def test_memory_stays_flat(tmp_path, rng):
    """A file of 64 MB adds little to a search of 20 queries: nothing of its size is allocated."""
    import tracemalloc

    items = np.lib.format.open_memmap(
        tmp_path / "x.npy", mode="w+", dtype=np.float16, shape=(500_000, 64)
    )
    for start in range(0, 500_000, 50_000):
        items[start : start + 50_000] = rng.standard_normal((50_000, 64))
    queries = rng.standard_normal((20, 64)).astype(np.float32)
    tracemalloc.start()
    topk(queries, items, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize("layout", ["columns of a wider file", "transposed"])
def test_no_layout_is_copied_as_a_whole(layout, rng):
    import tracemalloc

    wide = rng.standard_normal((400_000, 40)).astype(np.float32)
    items = wide[:, 4:36] if layout.startswith("columns") else np.asfortranarray(wide[:, :32])
    queries = rng.standard_normal((3, 32)).astype(np.float32)
    tracemalloc.start()
    scores, rows = topk(queries, items, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6
    wanted = topk(queries, np.ascontiguousarray(items), 5)
    np.testing.assert_array_equal(rows, wanted[1])
    np.testing.assert_array_equal(scores, wanted[0])


@given(st.lists(st.sampled_from([0.0, -0.0, -np.inf, 1e-45, -1e-45, 1.0, -1.0, 3e38]), min_size=1))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_best_first_is_a_stable_sort(dtype, values):
    scores = np.array([values, values[::-1]], dtype=dtype)
    wanted = np.argsort(-scores, axis=1, kind="stable")
    np.testing.assert_array_equal(decision.best_first(scores.astype(np.float64)), wanted)


def test_every_library_keeps_its_own(library, rng):
    items, queries = (rng.standard_normal((n, 8)).astype(np.float32) for n in (50, 3))
    scores, rows = topk(library.asarray(queries), library.asarray(items), 4)
    assert type(scores) is type(rows) is type(library.asarray(queries))
    wanted = oracle(queries, items, 4)
    np.testing.assert_array_equal(library.to_numpy(rows), wanted[1])
    np.testing.assert_array_equal(library.to_numpy(scores), wanted[0])


def test_one_query_of_a_known_gallery_is_one_product_a_thread(rng, monkeypatch):
    monkeypatch.setattr(scan_module, "threads", lambda: 3)
    monkeypatch.setattr(scan_module, "_CHUNK", 64)
    items, query = (rng.standard_normal((n, 8)).astype(np.float32) for n in (100, 1))
    gallery, sizes = Gallery(items), []
    real = engines_module.FewEngine.multiply

    def multiply(engine, rows, out):
        sizes.append(len(rows))
        real(engine, rows, out)

    monkeypatch.setattr(engines_module.FewEngine, "multiply", multiply)
    wanted = oracle(query, items, 5)
    for most in (8, 40):
        scores, rows = topk(query, gallery, 5)
        np.testing.assert_array_equal(rows, wanted[1])
        np.testing.assert_array_equal(scores, wanted[0])
        assert sum(sizes) == 100
        assert max(sizes) == most
        sizes.clear()


def test_torch_half_precision(rng):
    torch = pytest.importorskip("torch", reason="tensors in bfloat16")
    items, queries = (torch.from_numpy(rng.standard_normal((n, 8))).bfloat16() for n in (300, 3))
    wanted = oracle(queries.double().numpy(), items.double().numpy(), 4)
    for precision in ("auto", "half", "bfloat16"):
        scores, rows = topk(queries, items, 4, precision=precision)
        assert scores.dtype == torch.float32
        np.testing.assert_array_equal(rows.numpy(), wanted[1])
        np.testing.assert_array_equal(scores.numpy(), wanted[0])


def test_real_features_like_faiss(real_data):
    faiss = pytest.importorskip("faiss", reason="compared with FAISS")
    folder = real_data / "imagenet4shot-clip-vit-b32"
    items = np.load(folder / "image.npy").astype(np.float32)
    queries = distnorm.normalize(np.load(folder / "class_text_raw.npy"))
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    theirs = index.search(queries, 10)
    ours = topk(queries, items, 10)
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)
    differ = ours[1] != theirs[1]
    # Only where two scores are the same to float32's rounding.
    assert differ.mean() < 1e-3
    full = np.take_along_axis(queries @ items.T, theirs[1], axis=1)
    np.testing.assert_allclose(full[differ], ours[0][differ], atol=1e-6)


def test_a_gpu_takes_very_large_jobs(rng, monkeypatch):
    """Where there is one; its steps run on torch's processor here."""
    torch = pytest.importorskip("torch", reason="the device is torch's")
    items, queries = (rng.standard_normal((n, 16)).astype(np.float32) for n in (2000, 40))
    asked = []
    there = exact_module._on_device

    def on_device(queries, rows, k, bias, device, *others):
        asked.append(device)
        return there(queries, rows, k, bias, "cpu", *others)

    monkeypatch.setattr(exact_module, "_on_device", on_device)
    for gpu, pays, expected in ((None, 1e6, []), ("cuda", 1e9, []), ("cuda", 1e6, ["cuda"])):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu is not None)
        monkeypatch.setattr(exact_module, "_PAYS", pays)
        agree(queries, items, 3)
        assert asked == expected


_ODD = st.one_of(
    st.none(), st.integers(-3, 3), st.text(max_size=3), st.floats(),
    st.lists(st.floats(), max_size=3),
    st.lists(st.lists(st.floats(), max_size=3), max_size=3),
    st.sampled_from([np.zeros((2, 3)), np.ones((2, 3)), np.ones((0, 3)), np.ones((2, 3), int),
                     np.ones((2, 3), object), np.ones((1, 2, 3)), np.ones(2) * 1j]),
)  # fmt: skip


@given(_ODD, _ODD, _ODD, _ODD)
def test_whatever_comes_is_answered_or_refused_in_one_line(queries, items, k, bias):
    try:
        scores, rows = topk(queries, items, k, bias)
    except DistnormError as error:
        words = str(error)
    else:
        words = ""
        assert scores.shape == rows.shape
        assert np.isfinite(scores).all()
    assert "\n" not in words


@given(_ODD, _ODD)
def test_odd_settings_of_a_good_search(k, bias):
    rows = np.eye(3, dtype=np.float32)
    try:
        found = topk(rows, rows, k, bias)
    except DistnormError:
        return
    assert found[1].shape[0] == 3


def test_threads_are_those_of_the_process(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert parallel.threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert parallel.threads() >= 1


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("n", [50, 200])
def test_any_number_of_threads_finds_the_same(workers, n, rng, monkeypatch):
    monkeypatch.setattr(scan_module, "threads", lambda: workers)
    items, queries = (rng.standard_normal((m, 12)).astype(np.float32) for m in (9000, n))
    agree(queries, items, 20)


def blas_threads():
    return {one["num_threads"] for one in parallel._blas().info()}


def test_searches_that_overlap_give_blas_its_threads_back(rng):
    """The first to begin ends first: neither it nor the last leaves BLAS with one thread."""
    before = blas_threads()
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        first, second = parallel.single_threaded_blas(), parallel.single_threaded_blas()
        first.__enter__()
        second.__enter__()
        assert blas_threads() <= {1}
        first.__exit__(None, None, None)
        assert blas_threads() <= {1}
        second.__exit__(None, None, None)
        assert blas_threads() <= {2}
        items = rng.standard_normal((3000, 8)).astype(np.float32)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda n: topk(items[:n], items, 5), (1, 20, 150, 300)))
        assert blas_threads() <= {2}
    assert blas_threads() == before
    for scores, rows in found:
        wanted = oracle(items[: len(rows)], items, 5)
        np.testing.assert_array_equal(rows, wanted[1])
        np.testing.assert_array_equal(scores, wanted[0])


@pytest.mark.parametrize("n", [3, 200])
def test_an_end_by_the_caller_ends_all_threads(n, rng, monkeypatch):
    """Ctrl-C, or whatever a progress bar raises: it comes through, and BLAS has its threads."""
    monkeypatch.setattr(scan_module, "threads", lambda: 2)
    monkeypatch.setattr(scan_module, "_TILE", 1)
    items, queries = (rng.standard_normal((m, 8)).astype(np.float32) for m in (60_000, n))
    before, running = blas_threads(), threading.active_count()
    reports = []

    def progress(done, total):
        reports.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        topk(queries, items, 5, progress=progress)
    assert len(reports) == 1
    assert blas_threads() == before
    assert threading.active_count() == running


@pytest.mark.parametrize("sizes", [(1, 2, 7, 30), (200, 50, 1000)])
def test_a_gallery_is_checked_once_for_any_number_of_queries(sizes, rng, monkeypatch):
    monkeypatch.setattr(scan_module, "_CHUNK", 8 * 100)
    items, queries = (rng.standard_normal((n, 8)).astype(np.float32) for n in (30_000, 1000))
    looked = []
    for kind in (engines_module.FewEngine, engines_module.NumpyEngine):

        def longest(self, rows, real=kind.longest):
            looked.append(len(rows))
            return real(self, rows)

        monkeypatch.setattr(kind, "longest", longest)
    gallery = Gallery(items)
    for n in sizes:
        topk(queries[:n], gallery, 5)
        assert sum(looked) == 30_000


def test_loose_bounds_are_tightened_before_float64(rng, monkeypatch):
    """A few queries know only the size of a chunk: one heavy item makes it say nothing."""
    asked = []
    plain = exact_module.NumpyEngine
    monkeypatch.setattr(
        exact_module, "NumpyEngine", lambda rows: asked.append(len(rows)) or plain(rows)
    )
    monkeypatch.setattr(exact_module, "exhaustive", lambda *rest: pytest.fail("float32 was enough"))
    items = rng.standard_normal((20_000, 64)).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    agree(items[:2], items, 10)
    assert not asked
    # 1,000 rows of length 1e3 across the queries: 3e4 is what the chunk says of each row.
    queries = np.eye(64, dtype=np.float32)[:2]
    items[::20] *= 1e3
    items[::20, :2] = 0
    agree(queries, items, 10)
    assert asked == [2]


@pytest.mark.parametrize(
    ("k", "bias", "settings", "part"),
    [
        (0, None, {}, "k = 0"),
        (-1, None, {}, "k = -1"),
        (True, None, {}, "k = True"),
        (1, np.zeros(5), {}, r"bias of shape \(5,\)"),
        (1, np.zeros(3), {}, "1 were added after it.*items"),
        (1, np.array([0, 0, 0, np.nan]), {}, "finite"),
        (1.5, None, {}, "k"),
        (1, None, {"precision": "int8"}, "precision 'int8'"),
    ],
)
def test_what_it_refuses(k, bias, settings, part, rng):
    x = rng.normal(0, 1, (4, 3))
    with pytest.raises(DistnormError, match=part):
        topk(x, x, k, bias, **settings)


@pytest.mark.parametrize("where", ["queries", "items"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_unusable_rows_are_named(where, value, rng, precision):
    x = {name: rng.standard_normal((4, 3)).astype(np.float32) for name in ("queries", "items")}
    x[where][2] = value
    with pytest.raises(DistnormError, match=f"{where}.* row 2"):
        topk(x["queries"], x["items"], 2, precision=precision)


def test_other_dimensions(rng):
    x, y = rng.standard_normal((4, 3)), rng.standard_normal((4, 5))
    for items in (y, ShardedRows([y]), Gallery(y)):
        with pytest.raises(DistnormError, match="3 dimensions"):
            topk(x, items)
    with pytest.raises(DistnormError, match="row shapes"):
        ShardedRows([x, y])
    with pytest.raises(DistnormError, match="row shapes"):
        ShardedRows([])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 30), st.integers(0, 30))
def test_shards_read_like_one_matrix(sizes, start, stop):
    rows = np.arange(2.0 * sum(sizes)).reshape(-1, 2)
    edges = np.cumsum([0, *sizes])
    shards = ShardedRows([rows[a:b] for a, b in itertools.pairwise(edges)])
    assert shards.shape == rows.shape
    np.testing.assert_array_equal(shards[start:stop], rows[start:stop])
    np.testing.assert_array_equal(shards[::2], rows[::2])
    some = [i for i in (start, stop, 0, start) if i < len(rows)]
    np.testing.assert_array_equal(shards[some], rows[some])
    with pytest.raises(IndexError):
        shards[[len(rows)]]
