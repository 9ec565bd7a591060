"""Every page of the documentation does what it says: its blocks run, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import distnorm

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted((PROJECT / "docs").glob("*.md"))
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<kind>python|bash)\n(?P<code>.*?)```", re.DOTALL
)
# What a block needs beyond the core, by a word in it.
NEEDS = {
    "builtin": "onnxruntime",
    "calibrate_probability": "sklearn",
    "demo": "onnxruntime",
    "embed": "pyarrow",
    "faiss": "faiss",
    "haystack": "haystack",
    "langchain": "langchain_core",
    "llama_index": "llama_index",
    "sklearn": "sklearn",
    "--report": "matplotlib",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_of_a_page_run(page, tmp_path):
    blocks = [
        (m["mark"] or "", m["kind"], m["code"]) for m in BLOCK.finditer(page.read_text("utf-8"))
    ]
    blocks = [(kind, code) for mark, kind, code in blocks if not mark.startswith("not run: ")]
    if not blocks:
        # The reference is made from docstrings, whose examples run as doctests.
        pytest.skip("no blocks to run on this page")
    text = " ".join(code for _, code in blocks)
    for word, module in NEEDS.items():
        if word in text and find_spec(module) is None:
            pytest.skip(f"the page's blocks need {module}")
    home = str(Path(distnorm.__file__).resolve().parent.parent)
    bin_folder = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")])),
        "PATH": os.pathsep.join([bin_folder, os.environ.get("PATH", "")]),
    }

    def run(*command: str) -> None:
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    run(sys.executable, str(PROJECT / "examples" / "make_vectors.py"))
    before = ""
    for kind, code in blocks:
        if kind == "bash":
            run("bash", "-euo", "pipefail", "-c", code)
        else:
            before += code
            (tmp_path / "block.py").write_text(before, encoding="utf-8")
            run(sys.executable, "block.py")


def test_a_block_that_does_not_run_says_why():
    for page in PAGES:
        for m in BLOCK.finditer(page.read_text("utf-8")):
            mark = m["mark"] or ""
            assert mark == "" or re.fullmatch(r"not run: .+", mark), (page.name, mark)


def test_figures_beside_the_papers_are_those_of_the_benchmark():
    page = (PROJECT / "docs" / "paper.md").read_text("utf-8")
    lines = (PROJECT / "benchmarks" / "results" / "reproduced.md").read_text("utf-8").splitlines()
    cells = [line.split(" | ")[1] for line in lines if re.match(r"\| \S.*, (dot|dn\S*) \|", line)]
    assert len(cells) == 16
    assert [cell for cell in cells if f"| {cell} |" not in page] == []


def test_figures_of_the_sigmoid_are_those_of_the_benchmark():
    page = (PROJECT / "docs" / "vectors.md").read_text("utf-8")
    results = (PROJECT / "benchmarks" / "results" / "sigmoid.md").read_text("utf-8")
    cells = re.findall(r"^\| (.+, (?:InfoNCE|sigmoid)), \S+ \| (\S+ / \S+) \(", results, re.M)
    assert len(cells) == 4 * 2 * 6
    rows = {line.split(" | ")[0].strip("| "): line for line in page.splitlines() if " | " in line}
    assert [cell for cell in cells if f"| {cell[1]} |" not in rows[cell[0]]] == []


def test_links_within_the_docs_and_to_the_checkout_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_every_page_is_in_the_sites_navigation():
    text = (PROJECT / "mkdocs.yml").read_text("utf-8")
    assert [page.name for page in PAGES if f": {page.name}\n" not in text] == []
