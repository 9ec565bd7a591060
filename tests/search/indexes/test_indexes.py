"""Every system, three laws: the shifted query is DN, a stored bias is the other methods, and the
raw scores are always there. The oracle is the full matrix in float64."""

from __future__ import annotations

import numpy as np
import pytest

import distnorm
from distnorm.search.indexes import Both, open_index
from distnorm.search.indexes.bias_store import BiasFolder
from distnorm.search.indexes.biases import items_with_bias, queries_for_bias

K = 10


def dn_scores(world, strength=0.5):
    mean_x, mean_y = (rows.astype(np.float64).mean(axis=0) for rows in (world.images, world.texts))
    x, y = world.items.astype(np.float64), world.queries.astype(np.float64)
    return (y - strength * mean_y) @ (x - strength * mean_x).T


def nnn_scores(world, k=5, strength=0.5):
    x, y, bank_x, bank_y = (
        rows.astype(np.float64) for rows in (world.items, world.queries, world.images, world.texts)
    )
    item = np.sort(x @ bank_y.T, axis=1)[:, -k:].mean(axis=1)
    query = np.sort(y @ bank_x.T, axis=1)[:, -k:].mean(axis=1)
    return y @ x.T - strength * item[None, :] - strength * query[:, None]


def agrees(found, scores, *, exact, recall=0.8, k=K):
    """Scores are the oracle's; lists are its best (exact systems) or nearly (graphs, lists)."""
    best = -np.sort(-scores, axis=1)[:, :k]
    hits = 0
    for row, (ids, values) in enumerate(zip(found.ids, found.scores, strict=True)):
        places = [int(item) for item in ids]
        np.testing.assert_allclose(values, scores[row, places], atol=2e-6)
        assert np.all(np.diff(values) <= 1e-6)
        assert len(set(places)) == len(places) == k
        if exact:
            np.testing.assert_allclose(values, best[row], atol=2e-6)
        hits += int(np.sum(values >= best[row, -1] - 2e-6))
    assert hits >= recall * best.size
    return hits / best.size


def upload(index, case, world, norm, **options):
    rows = {} if case.gives_rows else {"ids": range(len(world.items)), "items": world.items}
    return index.upload_bias(norm, **rows, **options)


def test_a_shifted_query_is_dn_on_an_untouched_index(index_case, index_built, index_world):
    with index_built.open() as index:
        assert (index.exact, index.metric) == (index_case.exact, index_case.metric)
        assert index.dimension == 24
        found = index.search(index_world.queries, K, index_world.norm("dn"))
        agrees(found, dn_scores(index_world), exact=index_case.exact)
        assert found.score == "dn two-sided score"
        assert found.method == "dn"
        assert found.strength == 0.5
        assert found.certified == (index_case.exact,) * 8


def test_without_the_items_statistics_the_order_is_the_same(index_case, index_built, index_world):
    norm = distnorm.make("dn").fit(texts=index_world.texts)
    with index_built.open() as index:
        found = index.search(index_world.queries, K, norm)
    raw = index_world.queries.astype(float) @ index_world.items.astype(float).T
    bias = 0.5 * index_world.items.astype(float) @ index_world.texts.astype(float).mean(axis=0)
    agrees(found, raw - bias[None, :], exact=index_case.exact)
    assert found.score == "dn ranking score"


def test_raw_scores_are_there_at_any_time(index_case, index_built, index_world):
    raw = index_world.queries.astype(float) @ index_world.items.astype(float).T
    norm = index_world.norm("dn")
    with index_built.open() as index:
        before = index.search(index_world.queries, K)
        index.search(index_world.queries, K, norm)
        after = index.search(index_world.queries, K, norm, mode="dot")
        agrees(before, raw, exact=index_case.exact)
        assert before.ids == after.ids
        assert after.score == "cosine"
        assert after.method == "dot"
        both = index.search(index_world.queries[:2], K, norm, mode="both")
    assert isinstance(both, Both)
    assert both.dot.ids == before.ids[:2]
    for pairs, raw_ids, ids in zip(both.aligned, both.dot.ids, both.normalized.ids, strict=True):
        assert [pair.id for pair in pairs[:K]] == list(ids)
        assert {pair.id for pair in pairs} == set(raw_ids) | set(ids)
        for pair in pairs:
            assert pair.rank_dot == (raw_ids.index(pair.id) + 1 if pair.id in raw_ids else None)
            assert (pair.normalized is None) == (pair.id not in ids)
    assert 0 < both.overlap <= 1


