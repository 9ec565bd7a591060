"""MATLAB files, read in a process of their own."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.datasets import matlab
from distnorm.datasets.matlab import read_mat

scipy = pytest.importorskip("scipy.io", reason="reading MATLAB files needs SciPy")


@pytest.fixture
def saved(tmp_path):
    names = np.array(["a", "b"], dtype=object)
    scipy.savemat(tmp_path / "a.mat", {"labels": np.arange(6), "names": names, "other": 1})
    return tmp_path / "a.mat"


def test_variables_are_scipys(saved, tmp_path):
    found = read_mat(saved, "labels", "names")
    assert set(found) == {"labels", "names"}
    np.testing.assert_array_equal(found["labels"], np.arange(6))
    assert found["names"].tolist() == ["a", "b"]
    with pytest.raises(DistnormError, match=r"a\.mat without numbers"):
        read_mat(saved, "labels", "numbers")
    (tmp_path / "b.mat").write_bytes(saved.read_bytes()[:150])
    with pytest.raises(DistnormError, match=r"b\.mat, unreadable; expected a MATLAB file"):
        read_mat(tmp_path / "b.mat", "labels")


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended by signal 9"),
        ("import time; time.sleep(60)", "not read in 0.3 seconds"),
        ("raise RuntimeError('no')", "unreadable"),
    ],
)
def test_a_reader_that_ends_or_hangs_costs_that_file(saved, monkeypatch, code, part):
    monkeypatch.setattr(matlab, "_CODE", code)
    if "sleep" in code:
        monkeypatch.setattr(matlab, "_SECONDS", 0.3)
    with pytest.raises(DistnormError, match=part):
        read_mat(saved, "labels")
