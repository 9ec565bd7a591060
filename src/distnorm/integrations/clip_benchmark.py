"""CLIP_benchmark: its result files, read and written, one per method.

    {"dataset", "model", "pretrained", "task", "language", "metrics": {"acc1": ...}}

``clip_benchmark build *.json`` makes its table of them: names of metrics and values in [0, 1] are
the same, the method stands behind the weights' name and, alone, under "normalization".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distnorm.comparison import Comparison
from distnorm.errors import DistnormError
from distnorm.system.files import plain_errors, write_text

__all__ = ["read_result", "write_results"]

_TASKS = {"retrieval": "zeroshot_retrieval", "classification": "zeroshot_classification"}
_FIELDS = ("dataset", "model", "pretrained", "task", "metrics", "language")


def write_results(
    comparison: Comparison,
    folder: str | os.PathLike[str],
    *,
    dataset: str,
    model: str,
    pretrained: str,
    language: str = "en",
) -> list[Path]:
    """One file per method of a comparison of retrieval or classification, in a folder.

    Its figures are means over held-out draws: of half the data, not of the whole set. ``dataset``,
    ``model``, ``pretrained`` and ``language`` are as CLIP_benchmark names them.
    """
    told = comparison.to_dict()
    if told["task"] not in _TASKS:
        raise DistnormError(
            f"a comparison of {told['task']}",
            f"one of {' or '.join(_TASKS)}",
            "CLIP_benchmark has no such task",
        )
    place, paths = Path(folder), []
    with plain_errors(place):
        place.mkdir(parents=True, exist_ok=True)
    for row in told["results"]:
        name = f"{row['method']}@{_strengths(row['strength'])}"
        result = {
            "dataset": dataset,
            "model": model,
            "pretrained": f"{pretrained}+{name}",
            "task": _TASKS[told["task"]],
            "metrics": {key: value["mean"] for key, value in row["metrics"].items()},
            "language": language,
            "normalization": name,
            "protocol": told["protocol"],
        }
        file = "_".join((dataset, pretrained, model, language, name)).replace("/", "-")
        paths.append(place / f"{file.replace('*', 'star')}.json")
        write_text(paths[-1], json.dumps(result, indent=2) + "\n")
    return paths


def read_result(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A result file of CLIP_benchmark's or of `write_results`.

    It has dataset, model, pretrained, task, metrics and language at least.
    """
    try:
        with plain_errors(path):
            found = json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        if isinstance(error, DistnormError):
            raise
        found = None
    lack = [key for key in _FIELDS if not isinstance(found, Mapping) or key not in found]
    if lack or not isinstance(found["metrics"], Mapping):
        raise DistnormError(
            f"{path} without {', '.join(lack) or 'numbers under metrics'}",
            "a result of clip_benchmark eval",
            "give one of its JSON files",
        )
    return dict(found)


def _strengths(strength: Mapping[str, float]) -> str:
    """One number where both sides have the same, else both."""
    values = list(strength.values())
    if len(set(values)) == 1:
        return f"{values[0]:g}"
    return ",".join(f"{side}={value:g}" for side, value in strength.items())
