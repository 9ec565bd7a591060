"""Biases as a column: of a Ray Data set, in Parquet files that resume, in a Lance data set."""

import json
import os
import signal

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm.cli.main import cli
from distnorm.errors import DistnormError

pa = pytest.importorskip("pyarrow")
pytest.importorskip("ray", reason="needs the extra 'ray'")
import pyarrow.parquet as pq
from vector_sets import lance_set, lists, parquet_folder

from distnorm.distributed import bias, open_vectors, sources
from distnorm.distributed.bias import BiasColumn, add_biases, write_biases
from distnorm.search.indexes.keys import column_of


@pytest.fixture
def norm(rows):
    return distnorm.make("nnn", k=4).fit(texts=rows[:120])


@pytest.fixture
def items(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(sources, "FRAGMENT_BYTES", 100 * rows.shape[1] * 4)
    np.save(tmp_path / "items.npy", rows)
    return open_vectors(tmp_path / "items.npy")


def column(folder, name):
    table = pq.read_table(folder).sort_by("row")
    assert table["row"].to_pylist() == list(range(len(table)))
    return table[name].to_numpy()


def test_a_column_of_any_ray_data_set(session, norm, rows):
    import ray

    dataset = ray.data.from_arrow(pa.table({"row": np.arange(len(rows)), "v": lists(rows)}))
    found = dataset.map_batches(
        BiasColumn(norm, "v", name="bias"), batch_format="pyarrow", batch_size=100
    ).to_pandas()
    expected = norm.item_bias(images=rows)
    np.testing.assert_allclose(found.sort_values("row")["bias"], expected, atol=1e-6)
    with pytest.raises(DistnormError, match="without the column 'w'; expected one of 'row', 'v'"):
        BiasColumn(norm, "w")(pa.table({"row": [1], "v": lists(rows[:1])}))


def test_parquet_files_after_a_worker_was_killed_and_a_run_was_stopped(
    session, mortal, norm, items, rows, tmp_path
):
    out, name = tmp_path / "out", column_of(norm, "image")
    seen = []
    done = write_biases(mortal, norm, items, out, progress=lambda *n: seen.append(n))
    assert mortal.marker.exists()
    # The fragment of the worker that was killed had been written.
    assert done.written + done.already == len(rows)
    assert seen[-1] == (len(rows), len(rows))
    expected = norm.item_bias(images=rows)
    np.testing.assert_allclose(column(out, name), expected, atol=1e-6)
    assert done.lowest == pytest.approx(expected.min(), abs=1e-6)
    assert done.mean == pytest.approx(expected.mean(), abs=1e-6)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    (out / "bias_000003.parquet").unlink()
    again = write_biases(session, norm, items, out)
    assert (again.written, again.already) == (100, 600)
    assert again.mean == pytest.approx(done.mean, abs=1e-12)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert [n for n in before if after[n] != before[n]] == ["bias_000003.parquet"]
    assert not [path for path in out.iterdir() if path.name.endswith(".tmp")]


def test_a_folder_of_something_else_is_left_alone(session, norm, items, rows, tmp_path):
    out = tmp_path / "out"
    write_biases(session, norm, items, out)
    other = distnorm.make("nnn", k=5).fit(texts=rows[:120])
    with pytest.raises(DistnormError, match=r"biases of another normalization; .*--fresh"):
        write_biases(session, other, items, out)
    assert write_biases(session, other, items, out, fresh=True).written == len(rows)
    np.testing.assert_allclose(
        column(out, column_of(other, "image")), other.item_bias(images=rows), atol=1e-6
    )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(DistnormError, match="full with other files"):
        write_biases(session, norm, items, tmp_path / "full")


def test_a_lance_data_set_gets_a_column_though_a_worker_dies(
    session, norm, rows, tmp_path, monkeypatch
):
    import lance

    folder, name = lance_set(tmp_path / "set.lance", rows), column_of(norm, "image")
    marker, batch = str(tmp_path / "killed"), bias._batch

    def deadly(*known):
        result = batch(*known)
        if not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    monkeypatch.setattr(bias, "_batch", deadly)
    done = add_biases(session, norm, folder)
    assert os.path.exists(marker)
    monkeypatch.undo()
    assert (done.written, done.already) == (len(rows), 0)
    found = lance.dataset(str(folder)).to_table(columns=[name])[name].to_numpy()
    np.testing.assert_allclose(found, norm.item_bias(images=rows), atol=1e-6)
    assert add_biases(session, norm, folder).already == len(rows)
    more = pa.table({"id": np.arange(3), "emb": lists(rows[:3])})
    lance.write_dataset(more, folder, mode="append")
    assert add_biases(session, norm, folder).written == len(rows) + 3
    assert lance.dataset(str(folder)).count_rows(filter=f"{name} IS NULL") == 0


def test_what_is_refused(session, norm, items, rows, tmp_path):
    for other, words in (
        (distnorm.make("dn").fit(texts=rows), "a shift of the query"),
        (distnorm.make("sinkhorn").fit(texts=rows), "depends on all items together"),
        (distnorm.make("nnn", input="any").fit(texts=rows[:, :8]), "items.npy of 24 dimensions"),
    ):
        with pytest.raises(DistnormError, match=words):
            write_biases(session, other, items, tmp_path / "out")
    np.save(tmp_path / "long.npy", rows * 2)
    with pytest.raises(DistnormError, match=r"images of .*long.npy.* not of unit length"):
        write_biases(session, norm, open_vectors(tmp_path / "long.npy"), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.parquet"))
    done = write_biases(
        session, norm, open_vectors(tmp_path / "long.npy"), tmp_path / "unit", unit=True
    )
    assert done.mean == pytest.approx(norm.item_bias(images=rows).mean(), abs=1e-6)


def test_the_command(session, norm, rows, tmp_path):
    folder = parquet_folder(tmp_path / "set", rows)
    norm.save(tmp_path / "n.safetensors")
    start = ["index", "bias", str(folder), "--normalization", str(tmp_path / "n.safetensors")]
    out = ["--engine", "ray", "--out", str(tmp_path / "out"), "--json", "-"]
    result = CliRunner().invoke(cli, [*start, *out])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert list(told) == [
        "schema", "task", "index", "column", "method", "written", "already", "lowest", "mean",
    ]  # fmt: skip
    assert told["written"] == len(rows)
    assert len(column(tmp_path / "out", told["column"])) == len(rows)
    for more, words in (
        (["--out", "x"], "--out needs --engine ray"),
        (["--engine", "ray"], "give --out: a folder"),
        (["--engine", "ray", "--items", "x.npy"], "--engine ray excludes --items"),
    ):
        result = CliRunner().invoke(cli, [*start, *more])
        assert result.exit_code == 2, result.output
        assert words in result.output
    result = CliRunner().invoke(cli, ["index", "bias", "qdrant:http://h/x", *start[3:], *out])
    assert result.exit_code == 1
    assert "leave --engine ray out" in result.output
