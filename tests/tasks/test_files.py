"""Labels, judgements and embeddings as .npy, .csv and .parquet; names that classes share."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from distnorm import DistnormError, normalize
from distnorm.cli.main import cli
from distnorm.store.vectors import read_embeddings
from distnorm.tasks.files import by_picture, read_lines, read_numbers, read_rows


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture
def files(tmp_path, rng):
    """Ten images of four classes, each kind of file three times over."""
    arrow = pytest.importorskip("pyarrow", reason="writes .parquet")
    parquet = pytest.importorskip("pyarrow.parquet", reason="writes .parquet")
    images = normalize(rng.normal(size=(10, 5)).astype(np.float32))
    classes = normalize(rng.normal(size=(4, 5)).astype(np.float32))
    labels, human = rng.integers(0, 4, 10), rng.integers(1, 5, 10).astype(float)
    for name, values in (("images", images), ("classes", classes)):
        np.save(tmp_path / f"{name}.npy", values)
        head = ",".join(f"x{column}" for column in range(5))
        np.savetxt(tmp_path / f"{name}.csv", values, delimiter=",", header=head, comments="")
        table = arrow.table({"id": list(range(len(values))), "embedding": list(values)})
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    for name, values in (("labels", labels), ("human", human)):
        np.save(tmp_path / f"{name}.npy", values)
        lines = [f"{row},{value}" for row, value in enumerate(values)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,value", *lines]) + "\n")
        table = arrow.table({"id": list(range(len(values))), "value": values})
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    return tmp_path, images, classes, labels, human


@pytest.mark.parametrize("kind", ["npy", "csv", "parquet"])
def test_every_kind_of_file_gives_the_same(files, kind):
    folder, images, classes, labels, human = files
    np.testing.assert_allclose(read_embeddings(folder / f"images.{kind}"), images, atol=1e-6)
    np.testing.assert_array_equal(read_rows(folder / f"labels.{kind}"), labels)
    np.testing.assert_array_equal(read_numbers(folder / f"human.{kind}"), human)
    result = invoke(
        *("evaluate", "classification", "--images", folder / f"images.{kind}"),
        *("--classes", folder / f"classes.{kind}", "--labels", folder / f"labels.{kind}"),
        *("--json", "-"),
    )
    assert result.exit_code == 0, result.output
    right = ((images @ classes.T).argmax(axis=1) == labels).mean()
    assert json.loads(result.stdout)["metrics"]["acc1"] == pytest.approx(right)
    scored = invoke(
        *("evaluate", "captions", "--images", folder / f"images.{kind}"),
        *("--captions", folder / f"images.{kind}", "--human", folder / f"human.{kind}"),
        *("--rule", "clipscore", "--json", "-"),
    )
    assert scored.exit_code == 0, scored.output


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_shared_names_are_reported(files, command):
    folder = files[0]
    (folder / "names.txt").write_text("tench\ncrane\nowl\ncrane\n")
    arguments = (
        *(command, "classification", "--images", folder / "images.npy"),
        *("--classes", folder / "classes.npy", "--labels", folder / "labels.npy"),
        *("--class-names", folder / "names.txt", "--json", "-"),
    )
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["repeated_names"] == ["crane"]
    assert "share a name" in result.stderr
    (folder / "names.txt").write_text("tench\ncrane\n")
    assert "2 names of 4 classes" in invoke(*arguments).stderr


def test_what_is_no_file_of_these_is_said(tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n3\n")
    with pytest.raises(DistnormError, match=r"x\.csv"):
        read_embeddings(tmp_path / "x.csv")
    (tmp_path / "half.csv").write_text("row\n0.5\n")
    with pytest.raises(DistnormError, match="whole numbers"):
        read_rows(tmp_path / "half.csv")
    (tmp_path / "names.txt").write_text("")
    with pytest.raises(DistnormError, match="without a row"):
        read_lines(tmp_path / "names.txt")
    with pytest.raises(DistnormError, match="no file"):
        read_lines(tmp_path / "none.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DistnormError, match="UTF-8"):
        read_lines(tmp_path / "bytes.txt")


def test_rows_of_images(tmp_path):
    (tmp_path / "rows.txt").write_text("0\n0\n1\n")
    np.testing.assert_array_equal(read_rows(tmp_path / "rows.txt"), [0, 0, 1])
    np.save(tmp_path / "rows.npy", np.array([2, 1]))
    np.testing.assert_array_equal(read_rows(tmp_path / "rows.npy"), [2, 1])
    np.save(tmp_path / "bad.npy", np.array([2.5]))
    for name, words in (("bad.npy", "2.5 in row 0"), ("none.npy", "no file")):
        with pytest.raises(DistnormError, match=words):
            read_rows(tmp_path / name)


def test_numbers_beyond_whole_ones_are_named(tmp_path):
    (tmp_path / "rows.txt").write_text("0\n1\n9223372036854775808\n")
    with pytest.raises(DistnormError, match="in row 2"):
        read_rows(tmp_path / "rows.txt")


def test_one_line_of_words_and_a_number_is_a_sentence(tmp_path):
    (tmp_path / "texts.txt").write_text("caption 0\n")
    assert read_lines(tmp_path / "texts.txt") == ["caption 0"]


def test_an_archive_packed_in_an_unknown_way_is_refused(tmp_path):
    path = tmp_path / "rows.npz"
    np.savez(path, rows=np.arange(4))
    content = bytearray(path.read_bytes())
    for start, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(start) + at] = 99
    path.write_bytes(content)
    with pytest.raises(DistnormError, match="cannot be read"):
        read_rows(path)


def test_labels_follow_the_names_of_a_stores_pictures(tmp_path):
    names, labels = ["x/b.png", "x/a.png", "x/c.png"], np.array([0, 1, 2])
    for text in ("file,label\na.png,0\nb.png,1\nc.png,2\n", "a.png 0\nb.png 1\nc.png 2\n"):
        (tmp_path / "l.csv").write_text(text.replace(" ", ","))
        assert by_picture(labels, tmp_path / "l.csv", names).tolist() == [1, 0, 2]
    (tmp_path / "l.csv").write_text("file,label\nb.png,0\nb.png,1\nb.png,2\n")
    assert by_picture(labels, tmp_path / "l.csv", ["x/b.png", "y/b.png", "z/b.png"]) is labels
    (tmp_path / "l.csv").write_text("file,label\n7.png,0\n8.png,1\n9.png,2\n")
    assert by_picture(labels, tmp_path / "l.csv", names) is labels
    for rows in ("a.png,0\nb.png,1\nd.png,2", "a.png,0\nb.png,1\nb.png,2"):
        (tmp_path / "l.csv").write_text(f"file,label\n{rows}\n")
        with pytest.raises(DistnormError, match="one row for each picture of the store"):
            by_picture(labels, tmp_path / "l.csv", names)
    np.save(tmp_path / "l.npy", labels)
    assert by_picture(labels, tmp_path / "l.npy", names) is labels
