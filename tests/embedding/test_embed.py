"""From pictures and sentences to a store: what is in it, what a second run does, bad pictures."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm import DistnormError
from distnorm.cli.main import cli
from distnorm.store.columns import read_names
from distnorm.store.layout import Commit
from distnorm.store.vectors import read_embeddings

Image = pytest.importorskip("PIL.Image", reason="embedding pictures needs Pillow")
parquet = pytest.importorskip("pyarrow.parquet", reason="stores need pyarrow")

# Worker processes take the path over, and import the encoder's module from it.
HERE = str(Path(__file__).parents[1] / "helpers")
sys.path.insert(0, HERE)

from distnorm.embedding import Item, embed, find_items, open_source
from distnorm.embedding.pictures import decode_picture, open_picture

tiny_encoder = importlib.import_module("tiny_encoder")
photos = tiny_encoder.photos


def tiny(**options):
    return tiny_encoder.Tiny(**options)


def table(store):
    rows = []
    for file in Commit.read(store).files("metadata"):
        rows += parquet.read_table(file).to_pylist()
    return rows


def failed(store):
    lines = (store / "failed.jsonl").read_text().splitlines()
    return {entry["path"]: entry["reason"] for entry in map(json.loads, lines)}


def test_the_layout_is_clip_retrievals(tmp_path):
    folder = photos(tmp_path / "in", 11)
    (folder / "captions.tsv").write_text(
        "path\tcaption\n" + "".join(f"{n:03}.png\tphoto {n} {w}\n" for n in range(11) for w in "ab")
    )
    encoder = tiny()
    done = embed(encoder, open_source(folder), tmp_path / "s", model="tiny", shard_rows=10)
    assert (done.written, done.known, done.failed) == (22, 0, 0)
    files = sorted(p.relative_to(tmp_path / "s").as_posix() for p in (tmp_path / "s").rglob("*.*"))
    assert files == [".lock", *(f"img_emb/img_emb_{n}.npy" for n in range(3)),
                     *(f"metadata/metadata_{n}.parquet" for n in range(3)), "store.json",
                     *(f"text_emb/text_emb_{n}.npy" for n in range(3))]  # fmt: skip
    rows = table(tmp_path / "s")
    assert [row["image_path"] for row in rows[:3]] == ["000.png", "000.png", "001.png"]
    assert rows[1]["caption"] == "photo 0 b"
    assert (rows[0]["width"], rows[0]["height"]) == (9, 8)
    images, texts = (read_embeddings(tmp_path / "s", side) for side in ("image", "text"))
    assert images.dtype == np.float16
    pictures = [open_picture(folder / row["image_path"])[0] for row in rows]
    np.testing.assert_allclose(images, tiny().encode_images(pictures), atol=1e-3)
    np.testing.assert_allclose(texts, tiny().encode_texts([r["caption"] for r in rows]), atol=1e-3)
    # A picture of two captions went through the model once.
    assert sum(encoder.batches) == 11
    about = Commit.read(tmp_path / "s").to_dict()
    assert (about["model_id"], about["shards"]) == ("tiny", {"0": 10, "1": 10, "2": 2})
    assert read_names(tmp_path / "s", "text")[1] == "photo 0 b"


def test_batches_are_full_whatever_fails_between_and_texts_go_by_length(tmp_path):
    folder = photos(tmp_path / "in", 30)
    for n in (3, 4, 9, 17):
        (folder / f"{n:03}.png").write_bytes(b"broken")
    shutil.copy(folder / "000.png", folder / "twin.png")
    encoder = tiny()
    done = embed(
        encoder, open_source(folder), tmp_path / "s", model="t", batch_size=8, shard_rows=5
    )
    assert encoder.batches == [8, 8, 8, 2]
    assert (done.written, done.failed) == (27, 4)
    rows = read_embeddings(tmp_path / "s")
    np.testing.assert_array_equal(rows[0], rows[-1])
    words = [" ".join(["word"] * (n % 7 + 1)) + f" {n}" for n in range(50)]
    texts = [Item(text, None, text) for text in words]
    done = embed(encoder, texts, tmp_path / "t", model="t", batch_size=4)
    assert [len(part) for part in encoder.lengths] == [16, 16, 16, 2]
    flat = [n for part in encoder.lengths for n in part]
    assert flat == sorted(flat)
    assert done.over_long == sum(len(text.split()) > 5 for text in words)
    assert read_names(tmp_path / "t", "text") == words


def test_only_what_is_new_is_embedded(tmp_path):
    folder, store = photos(tmp_path / "in", 5), tmp_path / "s"

    def again(**options):
        encoder = tiny()
        done = embed(encoder, open_source(folder), store, model="t", **options)
        return done, sum(encoder.batches)

    again()
    assert again() == (again()[0], 0)
    photos(folder, 2, start=5)
    done, encoded = again()
    assert (done.written, done.known, encoded) == (2, 5, 2)
    assert read_names(store) == [f"{n:03}.png" for n in range(7)]
    assert Commit.read(store).shards == {0: 7}
    # Moved elsewhere: the content tells.
    shutil.copytree(folder, tmp_path / "moved")
    encoder = tiny()
    done = embed(encoder, open_source(tmp_path / "moved"), store, model="t")
    assert (done.written, done.known, encoder.batches) == (0, 7, [])


def test_changed_files_are_replaced_and_deleted_ones_pruned(tmp_path):
    folder, store = photos(tmp_path / "in", 6), tmp_path / "s"
    other = photos(tmp_path / "other", 3, start=20)
    embed(tiny(), open_source(folder), store, model="t", shard_rows=4)
    embed(tiny(), open_source(other), store, model="t", shard_rows=4)
    shutil.copy(folder / "005.png", folder / "001.png")
    (folder / "002.png").unlink()
    os.utime(folder / "003.png", ns=(5, 5))
    encoder = tiny()
    done = embed(encoder, open_source(folder), store, model="t", shard_rows=4)
    assert (done.written, done.changed, done.known, done.gone) == (1, 1, 4, 1)
    assert encoder.batches == [1]
    # Old names in the order of shards, the new row of 001 at the end.
    left = ["000.png", "002.png", "003.png", "004.png", "005.png"]
    assert read_names(store) == [*left, "020.png", "021.png", "022.png", "001.png"]
    rows = dict(zip(read_names(store), read_embeddings(store), strict=True))
    np.testing.assert_array_equal(rows["001.png"], rows["005.png"])
    # The new time was noted: the file is not even opened.
    assert {row["image_path"]: row["mtime"] for row in table(store)}["003.png"] == 5
    done = embed(tiny(), open_source(folder), store, model="t", prune=True, shard_rows=4)
    assert (done.written, done.pruned, done.gone) == (0, 1, 0)
    assert sorted(read_names(store)) == sorted(set(rows) - {"002.png"})
    assert Commit.read(store).shards == {0: 2, 1: 4, 2: 2}
    log = [np.load(file) for file in sorted((store / "removed").iterdir())]
    assert [len(part["image"]) for part in log] == [1, 1]


def test_the_first_look_is_cheap_and_rehash_is_thorough(tmp_path):
    folder, store = photos(tmp_path / "in", 2), tmp_path / "s"
    Image.new("RGB", (9, 9), "red").save(folder / "a.bmp")
    embed(tiny(), open_source(folder), store, model="t")
    about = (folder / "a.bmp").stat()
    Image.new("RGB", (9, 9), "blue").save(folder / "a.bmp")
    os.utime(folder / "a.bmp", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert embed(tiny(), open_source(folder), store, model="t").written == 0
    done = embed(tiny(), open_source(folder), store, model="t", rehash=True)
    assert (done.written, done.changed, done.known) == (1, 1, 2)


def test_a_folder_that_cannot_be_read_prunes_nothing(tmp_path, monkeypatch):
    folder, store = photos(tmp_path / "in", 2), tmp_path / "s"
    photos(folder / "deep", 2, start=2)
    embed(tiny(), open_source(folder), store, model="t")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    done = embed(tiny(), open_source(folder), store, model="t", prune=True)
    assert (done.pruned, done.gone, done.failed) == (0, 0, 1)
    assert failed(store) == {"deep/": "Permission denied"}
    monkeypatch.undo()
    assert len(read_names(store)) == 4


def test_a_listed_file_that_is_deleted_fails_and_is_pruned(tmp_path):
    folder, store = photos(tmp_path / "in", 3), tmp_path / "s"
    (tmp_path / "list.txt").write_text("".join(f"in/{n:03}.png\n" for n in range(3)))
    embed(tiny(), open_source(tmp_path / "list.txt"), store, model="t", workers=0)
    (folder / "001.png").unlink()
    done = embed(tiny(), open_source(tmp_path / "list.txt"), store, model="t", workers=0)
    assert (done.known, done.failed, done.gone) == (2, 1, 1)
    options = {"model": "t", "workers": 0, "prune": True}
    assert embed(tiny(), open_source(tmp_path / "list.txt"), store, **options).pruned == 1
    assert read_names(store) == ["in/000.png", "in/002.png"]


def test_sentences_twice_and_pairs_twice_are_one_row(tmp_path):
    texts = [Item(text, None, text) for text in ("a", "b", "a")]
    done = embed(tiny(), texts, tmp_path / "t", model="t")
    assert (done.written, done.known, done.repeated) == (2, 0, 1)
    assert parquet.read_schema(Commit.read(tmp_path / "t").files("metadata")[0]).names == [
        "caption", "hash", "source", "commit",
    ]  # fmt: skip
    # A new caption of a known picture is a new row, and the picture is embedded for it.
    folder = photos(tmp_path / "in", 1)
    pair = Item("000.png", str(folder / "000.png"), "one")
    embed(tiny(), [pair], tmp_path / "p", model="t")
    done = embed(tiny(), [pair, replace(pair, text="two")], tmp_path / "p", model="t")
    assert (done.written, done.known) == (1, 1)
    rows = read_embeddings(tmp_path / "p")
    np.testing.assert_array_equal(rows[0], rows[1])


def test_a_prompt_goes_around_texts_and_is_remembered(tmp_path):
    texts = [Item("a cat", None, "a cat")]
    embed(tiny(), texts, tmp_path / "s", model="t", prompt="a photo of {}.")
    expected = tiny().encode_texts(["a photo of a cat."])
    np.testing.assert_allclose(read_embeddings(tmp_path / "s", "text"), expected, atol=1e-3)
    assert read_names(tmp_path / "s", "text") == ["a cat"]
    assert Commit.read(tmp_path / "s").prompt == "a photo of {}."
    with pytest.raises(DistnormError, match=r"'a photo of \{\}.'; expected texts .* None"):
        embed(tiny(), texts, tmp_path / "s", model="t")


def bad_pictures(folder):
    """Every kind of picture that breaks things; returns the reasons of those that must fail."""
    (folder / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    good = Image.fromarray(rng.integers(0, 255, (50, 70, 3), np.uint8))
    good.save(folder / "good.jpg")
    good.convert("CMYK").save(folder / "cmyk.jpg")
    good.convert("L").save(folder / "grey.jpg")
    good.convert("P").save(folder / "palette.png", transparency=3)
    good.convert("LA").save(folder / "deep" / "transparent.png")
    Image.fromarray(rng.integers(0, 65535, (20, 20)).astype(np.uint16)).save(folder / "16bit.png")
    Image.fromarray(rng.random((20, 20), np.float32)).save(folder / "float.tif")
    Image.new("1", (20, 20), 1).save(folder / "bit.png")
    Image.new("RGB", (1, 1)).save(folder / "1x1.png")
    Image.new("RGB", (9000, 7000), "red").save(folder / "huge.jpg")
    good.save(folder / "moving.gif", save_all=True, append_images=[good.rotate(90)])
    turned = Image.Exif()
    turned[274] = 6
    good.save(folder / "turned.jpg", exif=turned)
    content = (folder / "good.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(content[: len(content) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    os.symlink(folder, folder / "deep" / "circle")
    os.symlink(folder / "nowhere.png", folder / "dangling.png")
    os.rename(folder / "grey.jpg", os.fsencode(folder) + b"/gr\xe9y.jpg")
    return {
        "half.jpg": "truncated", "empty.png": "zero bytes", "text.jpg": "no picture of a known",
        "phone.heic": "pillow-heif", "pipe.jpg": "not a file", "bomb.png": "pixels",
        "dangling.png": "No such file",
    }  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and bytes in names")
def test_bad_pictures_are_listed_and_the_rest_goes_on(tmp_path):
    pytest.importorskip("onnxruntime", reason="the built-in model needs onnxruntime")
    reasons = bad_pictures(tmp_path / "in")
    store = tmp_path / "s"
    result = invoke("embed", tmp_path / "in", "--model", "builtin", "--out", store, "--json", "-")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].endswith(f"7 could not be read: see {store}/failed.jsonl")
    found = failed(store)
    assert set(found) == set(reasons)
    for name, reason in reasons.items():
        assert reason in found[name]
        assert str(tmp_path) not in found[name]
    rows = {row["image_path"]: row for row in table(store)}
    assert set(rows) == {
        "good.jpg", "cmyk.jpg", "gr\\xe9y.jpg", "palette.png", "deep/transparent.png", "16bit.png",
        "float.tif", "bit.png", "1x1.png", "huge.jpg", "moving.gif", "turned.jpg",
    }  # fmt: skip
    assert (rows["turned.jpg"]["width"], rows["turned.jpg"]["height"]) == (50, 70)
    assert (rows["huge.jpg"]["width"], rows["huge.jpg"]["height"]) == (9000, 7000)
    assert np.isfinite(read_embeddings(store)).all()
    # Mended files are taken in, and the list shrinks.
    shutil.copy(tmp_path / "in" / "good.jpg", tmp_path / "in" / "half.jpg")
    result = invoke("embed", tmp_path / "in", "--model", "builtin", "--out", store, "--json", "-")
    assert json.loads(result.stdout)["written"] == 1
    assert set(failed(store)) == set(reasons) - {"half.jpg"}


def pixels_of(path):
    return np.asarray(open_picture(path)[0]).astype(int)


def test_what_pictures_become(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    assert np.abs(pixels_of(tmp_path / "a.png")[..., 0].ravel() - np.arange(256)).max() <= 1
    # Half dark stays half dark: nothing is stretched.
    Image.fromarray(ramp // 2).save(tmp_path / "b.png")
    assert 126 <= pixels_of(tmp_path / "b.png").max() <= 128
    Image.new("RGBA", (4, 4), (255, 0, 0, 128)).save(tmp_path / "c.png")
    assert np.abs(pixels_of(tmp_path / "c.png")[0, 0] - [255, 127, 127]).max() <= 1
    Image.new("RGB", (4, 4), "red").save(
        tmp_path / "d.gif", save_all=True, append_images=[Image.new("RGB", (4, 4), "blue")]
    )
    assert pixels_of(tmp_path / "d.gif")[0, 0].tolist() == [255, 0, 0]
    exif = Image.Exif()
    exif[274] = 6
    corner = Image.new("RGB", (16, 8))
    corner.paste("red", (0, 0, 8, 8))
    corner.save(tmp_path / "e.jpg", exif=exif, quality=95)
    turned = pixels_of(tmp_path / "e.jpg")
    assert turned.shape == (16, 8, 3)
    assert turned[2, 4, 0] > 200 > 50 > turned[13, 4, 0]


def test_large_photos_are_decoded_at_a_fraction_and_look_the_same(tmp_path):
    y, x = np.mgrid[0:1200, 0:1600]
    waves = np.stack([np.sin(x / 97) + np.cos(y / 61), np.sin(y / 83), np.cos(x / 45)], axis=-1)
    Image.fromarray((waves * 60 + 128).clip(0, 255).astype(np.uint8)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    less, size = decode_picture(content, "a", (224, 224))
    full, _ = decode_picture(content, "a")
    assert (less.size, full.size, size[:2]) == ((800, 600), (1600, 1200), (1600, 1200))
    small, large = (np.asarray(p.resize((224, 224), 3)).astype(int) for p in (less, full))
    assert np.abs(small - large).mean() < 1
    assert decode_picture(content, "a", (448, 448))[0].size == (1600, 1200)


def test_a_picture_that_kills_its_decoder_costs_that_picture(tmp_path):
    folder = photos(tmp_path / "in", 40)
    for n in (7, 8, 30):
        Image.new("RGB", (13, 9), (n, 0, 0)).save(folder / f"{n:03}.png")
    Image.new("RGB", (14, 9)).save(folder / "011.png")
    Image.new("RGB", (9, 9), (77, 77, 77)).save(folder / "012.png")
    encoder = tiny(preprocess=tiny_encoder.Deadly())
    done = embed(encoder, open_source(folder), tmp_path / "s", model="t", workers=2, batch_size=4)
    assert (done.written, done.failed) == (35, 5)
    killed = "the process that decoded it was ended by SIGKILL"
    assert failed(tmp_path / "s") == {
        "007.png": killed, "008.png": killed, "030.png": killed,
        "011.png": "RuntimeError: no thank you",
        "012.png": "the model gave no finite row for it",
    }  # fmt: skip


def test_a_decoder_that_was_killed_for_want_of_memory_is_tried_again(tmp_path):
    folder = photos(tmp_path / "in", 12)
    Image.new("RGB", (13, 9)).save(folder / "005.png")
    encoder = tiny(preprocess=tiny_encoder.Deadly(str(tmp_path / "mark")))
    done = embed(encoder, open_source(folder), tmp_path / "s", model="t", workers=1)
    assert (done.written, done.failed) == (12, 0)


def test_a_decoder_that_does_not_come_back_costs_its_picture(tmp_path, monkeypatch):
    from distnorm.embedding import pool

    monkeypatch.setattr(pool, "_LIMIT", 0.4)
    folder = photos(tmp_path / "in", 12)
    for n in (2, 9):
        Image.new("RGB", (13, 9), (n, 0, 0)).save(folder / f"{n:03}.png")
    encoder = tiny(preprocess=tiny_encoder.Slow(60))
    done = embed(encoder, open_source(folder), tmp_path / "s", model="t", workers=2, batch_size=4)
    assert (done.written, done.failed) == (10, 2)
    reason = "decoding took longer than 0.4 seconds"
    assert failed(tmp_path / "s") == {"002.png": reason, "009.png": reason}


def test_decoders_that_cannot_begin_and_recipes_that_cannot_travel(tmp_path):
    items = find_items(photos(tmp_path / "in", 3))
    with pytest.raises(DistnormError, match=r"ended before they began \(ended with exit code 3"):
        embed(tiny(preprocess=tiny_encoder.Stillborn()), items, tmp_path / "a", model="t")
    local = lambda image: tiny_encoder.small(image)  # noqa: E731
    with pytest.raises(DistnormError, match="cannot be sent to another process"):
        embed(tiny(preprocess=local), items, tmp_path / "b", model="t")
    assert embed(tiny(preprocess=local), items, tmp_path / "b", model="t", workers=0).written == 3


def test_a_model_that_fails_leaves_a_whole_store(tmp_path):
    encoder = tiny()
    encode, folder = encoder.encode_pixels, photos(tmp_path / "in", 20)
    encoder.encode_pixels = lambda x: encode(x) if len(encoder.batches) < 2 else 1 / 0
    with pytest.raises(ZeroDivisionError):
        embed(encoder, open_source(folder), tmp_path / "s", model="t", batch_size=4, shard_rows=4)
    names = read_names(tmp_path / "s")
    assert names == [f"{n:03}.png" for n in range(len(names))]
    assert embed(tiny(), open_source(folder), tmp_path / "s", model="t").known == len(names)


def test_progress_tells_done_and_all(tmp_path):
    seen = []
    folder = photos(tmp_path / "in", 5)
    embed(
        tiny(), open_source(folder), tmp_path / "s", model="t", workers=0,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen[-1] == (5, 5)


def invoke(*arguments, **options):
    return CliRunner().invoke(cli, [str(a) for a in arguments], **options)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    pytest.importorskip("onnxruntime", reason="the built-in model needs onnxruntime")
    from distnorm.scenes import save_scenes

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


def test_a_store_goes_through_fit_compare_and_search(store, tmp_path):
    norm, report = tmp_path / "n.safetensors", tmp_path / "report.html"
    assert invoke("fit", "--images", store, "--texts", store, "--out", norm).exit_code == 0
    assert distnorm.load(norm).model == "builtin-1"
    assert distnorm.load(norm).counts["image"] in (12, 13)
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


def test_sentences_on_standard_input(tmp_path):
    pytest.importorskip("onnxruntime", reason="the built-in model needs onnxruntime")
    long = " ".join(["star"] * 60)
    out = tmp_path / "s"
    command = ("embed", "-", "--model", "builtin", "--out", out, "--json", "-")
    result = invoke(*command, input=f"a star\n{long}\n")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["over_long"] == 1
    assert "1 texts are longer than 48" in result.stderr
    # What is not on standard input today has not been deleted.
    result = invoke(*command, "--prune", input="another star\n")
    assert json.loads(result.stdout)["pruned"] == 0
    assert len(read_names(out, "text")) == 3


def test_a_hundred_and_fifty_nine_photos(real_data, tmp_path):
    pytest.importorskip("onnxruntime", reason="the built-in model needs onnxruntime")
    photos = real_data / "coco159-images"
    captions = json.loads((photos / "captions.json").read_text())
    lines = [f"{photos / 'images' / name}\t{' '.join(text.split())}\n"
             for name, about in captions.items() for text in about["captions"]]  # fmt: skip
    (tmp_path / "c.tsv").write_text("path\tcaption\n" + "".join(lines))
    out = tmp_path / "s"
    result = invoke("embed", tmp_path / "c.tsv", "--model", "builtin", "--out", out, "--json", "-")
    assert result.exit_code == 0, result.output
    assert len(read_names(out)) == json.loads(result.stdout)["written"] >= 790
    compared = invoke(
        *("compare", "retrieval", "--images", out, "--texts", out, "--repeats", "2"),
        *("--methods", "dot,dn", "--no-diagnostics", "--json", "-"),
    )
    assert json.loads(compared.stdout)["n_images"] == 159


def test_photos_through_a_clip_of_real_size(real_data, tmp_path):
    from distnorm.encoders import load_encoder

    pytest.importorskip("torch", reason="ViT-B/32 needs torch")
    pytest.importorskip("open_clip", reason="ViT-B/32 needs open_clip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says loudly that its weights are random
        encoder = load_encoder("open_clip:ViT-B-32/random")
    paths = sorted((real_data / "coco159-images" / "images").iterdir())[:5]
    items = [Item(path.name, str(path), f"photo {path.stem}") for path in paths]
    done = embed(encoder, items, tmp_path / "s", model="vit", workers=1)
    assert done.written == 5
    expected = encoder.encode_images([open_picture(path)[0] for path in paths])
    np.testing.assert_allclose(read_embeddings(tmp_path / "s"), expected, atol=1e-3)


def test_what_search_and_embed_refuse(store, scenes, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("x")
    (tmp_path / "words.txt").write_text("a star\n")
    np.save(tmp_path / "x.npy", np.eye(5, dtype=np.float32))
    other = distnorm.make("dn", model="another").fit(
        images=np.eye(128, dtype=np.float32), texts=np.eye(128, dtype=np.float32)
    )
    other.save(tmp_path / "other.safetensors")
    normalization = ("--normalization", tmp_path / "other.safetensors")
    words = tmp_path / "words.txt"
    for command, part in (
        (("embed", scenes, "--model", "builtin", "--out", tmp_path / "mine"), "no store"),
        (("embed", tmp_path / "none", "--model", "builtin", "--out", tmp_path / "y"), "no file"),
        (("embed", scenes, "--model", "clip", "--out", tmp_path / "y"), "builtin (pip install"),
        (("embed", words, "--model", "builtin", "--out", store), "expected a store of text rows"),
        (("search", tmp_path / "x.npy", "a star"), "names no model"),
        (("search", tmp_path / "x.npy", "a star", "--model", "builtin"), "5 dimensions"),
        (("search", store, "a star", *normalization), "'another'"),
        (("search", store, " "), "empty text"),
        (("search", store, words), "the file"),
        (("search", store, tmp_path / "x.npy"), "a file of vectors"),
        (("search", tmp_path / "gone", "a star", "--model", "builtin"), "no file"),
    ):
        result = invoke(*command)
        assert result.exit_code == 1, (command, result.output)
        assert part in result.stderr, (command, result.stderr)
        assert len(result.stderr.strip().splitlines()) == 1
    encoder = tiny(model_id="other")
    with pytest.raises(DistnormError, match=r"'builtin-1'.*'other'"):
        embed(encoder, open_source(scenes), store, model="other")
    encoder.preprocess = None
    with pytest.raises(DistnormError, match="pictures for other"):
        embed(encoder, open_source(scenes), tmp_path / "z", model="other")


def test_pictures_that_another_library_resized_are_not_mixed_in(tmp_path):
    from distnorm.store.models import model_of

    folder = photos(tmp_path / "in", 3)
    places = {}
    for name in ("pillow", "torchvision"):
        encoder = tiny()
        encoder.resizer = name
        places[name] = tmp_path / name
        embed(encoder, open_source(folder), places[name], model="tiny", workers=0)
        assert Commit.read(places[name]).resizer == name
    part = "that torchvision resized; expected pictures that pillow resized"
    with pytest.raises(DistnormError, match=part):
        embed(tiny(), open_source(folder), places["torchvision"], model="tiny", workers=0)
    with pytest.raises(DistnormError, match=part):
        model_of(*places.values())
    # Older stores do not say; texts have no pictures.
    settings = json.loads((places["torchvision"] / "store.json").read_text())
    del settings["resizer"]
    (places["torchvision"] / "store.json").write_text(json.dumps(settings))
    embed(tiny(), open_source(folder), places["torchvision"], model="tiny", workers=0)
    embed(tiny(), [Item("a", None, "a")], tmp_path / "texts", model="tiny")
    assert Commit.read(tmp_path / "texts").resizer is None


def test_what_comes_twice_is_counted_apart_from_what_was_there(tmp_path):
    folder, store = tmp_path / "list", tmp_path / "s"
    words = ["a dog", "a cat", "a dog", "a dog", "a bird"]
    folder.write_text("".join(f"{word}\n" for word in words))

    def again():
        done = embed(tiny(), open_source(folder), store, model="t")
        return done.written, done.known, done.repeated

    assert again() == (3, 0, 2)
    assert again() == (0, 3, 2)
    # Words of another list were there: they are no copies of its own.
    (tmp_path / "other").write_text("a dog\na fish\n")
    done = embed(tiny(), open_source(tmp_path / "other"), store, model="t")
    assert (done.written, done.known, done.repeated) == (1, 1, 0)


def test_pairs_that_come_twice(tmp_path):
    photos(tmp_path / "in", 2)
    table = "image,caption\n000.png,a dog\n000.png,a dog\n000.png,a cat\n001.png,a dog\n"
    (tmp_path / "in" / "list.csv").write_text(table)
    done = embed(tiny(), open_source(tmp_path / "in" / "list.csv"), tmp_path / "s", model="t")
    assert (done.written, done.known, done.repeated) == (3, 0, 1)
