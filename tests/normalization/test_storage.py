"""Saved normalizations: the same scores after loading, one clear error for every bad file."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import distnorm
from distnorm import DistnormError, load, make, storage
from distnorm.normalization.notes import Notes
from distnorm.storage import read


def rows(n: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(0.3, 1, (n, 8))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("method", list(distnorm.METHODS))
def test_scores_survive_the_file(method, tmp_path):
    X, Y = rows(30), rows(40, 1)
    norm = make(method, strength={"image": 0.2}, input="any", model="m", prompt="a photo of {c}")
    norm.fit(images=X, texts=Y).save(tmp_path / "n.safetensors")
    again = load(tmp_path / "n.safetensors", model="m", dimension=8)
    assert again.to_dict() == norm.to_dict()
    np.testing.assert_array_equal(again.ranking(Y, X).scores(), norm.ranking(Y, X).scores())
    again.partial_fit(images=X)
    assert again.counts == {"image": 60, "text": 40}


def test_notes_are_kept_until_the_statistics_change(tmp_path):
    norm = make("dn").fit(images=rows(30), texts=rows(40, 1))
    norm.notes = Notes(data="30 photos", other={"source": {"seeds": [1, 2]}})
    norm.save(tmp_path / "n.safetensors")
    again = load(tmp_path / "n.safetensors")
    assert again.notes == norm.notes
    assert again.merge(norm).notes == Notes()
    again.partial_fit(images=rows(3, 2))
    assert again.notes == Notes()


def test_one_sided_and_low_rank_files(tmp_path):
    X, Y = rows(30), rows(40, 1)
    norm = make("dn2", rank=3).fit(texts=Y)
    norm.save(tmp_path / "n.safetensors")
    np.testing.assert_array_equal(
        load(tmp_path / "n.safetensors").item_bias(images=X), norm.item_bias(images=X)
    )


def test_tensors_of_torch_are_saved(tmp_path):
    torch = pytest.importorskip("torch")
    X, Y = rows(30), rows(40, 1)
    norm = make("nnn").fit(texts=torch.from_numpy(Y).to(torch.bfloat16))
    norm.save(tmp_path / "n.safetensors")
    again = load(tmp_path / "n.safetensors")
    np.testing.assert_allclose(again.item_bias(images=X), norm.item_bias(images=X), atol=1e-6)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "n.safetensors"
    make("nnn", k=2).fit(images=rows(5), texts=rows(4, 1)).save(path)
    return path


@given(st.data())
def test_a_changed_byte_is_never_loaded_silently(saved, data):
    content = bytearray(saved.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    broken = saved.with_name("broken.safetensors")
    broken.write_bytes(content)
    wanted = load(saved)
    try:
        again = load(broken)
    except DistnormError:
        return
    # Some bytes carry nothing, such as the padding of the header.
    assert again.to_dict() == wanted.to_dict()
    np.testing.assert_array_equal(again.item_bias(images=rows(3)), wanted.item_bias(images=rows(3)))


@given(st.integers(0, 400))
def test_a_truncated_file_is_refused(saved, length):
    broken = saved.with_name("short.safetensors")
    broken.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(DistnormError, match="truncated"):
        load(broken)


def test_missing_foreign_newer_and_misplaced_files(tmp_path, saved):
    with pytest.raises(DistnormError, match="no file"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(DistnormError, match="directory"):
        load(tmp_path)
    save_file({"a": np.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(DistnormError, match="something else"):
        load(tmp_path / "foreign.safetensors")
    settings, tensors, _ = read(saved)
    settings["format_version"] = "2.0"
    save_file(tensors, tmp_path / "newer.safetensors", {"distnorm": json.dumps(settings)})
    with pytest.raises(DistnormError, match="pip install -U distnorm"):
        load(tmp_path / "newer.safetensors")


def test_another_model_or_dimension_is_refused(tmp_path):
    make("dn", model="ViT-B-32").fit(texts=rows(4)).save(tmp_path / "n.safetensors")
    with pytest.raises(DistnormError, match="ViT-L-14"):
        load(tmp_path / "n.safetensors", model="ViT-L-14")
    with pytest.raises(DistnormError, match="8 dimensions"):
        load(tmp_path / "n.safetensors", dimension=512)


def test_a_failing_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "n.safetensors"
    make("dn").fit(texts=rows(4)).save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name, words in (("fsync", "full disk"), ("replace", "full disk")):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(DistnormError, match=words):
                make("dn").fit(texts=rows(9)).save(path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["n.safetensors"]


def test_unwritable_targets(tmp_path, monkeypatch):
    norm = make("dn").fit(texts=rows(4))
    with pytest.raises(DistnormError, match="directory"):
        norm.save(tmp_path)
    with pytest.raises(DistnormError, match="mkdir"):
        norm.save(tmp_path / "no" / "n.safetensors")

    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", denied)
    with pytest.raises(DistnormError, match="Permission denied"):
        norm.save(tmp_path / "n.safetensors")
    with pytest.raises(DistnormError, match="unfitted"):
        make("dn").save(tmp_path / "n.safetensors")


def test_files_of_older_names_are_read(tmp_path, monkeypatch):
    X, Y = rows(1), rows(2)
    norm = make("dn").fit(images=X, texts=Y)
    norm.save(tmp_path / "new.safetensors")
    settings, tensors, _ = read(tmp_path / "new.safetensors")
    del settings["format_version"]
    older = {"coefficient" if key == "strength" else key: v for key, v in settings.items()}
    storage.write(tmp_path / "old.safetensors", older, tensors)
    monkeypatch.setitem(storage.RENAMED, "coefficient", "strength")
    again = load(tmp_path / "old.safetensors")
    assert again.strength == norm.strength
    np.testing.assert_array_equal(again.similarity(X, Y), norm.similarity(X, Y))
