"""A store of pictures and texts, and normalizations of it."""

from __future__ import annotations

import pytest
from asking import invoke

from distnorm.scenes import save_scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    pytest.importorskip("onnxruntime", reason="the built-in model")
    pytest.importorskip("PIL", reason="drawn scenes")
    folder = tmp_path_factory.mktemp("in") / "scenes"
    save_scenes(folder, 24, world="night")
    return folder


@pytest.fixture(scope="session")
def store(scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "store"
    assert invoke("embed", scenes, "--model", "builtin", "--out", out).exit_code == 0
    return out


@pytest.fixture(scope="session")
def norms(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("norms")
    for method in ("dn", "nnn", "is"):
        out = folder / f"{method}.safetensors"
        done = invoke("fit", "--images", store, "--texts", store, "--method", method, "--out", out)
        assert done.exit_code == 0, done.output
    return folder
