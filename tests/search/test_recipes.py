"""Recipes of the documentation run and rank as distnorm does."""

from __future__ import annotations

import re

import numpy as np
import pytest

import distnorm

RECIPE = re.compile(r"^## (?P<system>.+?)$|```python\n(?P<code>.*?)```", re.DOTALL | re.MULTILINE)
SHARED = "import distnorm"


def recipes(project):
    """Each block of the page with its system."""
    system, found = "", []
    for match in RECIPE.finditer((project / "docs" / "recipes.md").read_text("utf-8")):
        system = match["system"] or system
        if match["code"] and SHARED not in match["code"]:
            found.append((system, match["code"]))
    return found


@pytest.mark.parametrize("number", range(6))
def test_a_recipe_ranks_as_distnorm_does(number, project, tmp_path, index_world, monkeypatch):
    system, code = recipes(project)[number]
    for module in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
        pytest.importorskip(module, reason=f"the recipe for {system}")
    monkeypatch.chdir(tmp_path)
    norm = index_world.norm("nnn")
    rows = np.ascontiguousarray(index_world.items[:150], dtype=np.float32)
    bias = norm.item_bias(images=rows)
    queries = np.ascontiguousarray(index_world.queries, dtype=np.float32)
    about = {"rows": rows, "bias": bias, "queries": queries, "folder": str(tmp_path / "here")}
    exec(compile(code, system, "exec"), about)
    wanted = distnorm.topk(queries, rows, 10, bias)[1]
    plain = distnorm.topk(queries, rows, 10)[1]
    ids = [list(map(int, line)) for line in about["ids"]]
    assert ids == wanted.tolist()
    assert ids != plain.tolist()


def test_every_recipe_is_run(project):
    found = recipes(project)
    assert len(found) == 6
    assert {system for system, _ in found} == {"FAISS", "Qdrant", "LanceDB", "Chroma", "SQL"}
