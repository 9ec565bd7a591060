"""Biases kept in a file beside a store."""

from __future__ import annotations

import numpy as np
import pytest
from asking import ask, invoke

import distnorm
from distnorm.search.bias_file import bias_of, kept_bias
from distnorm.store.vectors import read_embeddings
from distnorm.system.shards import ShardedRows

pytest.importorskip("PIL", reason="stores of pictures")
pytest.importorskip("onnxruntime", reason="the built-in model")
pytest.importorskip("pyarrow.parquet", reason="names in stores")


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
        ((), "items were removed"),
        ((), "cannot be read"),
    ):
        if part == "items were removed":
            kept.unlink()
            kept_bias(kept, loaded, checksum, np.concatenate([items, items]), "image")
        if part == "cannot be read":
            kept.write_bytes(b"x" * 30)
        done = invoke("search", store, *words, *change, "--bias", kept)
        assert done.exit_code == 1
        assert part in done.stderr


def test_biases_of_an_interrupted_run_count(norms, store, tmp_path, monkeypatch):
    monkeypatch.setattr("distnorm.search.bias_file._ROWS", 10)
    norm, items = distnorm.load(norms / "nnn.safetensors"), read_embeddings(store)

    def stop(done, total):
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_bias(tmp_path / "b", norm, "c", items, "image", stop)
    bias, known, added = kept_bias(tmp_path / "b", norm, "c", items, "image")
    assert (known, added) == (40, len(items) - 40)
    np.testing.assert_array_equal(bias, bias_of(norm, items, "image"))
    np.testing.assert_allclose(bias, norm.item_bias(items, modality="image"), atol=1e-6)


@pytest.mark.parametrize("method", ["is", "sinkhorn"])
def test_biases_that_depend_on_all_items_are_taken_of_all(method, gap_pair, tmp_path, monkeypatch):
    """Without statistics of the items' side (and always for sinkhorn) blocks would differ."""
    monkeypatch.setattr("distnorm.search.bias_file._ROWS", 16)
    X, Y = gap_pair
    norm = distnorm.make(method).fit(texts=Y)
    wanted = norm.item_bias(X, modality="image")
    np.testing.assert_allclose(bias_of(norm, X, "image"), wanted)
    kept_bias(tmp_path / "b", norm, "c", X[:50], "image")
    bias, known, added = kept_bias(
        tmp_path / "b", norm, "c", ShardedRows([X[:50], X[50:]]), "image"
    )
    assert (known, added) == (50, 150)
    np.testing.assert_allclose(bias, wanted)
