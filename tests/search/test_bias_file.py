"""Biases kept in a file beside a store."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from asking import ask, invoke
from safetensors.numpy import save

import distnorm
from distnorm.search.bias_file import bias_of, kept_bias
from distnorm.store.layout import Commit
from distnorm.store.vectors import read_embeddings
from distnorm.system.shards import ShardedRows

pytest.importorskip("PIL", reason="stores of pictures")
pytest.importorskip("onnxruntime", reason="the built-in model")
pytest.importorskip("pyarrow.parquet", reason="names in stores")


WORDS = ["a red star", "a blue circle", "a green square", "two small triangles"]


def same_list(found, wanted):
    """The same items in the same places; scores may differ by float32's rounding."""
    for one, other in zip(found["results"], wanted["results"], strict=True):
        assert {**one, "value": None} == {**other, "value": None}
        assert one["value"] == pytest.approx(other["value"], abs=1e-6)


def test_biases_are_kept_and_added_to(store, norms, tmp_path):
    norm, kept = norms / "nnn.safetensors", tmp_path / "bias.safetensors"
    words = ("a red star", "--normalization", norm, "--k", "5")
    wanted = ask(store, *words)
    items = read_embeddings(store)
    loaded, checksum = distnorm.load(norm), distnorm.storage.read(norm)[2]
    kept_bias(kept, loaded, checksum, items[:30], "image")
    grown = ask(store, *words, "--bias", kept)
    same_list(grown, wanted)
    assert f"{len(items) - 30} items were added after the 30 biases" in grown["notes"][0]
    again = ask(store, *words, "--bias", kept)
    assert again["notes"] == []
    same_list(again, wanted)
    for change, part in (
        (("--normalization", norms / "is.safetensors"), "another normalization"),
        ((), "no readable safetensors file"),
    ):
        if part == "no readable safetensors file":
            kept.write_bytes(b"x" * 30)
        done = invoke("search", store, *words, *change, "--bias", kept)
        assert done.exit_code == 1
        assert part in done.stderr


def test_biases_of_an_interrupted_run_count(norms, store, tmp_path, monkeypatch):
    monkeypatch.setattr("distnorm.search.bias_file.BLOCK", 10)
    norm, items = distnorm.load(norms / "nnn.safetensors"), read_embeddings(store)

    def stop(done, total):
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_bias(tmp_path / "b", norm, "c", items, "image", stop)
    kept = kept_bias(tmp_path / "b", norm, "c", items, "image")
    assert (kept.known, kept.added) == (40, len(items) - 40)
    np.testing.assert_array_equal(kept.bias, bias_of(norm, items, "image"))
    np.testing.assert_allclose(kept.bias, norm.item_bias(items, modality="image"), atol=1e-6)


@pytest.mark.parametrize("method", ["is", "sinkhorn"])
def test_biases_that_depend_on_all_items_are_taken_of_all(method, gap_pair, tmp_path, monkeypatch):
    """Without statistics of the items' side (and always for sinkhorn) blocks would differ."""
    monkeypatch.setattr("distnorm.search.bias_file.BLOCK", 16)
    X, Y = gap_pair
    norm = distnorm.make(method).fit(texts=Y)
    wanted = norm.item_bias(X, modality="image")
    np.testing.assert_allclose(bias_of(norm, X, "image"), wanted)
    kept_bias(tmp_path / "b", norm, "c", X[:50], "image")
    kept = kept_bias(tmp_path / "b", norm, "c", ShardedRows([X[:50], X[50:]]), "image")
    assert (kept.known, kept.added) == (50, 150)
    np.testing.assert_allclose(kept.bias, wanted)
    fewer = kept_bias(tmp_path / "b", norm, "c", X[:60], "image")
    assert (fewer.known, fewer.dropped) == (60, 140)
    np.testing.assert_allclose(fewer.bias, norm.item_bias(X[:60], modality="image"))


