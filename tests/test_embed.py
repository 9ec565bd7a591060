"""From pictures and sentences to a store, through crashes and bad files."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm import DistnormError
from distnorm.cli.main import cli
from distnorm.embedding_store import read_embeddings, read_names

Image = pytest.importorskip("PIL.Image", reason="embedding pictures needs Pillow")
parquet = pytest.importorskip("pyarrow.parquet", reason="stores need pyarrow")
pytest.importorskip("onnxruntime", reason="the built-in model needs onnxruntime")

from distnorm.embedding import embed, find_items
from distnorm.scenes import generate, save_scenes


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in") / "scenes"
    save_scenes(folder, 12, world="night")
    return folder


@pytest.fixture(scope="module")
def store(scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "store"
    result = invoke("embed", scenes, "--model", "builtin", "--out", out, "--json", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["failed"] == 0
    return out


def test_the_store_is_what_the_encoder_says(store):
    rows = parquet.read_table(store / "metadata" / "metadata_0.parquet").to_pylist()
    images, texts = (read_embeddings(store, side) for side in ("image", "text"))
    assert len(rows) == len(images) == len(texts) > 50
    assert images.dtype == np.float16
    assert rows[0]["image_path"] == "night-000000.png"
    assert (rows[0]["width"], rows[0]["height"]) == (64, 64)
    encoder = distnorm.load_encoder("builtin")
    scene = generate(1, world="night")[0]
    np.testing.assert_allclose(images[0], encoder.encode_images([scene.image()])[0], atol=1e-3)
    captions = [row["caption"] for row in rows]
    np.testing.assert_allclose(texts, encoder.encode_texts(captions), atol=1e-3)
    assert json.loads((store / "store.json").read_text())["model"] == "builtin"
    assert read_names(store)[0] == "night-000000.png"
    assert read_names(store, "text") == captions


def test_running_again_adds_only_what_is_new(scenes, store, tmp_path):
    again = invoke("embed", scenes, "--model", "builtin", "--out", store, "--json", "-")
    assert json.loads(again.stdout)["written"] == 0
    before = len(read_embeddings(store))
    other = tmp_path / "more"
    other.mkdir()
    Image.new("RGB", (30, 30), "red").save(other / "new.png")
    (other / "captions.tsv").write_text("path\tcaption\nnew.png\ta red square\n")
    grown = invoke("embed", other, "--model", "builtin", "--out", store, "--json", "-")
    assert json.loads(grown.stdout)["written"] == 1
    assert len(read_embeddings(store)) == before + 1


def test_a_store_goes_through_fit_compare_and_search(store, tmp_path):
    norm, report = tmp_path / "n.safetensors", tmp_path / "report.html"
    assert invoke("fit", "--images", store, "--texts", store, "--out", norm).exit_code == 0
    assert distnorm.load(norm).model == "builtin-1"
    compared = invoke(
        *("compare", "retrieval", "--images", store, "--texts", store, "--repeats", "2"),
        *("--methods", "dot,dn", "--report", report, "--json", "-"),
    )
    assert compared.exit_code == 0, compared.output
    assert 12 <= json.loads(compared.stdout)["n_images"] <= 13
    assert "<svg" in report.read_text()
    query = ("search", store, "a red star", "--normalization", norm, "--k", "4")
    found = invoke(*query, "--both", "--json", "-")
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    assert [entry["rank"] for entry in result["results"]] == [1, 2, 3, 4]
    # The same by hand: shifted query against distinct pictures.
    names = list(dict.fromkeys(read_names(store)))
    rows = np.stack([read_embeddings(store)[read_names(store).index(n)] for n in names])
    q = distnorm.load_encoder("builtin").encode_texts(["a red star"])
    shifted = distnorm.load(norm).shift_queries(q, modality="text")[0]
    order = np.argsort(-(rows.astype(np.float64) @ shifted.astype(np.float64)), kind="stable")
    assert [entry["name"] for entry in result["results"]] == [names[i] for i in order[:4]]
    assert len(result["dot"]) == 4


def test_a_picture_finds_itself(store, scenes):
    found = invoke("search", store, scenes / "night-000005.png", "--k", "1", "--json", "-")
    assert json.loads(found.stdout)["results"][0]["name"] == "night-000005.png"


def test_bad_pictures_are_listed_and_the_rest_goes_on(tmp_path):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    good = Image.fromarray(rng.integers(0, 255, (50, 70, 3), np.uint8))
    good.save(folder / "good.jpg")
    good.convert("CMYK").save(folder / "cmyk.jpg")
    good.convert("LA").save(folder / "deep" / "transparent.png")
    Image.fromarray(rng.integers(0, 65535, (20, 20)).astype(np.uint16)).save(folder / "16bit.png")
    Image.new("RGB", (1, 1)).save(folder / "1x1.png")
    good.save(folder / "moving.gif", save_all=True, append_images=[good.rotate(90)])
    turned = Image.Exif()
    turned[274] = 6
    good.save(folder / "turned.jpg", exif=turned)
    content = (folder / "good.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(content[: len(content) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    os.symlink(folder, folder / "deep" / "circle")
    os.symlink(folder / "nowhere.png", folder / "dangling.png")
    result = invoke("embed", folder, "--model", "builtin", "--out", tmp_path / "s", "--json", "-")
    assert result.exit_code == 1
    assert "4 could not be read" in result.stderr
    lines = (tmp_path / "s" / "failed.jsonl").read_text().splitlines()
    failed = {entry["path"]: entry["reason"] for entry in map(json.loads, lines)}
    assert set(failed) == {"half.jpg", "empty.png", "text.jpg", "dangling.png"}
    assert "zero bytes" in failed["empty.png"]
    assert len(read_embeddings(tmp_path / "s")) == 7
    sizes = parquet.read_table(tmp_path / "s" / "metadata" / "metadata_0.parquet").to_pylist()
    assert {row["image_path"]: row["width"] for row in sizes}["turned.jpg"] == 50


class Slow:
    """Rows from pixels, a moment a batch, so that a kill lands anywhere."""

    model_id, dimension, max_tokens = "slow", 3, None

    @staticmethod
    def preprocess(image):
        return np.asarray(image.resize((2, 2)), dtype=np.float32)

    def encode_pixels(self, pixels):
        time.sleep(0.004)
        return pixels.reshape(len(pixels), -1)[:, :3] + 1

    def count_tokens(self, texts):
        return np.zeros(len(texts), dtype=np.intp)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_embed import Slow
from distnorm.embedding import embed, find_items
embed(Slow(), find_items({source!r}), Path({out!r}), model="slow", batch_size=3, shard_rows=7)
print("done")
"""


