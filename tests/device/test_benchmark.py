"""`benchmarks/gpu.py` runs to its end: every line of it, on a processor and at tiny sizes."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.fixture
def benchmark(project, monkeypatch):
    """The script, which does not wait between its measurements."""
    pytest.importorskip("torch", reason="measures tensors")
    monkeypatch.syspath_prepend(str(project / "benchmarks"))
    monkeypatch.setattr(importlib.import_module("harness").time, "sleep", lambda seconds: None)
    return importlib.import_module("gpu")


def test_every_line_runs(benchmark, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    arguments = ["gpu.py", "--device", "cpu", "--tiny", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    benchmark.main()
    table = capsys.readouterr().out
    for row in ("top 100: of the product", "top 10 of 1:", "fit dn", "nnn, products", "zero-shot"):
        assert row in table
    assert (tmp_path / "gpu.json").is_file()


def test_without_a_gpu_it_says_so(benchmark, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    benchmark.main()
    assert capsys.readouterr().out.startswith("no GPU")
