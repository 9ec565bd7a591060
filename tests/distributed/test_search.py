"""Exact search by workers: the lists, scores and JSON of a local search, ties included."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from asking import ask, invoke

import distnorm
from distnorm import DistnormError
from distnorm.store.vectors import open_embeddings

ray = pytest.importorskip("ray.data", reason="needs the extra 'ray'")
arrow = pytest.importorskip("pyarrow", reason="needs the extra 'ray'")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'ray'")

from distnorm.distributed.search import ClusterItems, topk
from distnorm.distributed.sources import open_vectors

pytestmark = pytest.mark.usefixtures("session")

WIDTH = 24


@pytest.fixture(scope="module")
def crowded():
    """Unit rows in float16, a third of them copies of rows far away."""
    rng = np.random.default_rng(11)
    rows = distnorm.normalize(rng.normal(0.2, 1, (900, WIDTH)).astype(np.float32))
    rows[rng.permutation(900)[:300]] = rows[rng.integers(0, 40, 300)]
    return rows.astype(np.float16)


@pytest.fixture(scope="module")
def skewed(crowded, tmp_path_factory):
    """The same in shards of very different sizes."""
    folder = tmp_path_factory.mktemp("skewed")
    edges = [0, 1, 2, 700, 705, 900]
    for number, (a, b) in enumerate(itertools.pairwise(edges)):
        np.save(folder / f"part_{number}.npy", crowded[a:b])
    return folder


@pytest.fixture(scope="module")
def queries(crowded):
    """Rows that have copies, so that the first places are shared."""
    noise = np.random.default_rng(2).normal(0, 0.05, (5, WIDTH)).astype(np.float32)
    return distnorm.normalize(crowded[:5].astype(np.float32) + noise)


def fitted(method, crowded, queries):
    return distnorm.make(method).fit(images=crowded[:200], texts=queries)


def local(crowded, queries, k, norm=None):
    """What one process finds."""
    if norm is None:
        return distnorm.topk(queries, crowded, k)
    if norm.correction("text").shifts_queries:
        return distnorm.topk(norm.shift_queries(texts=queries), crowded, k)
    return distnorm.topk(queries, crowded, k, norm.item_bias(images=crowded))


@pytest.mark.parametrize("method", [None, "dn", "dn2", "nnn"])
def test_lists_are_those_of_one_process(skewed, crowded, queries, method):
    norm = None if method is None else fitted(method, crowded, queries)
    for k in (40, 1000) if method is None else (40,):
        scores, rows = topk(queries, skewed, k, normalization=norm)
        expected = local(crowded, queries, k, norm)
        assert scores.dtype == np.float32
        np.testing.assert_array_equal(rows, expected[1])
        np.testing.assert_array_equal(scores, expected[0])


def test_a_killed_worker_changes_nothing(mortal, skewed, crowded, queries):
    items = ClusterItems(mortal, open_vectors(skewed))
    norm = fitted("nnn", crowded, queries)
    scores, rows = items.topk(queries, 40, items.bias(norm, "image"))
    assert mortal.marker.exists()
    expected = local(crowded, queries, 40, norm)
    np.testing.assert_array_equal(rows, expected[1])
    np.testing.assert_array_equal(scores, expected[0])


def blocks_of(rows, edges, bias=None):
    """A data set of blocks, one of them empty, whose rows stand in falling order."""
    numbers, tables = np.arange(len(rows))[::-1], []
    cuts = [0, *edges, len(rows)]
    for a, b in itertools.pairwise(cuts):
        some = numbers[a:b]
        flat = arrow.array(np.ascontiguousarray(rows[some]).ravel())
        columns = {"id": some, "x": arrow.FixedSizeListArray.from_arrays(flat, WIDTH)}
        if bias is not None:
            columns["b"] = bias[some]
        tables.append(arrow.table(columns))
    return ray.from_arrow(tables)


def test_blocks_of_a_data_set_in_any_order_one_of_them_empty(crowded, queries):
    norm = fitted("dn2", crowded, queries)
    bias = norm.item_bias(images=crowded)
    dataset = blocks_of(crowded, [1, 1, 600], bias)
    scores, rows = topk(queries, dataset, 30, on="x", row="id")
    expected = local(crowded, queries, 30)
    np.testing.assert_array_equal(rows, expected[1])
    np.testing.assert_array_equal(scores, expected[0])
    scores, rows = topk(queries, dataset, 30, on="x", row="id", bias="b")
    np.testing.assert_array_equal(rows, local(crowded, queries, 30, norm)[1])
    with pytest.raises(DistnormError, match=r"without the column 'vector'.*'id'.*on="):
        topk(queries, dataset, 3, row="id")
    with pytest.raises(DistnormError, match=f"{WIDTH} dimensions.*3 as the queries"):
        topk(queries[:, :3], dataset, 3, on="x", row="id")


def test_what_cannot_be_searched_is_refused_in_a_line(skewed, crowded, queries, tmp_path):
    with pytest.raises(DistnormError, match=f"{WIDTH} dimensions; expected 3"):
        topk(queries[:, :3], skewed, 3)
    with pytest.raises(DistnormError, match="k = 0"):
        topk(queries, skewed, 0)
    with pytest.raises(DistnormError, match="'dn2', which needs all items at once"):
        topk(queries, skewed, 3, normalization=distnorm.make("dn2").fit(texts=queries))
    bad = crowded.copy()
    bad[450] = np.inf
    np.save(tmp_path / "x.npy", bad)
    with pytest.raises(DistnormError, match=r"infinity in .*x\.npy.*row 450"):
        topk(queries, tmp_path / "x.npy", 3)


def test_rows_of_any_order_are_read_here(session, skewed, crowded):
    items = ClusterItems(session, open_vectors(skewed))
    wanted = [899, 0, 2, 2, 701]
    np.testing.assert_array_equal(items[wanted], crowded[wanted])
    np.testing.assert_array_equal(items[:5], crowded[:5])
    assert items[:0].shape == (0, WIDTH)
    assert items.shape == open_embeddings(skewed).shape


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Drawn pictures with captions, each picture in several rows."""
    pytest.importorskip("PIL", reason="drawn pictures")
    pytest.importorskip("onnxruntime", reason="the built-in model")
    from distnorm.scenes import save_scenes

    folder = tmp_path_factory.mktemp("drawn")
    save_scenes(folder / "in", 16, world="night")
    words = ("embed", folder / "in", "--model", "builtin", "--out", folder / "store")
    assert invoke(*words, "--shard-rows", 9).exit_code == 0
    for method in ("dn", "nnn"):
        fit = ("fit", "--images", folder / "store", "--texts", folder / "store")
        assert not invoke(*fit, "--method", method, "--out", folder / f"{method}.st").exit_code
    return folder