def test_kills_lose_and_double_nothing(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    rng = np.random.default_rng(1)
    for number in range(60):
        pixels = rng.integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(source / f"{number:03d}.png")
    whole = tmp_path / "whole"
    embed(Slow(), find_items(source), whole, model="slow", batch_size=3, shard_rows=7)
    broken = tmp_path / "broken"
    script = SCRIPT.format(tests=str(Path(__file__).parent), source=str(source), out=str(broken))
    home = str(Path(distnorm.__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": home}
    dice = random.Random(0)
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            process.wait(timeout=0.35 + 0.35 * dice.random())
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
    embed(Slow(), find_items(source), broken, model="slow", batch_size=3, shard_rows=7)
    order = [np.argsort(read_names(store)) for store in (whole, broken)]
    assert sorted(read_names(broken)) == read_names(whole)
    np.testing.assert_array_equal(
        read_embeddings(whole)[order[0]], read_embeddings(broken)[order[1]]
    )
    assert not list(broken.glob("*/.*"))


def test_lines_and_tables(tmp_path):
    (tmp_path / "a.txt").write_text("a red star\na blue circle\n")
    items = find_items(tmp_path / "a.txt")
    assert [item.text for item in items] == ["a red star", "a blue circle"]
    (tmp_path / "b.csv").write_text("id,Caption\n1,one\n2,two\n")
    assert [item.text for item in find_items(tmp_path / "b.csv")] == ["one", "two"]
    long = " ".join(["star"] * 60)
    (tmp_path / "c.txt").write_text(f"{long}\na star\n")
    out = tmp_path / "s"
    result = invoke("embed", tmp_path / "c.txt", "--model", "builtin", "--out", out, "--json", "-")
    assert json.loads(result.stdout)["over_long"] == 1
    assert "1 texts are longer than 48" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("x.txt", "a\n\nb\n", "empty text in line 2"),
        ("x.csv", "id,number\n1,2\n", "columns id, number"),
        ("x.csv", "caption\nfine\n  \n", "empty text in line 3"),
        ("x.txt", "", "without pictures or texts"),
    ],
)
def test_sources_that_cannot_be_read(tmp_path, name, content, part):
    (tmp_path / name).write_text(content)
    with pytest.raises(DistnormError, match=part):
        find_items(tmp_path / name)


def test_what_search_and_embed_refuse(store, scenes, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("x")
    np.save(tmp_path / "x.npy", np.eye(5, dtype=np.float32))
    other = distnorm.make("dn", model="another").fit(
        images=np.eye(128, dtype=np.float32), texts=np.eye(128, dtype=np.float32)
    )
    other.save(tmp_path / "other.safetensors")
    normalization = ("--normalization", tmp_path / "other.safetensors")
    for command, part in (
        (("embed", scenes, "--model", "builtin", "--out", tmp_path / "mine"), "no store"),
        (("embed", tmp_path / "none", "--model", "builtin", "--out", tmp_path / "y"), "no file"),
        (("embed", scenes, "--model", "clip", "--out", tmp_path / "y"), "one of: builtin"),
        (("search", tmp_path / "x.npy", "a star"), "names no model"),
        (("search", tmp_path / "x.npy", "a star", "--model", "builtin"), "5 dimensions"),
        (("search", store, "a star", *normalization), "'another'"),
        (("search", store, " "), "empty text"),
        (("search", tmp_path / "gone", "a star", "--model", "builtin"), "no file"),
    ):
        result = invoke(*command)
        assert result.exit_code == 1, (command, result.output)
        assert part in result.stderr, (command, result.stderr)
        assert len(result.stderr.strip().splitlines()) == 1