def test_a_stored_bias_ranks_an_overfetched_list_again(index_case, index_built, index_world):
    norm = index_world.norm("nnn", k=5)
    scores = nnn_scores(index_world)
    with index_built.open() as index:
        assert isinstance(index.biases, BiasFolder) != index_case.own_store
        done = upload(index, index_case, index_world, norm, batch=128)
        assert (done.written + done.already, done.method) == (300, "nnn")
        found = index.search(index_world.queries, K, norm, certify=True)
        agrees(found, scores, exact=index_case.exact)
        assert found.certified == (index_case.exact,) * 8
        assert found.score == "nnn two-sided score"
        short = index.search(index_world.queries, K, norm, overfetch=K)
        assert not any(short.certified)
        grown = index.search(index_world.queries, K, norm, overfetch=K, certify=True)
        # An exact system grows the list until it is sure; a graph takes what it was asked for.
        if index_case.exact:
            assert grown.ids == found.ids
        agrees(index.search(index_world.queries, K, norm), scores, exact=False)
        raw = index.search(index_world.queries, K, norm, mode="dot")
        assert raw.method == "dot"
    with index_built.open() as again:
        repeated = again.search(index_world.queries, K, norm, certify=True)
        if index_built.spec is not None or index_case.own_store:
            assert repeated.ids == found.ids
        assert upload(again, index_case, index_world, norm).written == 0


def test_sides_are_named_by_the_norm_or_the_caller(index_world, index_builders, tmp_path):
    pytest.importorskip("faiss", reason="faiss is not installed")
    built = index_builders.faiss_index("flat", tmp_path, range(300), index_world.items)
    sided = distnorm.make("nnn", sides=("query", "document"), k=5)
    sided.fit(query=index_world.texts, document=index_world.images)
    norm = index_world.norm("nnn", k=5)
    with built.open() as index:
        for call, keyword in (
            (lambda **side: index.upload_bias(sided, **side), "item_side"),
            (lambda **side: index.check(sided, **side), "item_side"),
            (lambda **side: index.search(index_world.queries, K, sided, **side), "query_side"),
        ):
            with pytest.raises(distnorm.DistnormError, match=f"{keyword}=, one of them"):
                call()
            with pytest.raises(distnorm.DistnormError, match=f"{keyword}='query' and modality"):
                call(**{keyword: "query", "modality": "document"})
        index.upload_bias(sided, item_side="documents")
        assert index.check(sided, modality="document").without_bias == 0
        named = index.search(index_world.queries, K, sided, query_side="query")
        assert named.ids == index.search(index_world.queries, K, sided, modality="queries").ids
        index.upload_bias(norm)
        assert named.ids == index.search(index_world.queries, K, norm, query_side="texts").ids


TIES = ("faiss-flat", "usearch-exact", "qdrant-dot", "pgvector-ip", "lancedb-dot", "milvus-ip",
        "chroma-ip", "duckdb", "sqlite-vec-l2", "clip-retrieval")  # fmt: skip


@pytest.mark.parametrize("name", TIES)
@pytest.mark.parametrize("method", ["dot", "dn", "nnn"])
def test_equal_scores_go_to_the_lowest_id(name, method, index_builders, index_world, tmp_path):
    """Each item stands in the index four times, under ids that rise in another order."""
    case = next((case for case in index_builders.CASES if case.name == name), None)
    assert case is not None, name
    if case.missing:
        pytest.skip(f"{case.missing} is not installed")
    folder = tmp_path / f"ties_{method}_{name.replace('-', '_')}"
    folder.mkdir()
    items = np.concatenate([index_world.items[:30]] * 4)
    built = case.build(folder, range(120), items)
    norm = index_world.norm(method)
    try:
        with built.open() as index:
            if method == "nnn":
                given = {} if case.gives_rows else {"ids": range(120), "items": items}
                index.upload_bias(norm, **given)
            found = index.search(index_world.queries, 12, norm)
            if case.exact:
                # Items that tie with the last one of a list: the lowest ids are kept.
                short = index.search(index_world.queries, 10, norm)
                assert short.ids == tuple(ids[:10] for ids in found.ids)
            for ids, scores in zip(found.ids, found.scores, strict=True):
                for place in range(11):
                    assert scores[place] >= scores[place + 1]
                    tied = scores[place] == scores[place + 1]
                    assert not tied or ids[place] < ids[place + 1]
                if case.exact:
                    assert len(set(np.round(scores, 6))) == 3
    finally:
        built.stop()