@pytest.mark.parametrize("words", [(), ("dn", "--both"), ("nnn", "--both", "--k", 3)])
def test_the_command_says_the_same(store, words):
    method, *more = words or (None,)
    if method is not None:
        more += ["--normalization", store / f"{method}.st"]
    asked = (store / "store", "a red star at night", *more)
    assert ask(*asked, "--engine", "ray") == ask(*asked)


def test_many_queries_and_a_column_of_a_file(crowded, queries, tmp_path):
    np.save(tmp_path / "q.npy", queries)
    lists = arrow.FixedSizeListArray.from_arrays(arrow.array(crowded.ravel()), WIDTH)
    parquet.write_table(arrow.table({"v": lists}), tmp_path / "x.parquet", row_group_size=250)
    fitted("nnn", crowded, queries).save(tmp_path / "n.st")
    words = ("--query-vectors", tmp_path / "q.npy", "--normalization", tmp_path / "n.st")
    asked = (tmp_path / "x.parquet", *words, "--k", 20)
    found = ask(*asked, "--engine", "ray")
    assert found == ask(*asked)
    assert found["results"][0][0]["name"] == f"#{found['results'][0][0]['id']}"


def test_options_that_need_one_machine_are_refused_before_ray_starts(store):
    for words in (
        (store / "store", "a star", "--side", "both"),
        (store / "store", "a star", "--bias", "b.st"),
        ("faiss:x.index", "a star"),
    ):
        done = invoke("search", *words, "--engine", "ray")
        assert done.exit_code == 2, done.output
        assert "--engine ray" in done.output
    done = invoke("search", store / "store", "a star", "--address", "127.0.0.1:1")
    assert done.exit_code == 2
    assert "--engine ray" in done.output
