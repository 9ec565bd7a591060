"""The short tier: some inputs of every kind, always the same ones; `run.py` is the long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

import kinds
import mutations
import run

INPUTS = 12
APART = ("index files", "databases")
FEW = {"data sets, .mat": 2}  # a process for each


@pytest.mark.parametrize("name", APART)
def test_files_that_may_end_their_reader(name):
    """In a process of their own, as all are in the long tier."""
    for package in kinds.missing(name):
        pytest.skip(f"{package} is not installed")
    counts, faults = run.count_kind(name, 0, INPUTS, lambda _: None)
    assert not faults
    assert sum(counts.values()) == INPUTS


@pytest.mark.parametrize("name", [name for name in kinds.KINDS if name not in APART])
def test_changed_inputs_are_read_rightly_or_refused_in_one_line(name, tmp_path, monkeypatch):
    for package in kinds.missing(name):
        pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    kind = kinds.build(name, tmp_path)
    faults = []
    for number in range(FEW.get(name, INPUTS)):
        word, where = run.outcome(kind, run.draw(0, name, number))
        if word not in ("accepted", "refused"):
            faults.append(f"--kind {name!r} --only {number}: {word}: {where}")
    assert not faults


def test_good_originals_are_accepted(tmp_path, monkeypatch):
    """Or nothing that is changed would be more than refused."""
    for name in (
        "vectors .npy",
        "vectors .csv",
        "labels",
        "lines",
        "normalizations",
        "class names",
    ):
        kind = kinds.build(name, tmp_path / name.replace(" ", "-"))
        kind.check(kind.folder, kind.read(kind.folder))


def test_faults_are_found():
    """Each word for what went wrong is told from the others."""

    class Kind:
        def __init__(self, error):
            self.error = error

        def attempt(self, rng):
            del rng
            if self.error is not None:
                raise self.error

    rng = run.draw(0, "x", 0)
    told = [
        (None, "accepted"),
        (kinds.DistnormError("a", "b", "c"), "refused"),
        (KeyError("x"), "traceback"),
        (MemoryError(), "memory"),
        (kinds.Wrong("other numbers"), "wrong"),
    ]
    assert [run.outcome(Kind(error), rng)[0] for error, _ in told] == [word for _, word in told]


def test_the_same_three_give_the_same_input():
    data = bytes(range(200))
    one, two = (mutations.mutate_bytes(run.draw(3, "x", 7), data) for _ in range(2))
    assert one == two != mutations.mutate_bytes(run.draw(3, "x", 8), data)