def test_more_than_there_is(index_case, index_built, index_world):
    with index_built.open() as index:
        found = index.search(index_world.queries[:1], 1000, index_world.norm("dn"))
    assert len(found.ids[0]) == 300 if index_case.exact else len(found.ids[0]) <= 300


@pytest.mark.parametrize("method", ["dn2", "is", "csls", "sinkhorn"])
def test_every_method_with_an_item_bias(method, index_world, tmp_path, index_builders):
    pytest.importorskip("faiss", reason="faiss is not installed")
    built = index_builders.faiss_index("flat", tmp_path, range(300), index_world.items)
    norm = index_world.norm(method)
    with built.open() as index:
        index.upload_bias(norm)
        found = index.search(index_world.queries, K, norm, certify=True)
    matrix = norm.similarity(
        index_world.items.astype(np.float64), index_world.queries.astype(np.float64)
    )
    agrees(found, np.asarray(matrix).T, exact=True)


def test_a_faiss_file_carries_the_shift(tmp_path, index_world, index_builders):
    faiss = pytest.importorskip("faiss", reason="faiss is not installed")
    from distnorm.search.indexes.faiss import save_with_shift

    norm = index_world.norm("dn")
    flat = faiss.IndexFlatIP(24)
    flat.add(index_world.items)
    save_with_shift(flat, norm, tmp_path / "shifted.index")
    alone = faiss.read_index(str(tmp_path / "shifted.index"))
    scores = dn_scores(index_world)
    _, ids = alone.search(index_world.queries, K)
    np.testing.assert_array_equal(ids, np.argsort(-scores, axis=1)[:, :K])
    # Opened here, the wrapper is off: the shift does not count twice, and raw is raw.
    with open_index(f"faiss:{tmp_path / 'shifted.index'}") as index:
        agrees(index.search(index_world.queries, K, norm), scores, exact=True)
        raw = index_world.queries.astype(float) @ index_world.items.astype(float).T
        agrees(index.search(index_world.queries, K), raw, exact=True)
    with pytest.raises(distnorm.DistnormError, match="a linear method"):
        save_with_shift(flat, index_world.norm("nnn"), tmp_path / "no.index")
    with pytest.raises(distnorm.DistnormError, match="24 dimensions"):
        save_with_shift(faiss.IndexFlatIP(8), norm, tmp_path / "no.index")
    assert not (tmp_path / "no.index").exists()


@pytest.mark.parametrize("system", ["faiss", "usearch", "hnswlib"])
def test_a_bias_as_one_more_dimension(system, tmp_path, index_world, index_builders):
    pytest.importorskip(system, reason=f"{system} is not installed")
    norm = index_world.norm("nnn", k=5)
    rows = items_with_bias(index_world.items, norm.item_bias(images=index_world.items))
    builder = {
        "faiss": index_builders._faiss("flat"),
        "usearch": index_builders.partial(index_builders.usearch_index, "ip"),
        "hnswlib": index_builders.partial(index_builders.hnswlib_index, "ip"),
    }[system]
    built = builder(tmp_path, range(300), rows)
    exact = system == "faiss"
    raw = index_world.queries.astype(float) @ index_world.items.astype(float).T
    with built.open(bias_dimension=True) as index:
        agrees(index.search(index_world.queries, K, norm), nnn_scores(index_world), exact=exact)
        agrees(index.search(index_world.queries, K), raw, exact=exact)
        agrees(
            index.search(index_world.queries, K, index_world.norm("dn")),
            dn_scores(index_world),
            exact=exact,
        )
    by_hand = queries_for_bias(index_world.queries) @ rows.T
    wanted = raw - np.asarray(norm.item_bias(images=index_world.items))[None, :]
    np.testing.assert_allclose(by_hand, wanted, atol=1e-5)
    np.testing.assert_allclose(
        queries_for_bias(index_world.queries, normalized=False) @ rows.T, raw, atol=1e-5
    )


def test_torch_queries_and_half_precision(tmp_path, index_world, index_builders):
    pytest.importorskip("faiss", reason="faiss is not installed")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    built = index_builders.faiss_index("flat", tmp_path, range(300), index_world.items)
    with built.open() as index:
        norm = index_world.norm("dn")
        plain = index.search(index_world.queries, K, norm)
        assert index.search(torch.from_numpy(index_world.queries), K, norm).ids == plain.ids
        half = index.search(index_world.queries.astype(np.float16), K, norm)
    for a, b in zip(half.scores, plain.scores, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)
