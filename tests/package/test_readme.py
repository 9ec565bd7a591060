"""The README tells the truth: its Python runs, its commands exist, its table is what comes out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import distnorm

BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<kind>\w+)\n(?P<code>.*?)```", re.DOTALL)
COLUMNS = (
    ("coco500-clip-vit-b16", "text_retrieval_recall@1"),
    ("coco500-clip-vit-b16", "image_retrieval_recall@1"),
    ("mimic500-convirt", "text_retrieval_recall@1"),
    ("mimic500-convirt", "image_retrieval_recall@1"),
)


def blocks(project, kind: str) -> list[tuple[str, str]]:
    """Mark and code of the README's blocks of one language."""
    found = BLOCK.finditer((project / "README.md").read_text(encoding="utf-8"))
    return [(m["mark"] or "", m["code"]) for m in found if m["kind"] == kind]


def run(*command: str, cwd) -> None:
    # The distnorm under test, wherever the working directory is.
    home = str(Path(distnorm.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_python_blocks_run_one_after_the_other(project, tmp_path):
    run(sys.executable, str(project / "examples" / "make_vectors.py"), cwd=tmp_path)
    codes = [code for mark, code in blocks(project, "python") if not mark]
    assert len(codes) == 2
    checks = (
        "full = norm.similarity(X, Y[500:]).T\n"
        # By score and not by index: items closer than float32 tells may change places.
        "in_order = np.take_along_axis(full, order, axis=1)\n"
        "assert np.allclose(in_order, -np.sort(-full, axis=1), atol=1e-5)\n"
        "raw = Y[500:] @ X.T - bias\n"
        "ranked = nnn.similarity(X, Y[500:]).T\n"
        "assert (raw.argmax(axis=1) == ranked.argmax(axis=1)).mean() > 0.99\n"
    )
    script = tmp_path / "readme.py"
    script.write_text("\n".join([*codes, checks]), encoding="utf-8")
    run(sys.executable, str(script), cwd=tmp_path)


def test_it_is_short(project):
    assert len((project / "README.md").read_bytes()) <= 8_000


def test_links_lead_somewhere(project):
    text = (project / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (project / target).exists(), target


def test_ci_runs_the_shell_commands_of_the_readme(project):
    script = (project / ".ci" / "run").read_text(encoding="utf-8")
    marks = [mark for mark, _ in blocks(project, "bash")]
    assert marks == ["run: first", "run: tests", "run: vectors", "run: store"]
    for mark in marks:
        assert f"readme '{mark}'" in script


@pytest.mark.skipif(
    bool(os.environ.get("DISTNORM_SKIP_SLOW")), reason="DISTNORM_SKIP_SLOW is set: takes 10 s"
)
def test_table_is_what_compare_retrieval_gives(project, real_data):
    distnorm = pytest.importorskip("distnorm")
    lines = re.findall(
        r"^\| `(\S+)` \| (.*) \|$", (project / "README.md").read_text(), re.MULTILINE
    )
    table = {name: cells.split(" | ") for name, cells in lines[:6]}
    names = list(table)
    assert names == ["dot", "dn", "dn*", "dn2", "is", "nnn"]
    compared = {}
    for folder in dict.fromkeys(folder for folder, _ in COLUMNS):
        images, texts = (np.load(real_data / folder / f"{s}.npy") for s in ("image", "text"))
        result = distnorm.compare_retrieval(
            images, texts, methods=names, repeats=20, seed=0, diagnostics=False
        ).to_dict()
        compared[folder] = {r["method"]: r["metrics"] for r in result["results"]}
    # A hit that floating point decides differently elsewhere is 0.02; the last digit shown, 0.05.
    for column, (folder, metric) in enumerate(COLUMNS):
        for name, cells in table.items():
            measured = compared[folder][name][metric]
            numbers = [float(v) for v in re.findall(r"[-+]?\d+\.\d", cells[column])]
            if name == "dot":
                expected = [measured["mean"]]
            else:
                expected = [measured["delta"], *measured["delta_ci95"]]
            assert numbers == pytest.approx([100 * v for v in expected], abs=0.12), (folder, name)
