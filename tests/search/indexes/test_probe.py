"""What a system's scores are worth: found by comparing them with the rows that it gives back."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError
from distnorm.search.indexes.probe import Trial, judge, trial_queries
from distnorm.search.indexes.recovery import UNITS

D, N = 32, 300


@pytest.fixture(scope="module")
def cones():
    """Unit rows of two sides in two cones, (images, texts)."""
    rng = np.random.default_rng(3)
    shared = rng.standard_normal((N, D))
    sides = []
    for _ in range(2):
        rows = shared + 0.4 * rng.standard_normal((N, D)) + 1.5 * rng.standard_normal(D)
        sides.append((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    return sides


@pytest.fixture(scope="module")
def norm(cones):
    images, texts = cones
    return distnorm.make("dn").fit(images=images, texts=texts)


@pytest.fixture(scope="module")
def biased(cones):
    images, texts = cones
    return distnorm.make("nnn", k=4).fit(images=images, texts=texts)


@pytest.fixture(autouse=True)
def one_thread():
    """FAISS trains small indexes many times slower on threads that wait for each other."""
    faiss = importlib.import_module("faiss") if importlib.util.find_spec("faiss") else None
    threads = faiss.omp_get_max_threads() if faiss else 1
    if faiss:
        faiss.omp_set_num_threads(1)
    yield
    if faiss:
        faiss.omp_set_num_threads(threads)


def trials(rows, say):
    queries = trial_queries(rows).astype(np.float64)
    assert np.allclose(np.linalg.norm(queries, axis=1), [1.0, 0.6])
    return [Trial(query, say(rows @ query, query), rows.astype(np.float64)) for query in queries]


SAYS = {
    "ip": lambda p, q: p,
    "-ip": lambda p, q: -p,
    "1-ip": lambda p, q: 1 - p,
    "cos": lambda p, q: p / np.linalg.norm(q),
    "1-cos": lambda p, q: 1 - p / np.linalg.norm(q),
    "l2": lambda p, q: np.sqrt(1 + q @ q - 2 * p),
    "l2sq": lambda p, q: 1 + q @ q - 2 * p,
}


@pytest.mark.parametrize("declared", sorted(UNITS))
@pytest.mark.parametrize("true", sorted(UNITS))
def test_the_unit_is_the_one_that_agrees(declared, true, cones):
    rows = cones[0][:20].astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = judge(declared, trials(rows, SAYS[true]))
    assert found.unit == true
    assert (found.raw, found.shift, found.scores, found.certifies) == (True,) * 4


def test_numbers_without_meaning_keep_their_order(cones):
    found = judge("1-ip", trials(cones[0][:20], lambda p, q: -16129 * p))
    assert (found.raw, found.shift, found.scores, found.certifies) == (True, True, False, False)
    doubled = judge("1-cos", trials(cones[0][:20], lambda p, q: 2 - 2 * p / np.linalg.norm(q)))
    assert (doubled.shift, doubled.biases) == (True, False)
    nonsense = judge("ip", trials(cones[0][:20], lambda p, q: np.cos(900 * p)))
    assert (nonsense.raw, nonsense.shift, nonsense.scores) == (False, False, False)
    wrong = judge("ip", trials(cones[0][:20], lambda p, q: np.full(len(p), np.nan)))
    assert not wrong.raw
    assert judge("ip", []).certifies


def test_rough_scores_are_no_certain_ones(cones):
    noise = np.random.default_rng(0).normal(0, 3e-3, 20)
    found = judge("ip", trials(cones[0][:20], lambda p, q: p + noise))
    assert found.scores
    assert not found.certifies


FAISS = [
    # Kind, whether scores are cosines of the rows that were added, and whether lists are exact.
    ("Flat", True, True),
    ("L2norm,Flat", True, True),
    ("IDMap,L2norm,Flat", True, True),
    ("IDMap2,Flat", True, True),
    ("RR32,Flat", True, True),
    ("IVF4,Flat", True, False),
    ("IDMap,IVF4,Flat", True, False),
    ("SQ8", True, False),
    ("IVF4,SQ8", True, False),
    ("PQ16x4", True, False),
    ("IVF4,PQ16x4", True, False),
    ("OPQ16,IVF4,PQ16x4", True, False),
    ("OPQ8_16,IVF4,PQ8x4", False, False),
    ("IVF4,PQ16x4fs", True, False),
    ("PQ16x4fs", True, False),
    ("IVF4,PQ16x4fs,RFlat", True, False),
    ("HNSW16", True, False),
    ("HNSW16_SQ8", True, False),
]


@pytest.mark.parametrize(("kind", "scores", "exact"), FAISS, ids=[each[0] for each in FAISS])
def test_faiss_indexes_as_people_build_them(kind, scores, exact, cones, norm, biased, tmp_path):
    faiss = pytest.importorskip("faiss", reason="faiss is not installed")
    from distnorm.search.indexes import open_index

    images, texts = cones
    ids = np.random.default_rng(1).integers(-(2**63), 2**63, N)
    index = faiss.index_factory(D, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(images)
    own = kind.startswith(("IDMap", "IVF")) and "RFlat" not in kind
    if own:
        index.add_with_ids(images, ids)
    else:
        ids = np.arange(N)
        index.add(images)
    faiss.write_index(index, str(tmp_path / "any.index"))
    place = {int(item): row for row, item in enumerate(ids)}
    full = np.asarray(norm.similarity(images, texts)).T
    with open_index(f"faiss:{tmp_path / 'any.index'}?nprobe=4") as opened:
        found = opened.search(texts[:12], 10, norm)
        raw = opened.search(texts[:12], 10)
        assert [len(one) for one in found.ids] == [10] * 12
        rows = [[place[item] for item in one] for one in found.ids]
        best = np.argsort(-full[:12], axis=1)[:, :10]
        hits = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, best, strict=True)])
        assert hits == 1 if exact else hits > 0.3
        assert found.certified == (exact,) * 12 == raw.certified
        assert (found.score == "dn two-sided score") == scores
        assert (raw.score == "cosine") == scores
        if scores:
            apart = [
                np.abs(s - full[q, r]).max()
                for q, (s, r) in enumerate(zip(found.scores, rows, strict=True))
            ]
            assert max(apart) < (1e-5 if exact else 0.2)
        keeps = kind.endswith("fs")
        if keeps:
            with pytest.raises(DistnormError, match="pass ids= and items="):
                opened.upload_bias(biased)
            opened.upload_bias(biased, ids=ids.tolist(), items=images)
        elif scores:
            assert opened.upload_bias(biased).written == N
        else:
            with pytest.raises(DistnormError, match=r"scores of .* not those of the rows"):
                opened.upload_bias(biased)
            return
        assert opened.search(texts[:3], 5, biased).without_bias == 0
        assert opened.check(norm).items == N


def test_filters_of_faiss(cones, norm, biased):
    faiss = pytest.importorskip("faiss", reason="faiss is not installed")
    from distnorm.search.indexes.faiss import FaissIndex

    images, texts = cones
    ids = np.arange(N) * 7 - 300
    full = np.asarray(norm.similarity(images, texts[:4])).T
    for kind in (
        "IDMap,Flat",
        "IVF4,Flat",
        "IDMap,L2norm,Flat",
        "IDMap,HNSW32",
        "IDMap,OPQ8,IVF4,PQ8x4",
    ):
        index = faiss.index_factory(D, kind, faiss.METRIC_INNER_PRODUCT)
        index.train(images)
        index.add_with_ids(images, ids)
        opened = FaissIndex(index, nprobe=4)
        opened.upload_bias(biased)
        allowed = ids[10:60]
        for given in (allowed.tolist(), faiss.IDSelectorBatch(allowed)):
            for one in (None, norm, biased):
                found = opened.search(texts[:4], 5, one, filter=given)
                assert all(set(row) <= set(allowed.tolist()) for row in found.ids), kind
                assert [len(row) for row in found.ids] == [5] * 4
        if "Flat" in kind:
            best = ids[10:60][np.argsort(-full[:, 10:60], axis=1)[:, :5]]
            found = opened.search(texts[:4], 5, norm, filter=allowed)
            assert [list(row) for row in found.ids] == best.tolist()
            page = opened.search(texts[:4], 2, norm, filter=allowed, offset=3)
            assert [list(row) for row in page.ids] == best[:, 3:].tolist()
        with pytest.raises(DistnormError, match=r"expected a list of ids, or a faiss.IDSelector"):
            opened.search(texts[:4], 5, filter="genre = 'cat'")
        with pytest.raises(DistnormError, match="more than ids and vectors"):
            opened.search(texts[:4], 5, fields=["title"])
        with pytest.raises(DistnormError, match="offset = -1"):
            opened.search(texts[:4], 5, offset=-1)


def test_a_pca_has_a_mean_of_its_own(cones, norm):
    faiss = pytest.importorskip("faiss", reason="faiss is not installed")
    from distnorm.search.indexes.faiss import FaissIndex

    for kind in ("PCA12,Flat", "IDMap,PCAR12,Flat", "L2norm,PCA12,Flat"):
        index = faiss.index_factory(D, kind, faiss.METRIC_INNER_PRODUCT)
        index.train(cones[0])
        index.add_with_ids(cones[0], np.arange(N)) if "IDMap" in kind else index.add(cones[0])
        with pytest.raises(DistnormError, match="without PCA"):
            FaissIndex(index)
    index = faiss.index_factory(D, "PCA16,Flat")
    index.train(cones[0])
    index.add(cones[0])
    with pytest.raises(DistnormError, match="not those of the rows"):
        FaissIndex(index).search(cones[1][:5], 5, norm)


def test_raw_rows_in_a_compressed_index_are_refused(cones, norm):
    faiss = pytest.importorskip("faiss", reason="faiss is not installed")
    from distnorm.search.indexes.faiss import FaissIndex

    index = faiss.index_factory(D, "IVF4,PQ16x4", faiss.METRIC_INNER_PRODUCT)
    index.train(8 * cones[0])
    index.add(8 * cones[0])
    with pytest.raises(DistnormError, match="not of unit length"):
        FaissIndex(index).search(cones[1][:2], 3, norm)


def test_ids_that_several_vectors_share(cones, norm, biased):
    faiss = pytest.importorskip("faiss", reason="faiss is not installed")
    from distnorm.search.indexes.faiss import FaissIndex

    index = faiss.IndexIDMap(faiss.IndexFlatIP(D))
    index.add_with_ids(cones[0], np.arange(N) % 100)
    opened = FaissIndex(index)
    for call in (
        lambda: opened.search(cones[1][:5], N, norm),
        lambda: opened.upload_bias(biased, batch=32),
        lambda: opened.check(norm, batch=32),
    ):
        with pytest.raises(DistnormError, match=r"several vectors.*an id of its own"):
            call()
    assert not opened.biases.published()


USEARCH = [
    ("f32", "ip", True), ("f32", "cos", True), ("f16", "ip", True), ("bf16", "cos", True),
    ("i8", "cos", True), ("i8", "ip", False), ("i8", "l2sq", False), ("e4m3", "cos", True),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "metric", "scores"), USEARCH)
def test_usearch_of_fewer_bits(kind, metric, scores, cones, norm, biased):
    usearch = pytest.importorskip("usearch.index", reason="usearch is not installed")
    from distnorm.search.indexes.usearch import USearchIndex

    images, texts = cones
    index = usearch.Index(ndim=D, metric=metric, dtype=kind)
    index.add(np.arange(N), images)
    opened = USearchIndex(index, exact=True)
    found = opened.search(texts[:8], 10, norm)
    full = np.asarray(norm.similarity(images, texts[:8])).T
    best = np.argsort(-full, axis=1)[:, :10]
    pairs = zip(found.ids, best, strict=True)
    assert np.mean([len(set(a) & set(b.tolist())) / 10 for a, b in pairs]) > 0.8
    assert (found.score == "dn two-sided score") == scores
    assert all(found.certified) == (kind == "f32")
    if scores:
        for values, ids, row in zip(found.scores, found.ids, full, strict=True):
            np.testing.assert_allclose(values, row[list(ids)], atol=0.02)
        assert opened.upload_bias(biased).written == N
    else:
        with pytest.raises(DistnormError, match='dtype="f32"'):
            opened.upload_bias(biased)


@pytest.mark.parametrize(
    ("options", "part"),
    [({"dtype": "u8"}, "of U8"), ({"multi": True, "dtype": "f32"}, "several vectors per key")],
)
def test_usearch_that_holds_no_unit_rows_by_key(options, part, cones):
    usearch = pytest.importorskip("usearch.index", reason="usearch is not installed")
    from distnorm.search.indexes.usearch import USearchIndex

    index = usearch.Index(ndim=D, metric="ip", **options)
    index.add(np.arange(N) // 2 if "multi" in options else np.arange(N), cones[0])
    with pytest.raises(DistnormError, match=part):
        USearchIndex(index)


def test_hnswlib_with_deleted_items(cones, norm, biased):
    hnswlib = pytest.importorskip("hnswlib", reason="hnswlib is not installed")
    from distnorm.search.indexes.hnswlib import HnswlibIndex

    images, texts = cones
    index = hnswlib.Index("ip", D)
    index.init_index(N, M=32, ef_construction=200)
    index.add_items(images, np.arange(N) - 50)
    gone = [-50, -3, 0, 17, 189]
    for item in gone:
        index.mark_deleted(np.uint64(item % 2**64))
    opened = HnswlibIndex(index)
    assert opened.count() == N - len(gone)
    assert opened.upload_bias(biased).written == N - len(gone)
    assert opened.check(norm).items == N - len(gone)
    left = set(range(-50, N - 50)) - set(gone)
    for one in (None, norm, biased):
        found = opened.search(texts[:2], N, one)
        assert [set(row) for row in found.ids] == [left, left]
        assert found.without_bias == 0
        some = opened.search(texts[:2], 20, one, filter=range(-50, -35))
        assert [set(row) for row in some.ids] == [set(range(-49, -35))] * 2
        odd = opened.search(texts[:2], 5, one, filter=lambda item: item % 2 == 1)
        assert all(item % 2 == 1 for row in odd.ids for item in row)
