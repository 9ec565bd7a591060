"""Images given as texts and texts as images, wherever that can be known."""

from __future__ import annotations

import json

import numpy as np
import pytest

import distnorm
from distnorm.errors import DistnormError, DistnormWarning
from distnorm.store.vectors import read_sides

STRAIGHT = ("--images", "image.npy", "--texts", "text.npy")
CROSSED = ("--images", "text.npy", "--texts", "image.npy")


def one_line(done, *parts):
    assert done.exit_code == 1, done.output
    assert done.stderr.count("\n") == 1
    assert all(part in done.stderr for part in parts), done.stderr


@pytest.fixture
def unnamed(run, gap_pair):
    """Files whose names say nothing, and a normalization fitted the right way round."""
    for name, rows in zip("ab", gap_pair, strict=True):
        np.save(f"{name}.npy", rows.astype(np.float32))
    assert run("fit", *STRAIGHT, "--out", "n.safetensors").exit_code == 0
    return run


def test_names_of_files_that_speak_of_the_other_side(run):
    for words in (
        ("fit", *CROSSED, "--out", "n.safetensors"),
        ("compare", "retrieval", *CROSSED, "--repeats", 2),
        ("evaluate", "retrieval", *CROSSED),
    ):
        one_line(run(*words), "text.npy for the image side", "swap the two inputs")
    # A side of another name is what it says.
    assert run("fit", *CROSSED, "--sides", "audio,video", "--out", "n.safetensors").exit_code == 0
    one_line(
        run("compare", "retrieval", "--first", "text.npy", "--second", "image.npy",
            "--sides", "image,text"),
        "swap the two inputs",
    )  # fmt: skip


def test_one_name_that_speaks_of_the_other_side_is_noted(run, gap_pair):
    np.save("queries.npy", gap_pair[1].astype(np.float32))
    done = run("fit", "--images", "text.npy", "--texts", "queries.npy", "--out", "n.safetensors")
    assert done.exit_code == 0
    assert "note: text.npy is taken for the image side, and its name says text" in done.stderr
    alone = run("fit", "--texts", "image.npy", "--out", "m.safetensors")
    assert alone.exit_code == 0
    done = run("fit", "--images", "text.npy", "--texts", "photo_captions.npy", "--out", "x.st")
    assert "no file photo_captions.npy" in done.stderr


def test_arrays_and_keys(run, gap_pair, tmp_path):
    np.savez("both.npz", img_emb=gap_pair[0], text_emb=gap_pair[1])
    both = ("--images", "both.npz", "--texts", "both.npz")
    assert run("evaluate", "retrieval", *both).exit_code == 0
    keyed = run("evaluate", "retrieval", *both, "--key", "image=text_emb,text=img_emb")
    one_line(keyed, "text_emb for the image side")
    with pytest.raises(DistnormError, match="swap the two inputs"):
        read_sides({"image": "text.npy", "text": "image.npy"})
    with pytest.warns(DistnormWarning, match="are the sides swapped"):
        read_sides({"image": "image.npy", "text": "image.npy"})


def test_a_store_of_the_other_side(run, gap_pair, tmp_path):
    for part, rows in zip(("img_emb", "text_emb"), gap_pair, strict=True):
        place = tmp_path / f"only_{part}" / part
        place.mkdir(parents=True)
        np.save(place / f"{part}_0.npy", rows.astype(np.float16))
    done = run("fit", "--images", "only_text_emb", "--texts", "only_img_emb", "--out", "n.st")
    one_line(done, "swap the two inputs")
    (tmp_path / "only_text_emb").rename("one")
    (tmp_path / "only_img_emb").rename("two")
    done = run("evaluate", "retrieval", "--images", "one", "--texts", "two")
    one_line(done, "has text embeddings alone", "pass it as the text side")


def test_statistics_know_their_sides(unnamed, gap_pair):
    run, saved = unnamed, ("--normalization", "n.safetensors")
    crossed = ("--images", "b.npy", "--texts", "a.npy")
    assert (
        run("evaluate", "retrieval", "--images", "a.npy", "--texts", "b.npy", *saved).exit_code == 0
    )
    one_line(run("evaluate", "retrieval", *crossed, *saved), "images that look like texts")
    fitted = ("--fit-images", "b.npy", "--fit-texts", "a.npy")
    for words in (("evaluate", "retrieval", "--method", "dn"), ("compare", "retrieval")):
        one_line(
            run(*words, "--images", "a.npy", "--texts", "b.npy", *fitted), "swap the two inputs"
        )
    one_line(run("calibrate", "n.safetensors", *crossed), "look like", "swap")
    one_line(
        run("fit", *crossed, "--out", "n.safetensors", "--overwrite"),
        "look like those of the text side in n.safetensors",
    )
    assert run("fit", *crossed, "--out", "m.safetensors").exit_code == 0
    apart = run("diff", "n.safetensors", "m.safetensors")
    assert apart.exit_code == 1
    assert "are the sides swapped?" in apart.stderr
    found = run("search", "a.npy", "--query-vectors", "a.npy", *saved)
    assert "the queries look like images" in found.stderr
    images, texts = gap_pair
    norm = distnorm.load("n.safetensors")
    for call in (
        lambda: distnorm.evaluate_retrieval(norm, texts, images),
        lambda: distnorm.evaluate_captions(norm, texts, images, np.arange(200) % 7),
        lambda: distnorm.evaluate_classification(norm, texts, images[:20], np.arange(200) % 20),
        lambda: distnorm.compare_retrieval(
            images, texts, methods=["dot", "dn"], fit_images=texts, fit_texts=images
        ),
    ):
        with pytest.raises(DistnormError, match="swap the two inputs"):
            call()


def test_nothing_is_said_without_a_gap(rng):
    rows = [distnorm.normalize(rng.normal(size=(60, 8))) for _ in range(2)]
    norm = distnorm.make("dn").fit(images=rows[0], texts=rows[1])
    assert distnorm.evaluate_retrieval(norm, rows[1], rows[0]).n_images == 60


def test_an_index_of_the_other_side(unnamed, gap_pair):
    faiss = pytest.importorskip("faiss", reason="an index to look at")
    run, (images, texts) = unnamed, gap_pair
    for name, rows in (("i", images), ("t", texts)):
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows.astype(np.float32))
        faiss.write_index(index, f"{name}.index")
    distnorm.make("nnn").fit(images=images, texts=texts).save("nnn.safetensors")
    saved = ("--normalization", "n.safetensors")
    good = run("index", "check", "faiss:i.index", *saved, "--json", "-")
    assert (good.exit_code, json.loads(good.stdout)["swapped"]) == (0, False)
    bad = run("index", "check", "faiss:t.index", *saved, "--json", "-")
    assert (bad.exit_code, json.loads(bad.stdout)["swapped"]) == (1, True)
    assert "sides swapped?" in bad.stderr
    assert "another model" not in bad.stderr
    # Of a third kind of rows, neither side's mean fits.
    index = faiss.IndexFlatIP(images.shape[1])
    index.add(distnorm.normalize(-images - texts).astype(np.float32))
    faiss.write_index(index, "o.index")
    assert "another model's rows?" in run("index", "check", "faiss:o.index", *saved).stderr
    one_line(
        run("index", "bias", "faiss:t.index", "--normalization", "nnn.safetensors"),
        "images that look like texts",
    )
    right = run("index", "bias", "faiss:t.index", "--normalization", "nnn.safetensors",
                "--side", "text")  # fmt: skip
    assert right.exit_code == 0
