"""Commands run in a folder of small inputs."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm.cli.main import cli


@pytest.fixture
def run(tmp_path, monkeypatch, gap_pair):
    """Runs a command in a folder with image.npy and text.npy; returns click's result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name, rows in zip(("image.npy", "text.npy"), gap_pair, strict=True):
        np.save(name, rows.astype(np.float32))
    runner = CliRunner()
    return lambda *words: runner.invoke(cli, [str(word) for word in words])


@pytest.fixture
def labelled(tmp_path, rng):
    classes = distnorm.normalize(rng.normal(0.3, 1, (6, 12)).astype(np.float32))
    labels = rng.integers(0, 6, 90)
    images = classes[labels] + rng.normal(0, 0.4, (90, 12))
    np.save(tmp_path / "x.npy", distnorm.normalize(images.astype(np.float32)))
    np.save(tmp_path / "c.npy", classes)
    np.save(tmp_path / "l.npy", labels)
    (tmp_path / "human.csv").write_text(
        "caption,score\n" + "".join(f"{i},{i % 4}\n" for i in range(90))
    )
    np.save(tmp_path / "t.npy", distnorm.normalize(images[::-1].astype(np.float32)))
    return tmp_path
