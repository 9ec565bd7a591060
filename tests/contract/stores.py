"""What is done with the saved stores: commands on a copy, and what they write and leave."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from contract.cases import inside
from contract.commands import run

__all__ = ["STEPS", "play"]

_SEARCH = "search {} 'a red star' --k 6"
_NNN = "--normalization nnn.safetensors"

# Steps that begin with "again" embed the pictures again, so many lines of their table.
STEPS = {
    "pictures": (
        _SEARCH.format("pictures"),
        _SEARCH.format("pictures") + " --side text",
        _SEARCH.format("pictures") + " --normalization dn.safetensors --both",
        _SEARCH.format("pictures") + f" --side both {_NNN}",
        "fit --images pictures --texts pictures --method dn2 --out fitted.safetensors",
        "compare retrieval --images pictures --texts pictures --methods dot,dn --repeats 1",
        "again 12 pictures",
        "again 10 pictures --prune",
    ),
    "pruned": (
        _SEARCH.format("pruned"),
        "fit --update dn-before-prune.safetensors --images pruned",
        "fit --update nnn-before-prune.safetensors --images pruned --out updated.safetensors",
        "inspect dn-before-prune.safetensors",
        "inspect updated.safetensors",
    ),
    "sentences": (
        _SEARCH.format("sentences") + " --side text",
        "fit --texts sentences --out fitted.safetensors",
    ),
    "clip-retrieval": (
        _SEARCH.format("clip-retrieval") + " --model builtin",
        _SEARCH.format("clip-retrieval") + f" --model builtin {_NNN}",
        "compare retrieval --images clip-retrieval --texts clip-retrieval --methods dot,dn "
        "--repeats 1 --repeated-images",
    ),
    "pending": (_SEARCH.format("pending"), "again 9 pending", _SEARCH.format("pending")),
    "begun": (_SEARCH.format("begun"), "again 9 begun", _SEARCH.format("begun")),
    "kept biases": (
        _SEARCH.format("pictures") + f" {_NNN}",
        _SEARCH.format("pictures") + f" {_NNN} --bias kept.bias",
        _SEARCH.format("pictures") + f" {_NNN} --bias kept-strange.bias",
        _SEARCH.format("pictures") + f" {_NNN} --bias kept-begun.bias",
        _SEARCH.format("pictures") + f" {_NNN} --bias kept-begun.bias",
        _SEARCH.format("pictures") + " --normalization dn2.safetensors --bias kept.bias",
        _SEARCH.format("pictures") + f" {_NNN} --bias kept.bias --side text",
    ),
}


def play(name: str, stores: Path) -> list[dict[str, Any]]:
    """The steps of ``name`` on a copy of all stores; by step its exit code, JSON and rows."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place) / "work"
        shutil.copytree(stores, work)
        with inside(work):
            fit = "fit --images pictures --texts pictures --method dn2 --out dn2.safetensors"
            assert run(*shlex.split(fit)).exit_code == 0
            return [_step(line) for line in STEPS[name]]


def _step(line: str) -> dict[str, Any]:
    words = shlex.split(line)
    if words[0] == "again":
        _list(int(words[1]))
        words = ["embed", "scenes", "--model", "builtin", "--workers", "0", "--out", *words[2:]]
    done = run(*words, "--json", "-")
    found: dict[str, Any] = {"step": line, "exit_code": done.exit_code}
    if done.stdout.strip():
        found["json"] = json.loads(done.stdout)
    if "notes" in found.get("json", {}):
        # How many, as their wording may change.
        found["json"]["notes"] = len(found["json"]["notes"])
    if words[0] == "embed":
        found["rows"] = _rows(Path(words[7]))
    return found


def _list(lines: int) -> None:
    """List the pictures that the stores were made of: two captions each, so many in all."""
    table = Path("scenes/captions.tsv")
    head, *texts = table.read_text("utf-8").splitlines()
    kept = texts if len(texts) < 30 else [text for at, text in enumerate(texts) if at % 5 < 2]
    table.write_text("\n".join([head, *kept[:lines]]) + "\n", "utf-8")


def _rows(store: Path) -> dict[str, int]:
    """Rows of each file of vectors."""
    return {
        path.relative_to(store).as_posix(): len(np.load(path))
        for path in sorted(store.rglob("*.npy"))
    }
