"""Where the saved files are and what is recorded of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["CARDS", "FILES", "expected", "names_of_normalizations", "saved_rows"]

FILES = Path(__file__).parent / "files"

CARDS = ("auto", "dn-of-a-model", "dn-probability-isotonic", "dn2-calibrated", "texts-only")


def expected(folder: str) -> dict[str, Any]:
    """The results that were recorded with the files of a folder."""
    return json.loads(gzip.decompress((FILES / folder / "expected.json.gz").read_bytes()))


def names_of_normalizations() -> list[str]:
    """Saved ones."""
    return sorted(path.stem for path in (FILES / "normalizations").glob("*.safetensors"))


def saved_rows() -> dict[str, np.ndarray]:
    """The rows that files were fitted on, and queries and items to score."""
    with np.load(FILES / "rows.npz") as file:
        return dict(file)
