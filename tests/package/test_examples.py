"""Every example answers the question it is named by, offline, and warns of nothing."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import distnorm

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((PROJECT / "examples").glob("*.py"))
ROW = re.compile(r"^\| (?P<question>[^|]+?) \| \[(?P<file>\w+\.py)\]", re.MULTILINE)
TABLE = {
    m["file"]: m["question"]
    for m in ROW.finditer((PROJECT / "examples" / "README.md").read_text("utf-8"))
}


def missing(example: Path) -> list[str]:
    """Modules that it imports and that are not installed."""
    modules = set()
    for node in ast.walk(ast.parse(example.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module).split(".")[0])
    return sorted(name for name in modules - {"make_vectors"} if find_spec(name) is None)


# As `python EXAMPLE` does, beside a torchvision that may not fit torch's CPU build.
START = """
import runpy, sys, torchvision_shim
torchvision_shim.install()
runpy.run_path({example!r}, run_name="__main__")
"""


def run(example: Path, folder: Path, *arguments: str) -> str:
    """What it prints; a warning of anything ends it."""
    home = str(Path(distnorm.__file__).resolve().parent.parent)
    places = [home, str(example.parent), str(PROJECT / "tests" / "helpers")]
    start = START.format(example=str(example))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", start, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*places, os.environ.get("PYTHONPATH", "")]),
            "HF_HUB_OFFLINE": "1",
            "HAYSTACK_TELEMETRY_ENABLED": "False",
            "XDG_RUNTIME_DIR": str(folder),  # without a session PostgreSQL's starter warns of it
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(example, tmp_path):
    if names := missing(example):
        pytest.skip(f"the example needs {', '.join(names)}")
    assert run(example, tmp_path)


def test_the_table_lists_every_example_by_its_question():
    assert set(TABLE) == {path.name for path in EXAMPLES} - {"make_vectors.py"}
    assert len(TABLE) >= 15
    for name, question in TABLE.items():
        text = (PROJECT / "examples" / name).read_text("utf-8")
        first = re.search(r'\A(?:"""|# %% \[markdown\]\n# # )(.+)', text)
        assert first, name
        assert first[1] == question
        assert "?" in question


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_says_how_to_run_it(example):
    assert f"Run: python examples/{example.name}" in example.read_text("utf-8")


def test_the_gap_is_drawn_of_vectors_that_one_names(tmp_path, gap_pair):
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    for name, rows in zip(("a", "b"), gap_pair, strict=True):
        np.save(tmp_path / f"{name}.npy", 7 * rows)
    example = PROJECT / "examples" / "see_the_gap.py"
    said = run(example, tmp_path, "--images", "a.npy", "--texts", "b.npy", "--out", "seen.png")
    assert "a.npy, b.npy: (200, 32)" in said
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")