@pytest.fixture
def dn2(gap_pair):
    X, Y = gap_pair
    return distnorm.make("dn2").fit(images=X, texts=Y)


def test_biases_stay_with_their_items_wherever_these_stand(dn2, gap_pair, tmp_path):
    """Rows that left, moved or came, some of them twice: a bias belongs to a vector."""
    X, place = gap_pair[0], tmp_path / "b"
    kept_bias(place, dn2, "c", X[:100], "image")
    rows = np.concatenate([X[[80, 3, 3]], X[20:90:7], X[150:160]])
    kept = kept_bias(place, dn2, "c", rows, "image")
    assert (kept.known, kept.added, kept.dropped) == (13, 10, 88)
    np.testing.assert_allclose(kept.bias, dn2.item_bias(rows, modality="image"), atol=1e-12)
    again = kept_bias(place, dn2, "c", rows[::-1], "image")
    assert (again.known, again.added, again.dropped) == (23, 0, 0)
    np.testing.assert_array_equal(again.bias, kept.bias[::-1])


def test_every_flipped_bit_is_noticed(dn2, gap_pair, tmp_path):
    X, place = gap_pair[0][:9], tmp_path / "b"
    wanted = kept_bias(place, dn2, "c", X, "image").bias
    whole = place.read_bytes()
    dice = np.random.default_rng(0)
    for bit in dice.choice(8 * len(whole), 150, replace=False):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        place.write_bytes(content)
        try:
            found = kept_bias(place, dn2, "c", X, "image")
        except distnorm.DistnormError:
            continue
        # A blank between two fields may be another one.
        np.testing.assert_array_equal(found.bias, wanted)


def test_biases_of_another_store_are_refused(dn2, gap_pair, tmp_path):
    X, place = gap_pair[0][:9], tmp_path / "b"
    one, other = (Commit(tmp_path, id=name, number=1) for name in ("one", "other"))
    kept_bias(place, dn2, "c", X, "image", commit=one)
    with pytest.raises(distnorm.DistnormError, match="another store"):
        kept_bias(place, dn2, "c", X, "image", commit=other)


def test_biases_by_row_number_count_only_where_no_row_has_left(dn2, gap_pair, tmp_path):
    X, place = gap_pair[0][:9], tmp_path / "b"
    bias = np.linspace(0, 1, 9)
    place.write_bytes(save({"bias": bias}, {"normalization": "c", "side": "image"}))
    grown = Commit(tmp_path, id="a", number=7)
    np.testing.assert_array_equal(kept_bias(place, dn2, "c", X, "image", commit=grown).bias, bias)
    for commit in (replace(grown, removed={5: 2}), None):
        with pytest.raises(distnorm.DistnormError, match="by row number"):
            kept_bias(place, dn2, "c", X, "image", commit=commit)


def test_a_pruned_store_is_searched_as_without_kept_biases(scenes, tmp_path):
    pictures, store, kept = tmp_path / "in", tmp_path / "store", tmp_path / "bias"
    pictures.mkdir()
    for path in sorted(scenes.glob("*.png"))[:12]:
        shutil.copy(path, pictures)
    embed = ("embed", pictures, "--model", "builtin", "--workers", "0", "--out", store)
    assert invoke(*embed).exit_code == 0
    norm = distnorm.make("nnn").fit(texts=distnorm.load_encoder("builtin").encode_texts(WORDS))
    norm.save(tmp_path / "n.safetensors")
    words = (store, WORDS[0], "--normalization", tmp_path / "n.safetensors", "--k", "8")
    ask(*words, "--bias", kept)
    for path in sorted(pictures.iterdir())[:4]:
        path.unlink()
    assert invoke(*embed, "--prune").exit_code == 0
    found = ask(*words, "--bias", kept)
    same_list(found, ask(*words))
    assert found["notes"] == [f"4 biases in {kept} of items that have left were dropped"]
