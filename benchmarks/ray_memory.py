"""What Ray's memory monitor leaves of a job: one line, whole files, and a second run that goes on.

Each command is run on a part of its input, then on all of it while the monitor kills every worker
(its threshold is set below what the machine uses anyway: nothing grows), then once more as usual.

Run: python benchmarks/ray_memory.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from harness import random_rows

import distnorm
from distnorm.store.vectors import read_embeddings

KILLING = {"RAY_memory_usage_threshold": "0.01", "RAY_task_oom_retries": "1"}


def run(*words: object, **more: str) -> tuple[int, str, float]:
    """Exit code, last line that is told, seconds."""
    command = [sys.executable, "-m", "distnorm", *map(str, words), "--engine", "ray"]
    start = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **more}, capture_output=True, text=True, check=False
    )
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return done.returncode, lines[-1] if lines else "", time.perf_counter() - start


def shown(name: str, found: tuple[int, str, float]) -> None:
    """A line of the result."""
    code, line, seconds = found
    print(f"{name}: exit {code}, {seconds:.0f} s\n    {line}", flush=True)


def killed(name: str, *words: object) -> None:
    """A run under the monitor, which has to fail."""
    found = run(*words, **KILLING)
    shown(f"{name}, killed for memory", found)
    assert found[0] == 1, found
    assert found[1].startswith("distnorm: got "), found


def main() -> None:
    """Statistics, biases and embedding."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rows = random_rows(3000, 32, seed=0)
        for number in range(3):
            (place / "rows").mkdir(exist_ok=True)
            np.save(
                place / "rows" / f"part_{number}.npy", rows[1000 * number : 1000 * number + 1000]
            )
        norm = distnorm.make("nnn", k=2).fit(texts=rows[:100])
        norm.save(place / "n.safetensors")

        fit = ("fit", "--images", place / "rows", "--out", place / "dn.safetensors")
        killed("fit", *fit)
        assert not (place / "dn.safetensors").exists()
        shown("fit, again", run(*fit))

        bias = ("index", "bias", place / "rows", "--normalization", place / "n.safetensors")
        bias += ("--out", place / "biases")
        shown("index bias", run(*bias))
        (place / "biases" / "bias_000002.parquet").unlink()
        kept = {p.name: p.stat().st_mtime_ns for p in (place / "biases").glob("*.parquet")}
        killed("index bias of the third part", *bias)
        shown("index bias, again", run(*bias))
        table = pq.read_table(place / "biases").sort_by("row")
        values = table.column(table.column_names[-1]).to_numpy()
        assert np.allclose(values, norm.item_bias(images=rows), atol=1e-6)
        assert all((place / "biases" / name).stat().st_mtime_ns == at for name, at in kept.items())

        lines = [f"a star number {number}" for number in range(60)]
        embed = ("embed", place / "lines.txt", "--model", "builtin", "--workers", 1)
        (place / "lines.txt").write_text("\n".join(lines[:40]) + "\n")
        shown("embed of 40 texts", run(*embed, "--out", place / "store"))
        before = np.array(read_embeddings(place / "store", "text"))
        (place / "lines.txt").write_text("\n".join(lines) + "\n")
        killed("embed of 60", *embed, "--out", place / "store")
        assert np.array_equal(read_embeddings(place / "store", "text"), before)
        shown("embed, again", run(*embed, "--out", place / "store"))
        shown("embed of 60 anew", run(*embed, "--out", place / "new"))
        one, two = (read_embeddings(place / name, "text") for name in ("store", "new"))
        assert np.array_equal(one, two)
        print("all that was written stayed whole; second runs went on and gave the same rows")


if __name__ == "__main__":
    main()
