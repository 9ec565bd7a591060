"""Captions that a file itself calls foils or negatives: no true captions of their images."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from distnorm.errors import DistnormWarning

__all__ = ["foil_field", "is_foil_flag", "say_foils_left_out"]

_FLAGS = (
    "foil",
    "is_foil",
    "foiled",
    "negative",
    "is_negative",
    "hard_negative",
    "is_hard_negative",
)
_YES = ("true", "1", "1.0", "yes", "foil", "negative")


def is_foil_flag(name: str) -> bool:
    """Whether a field of this name may say that its row is a foil."""
    return name.strip().lower() in _FLAGS


def foil_field(fields: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str | None:
    """The field by which a row is called a foil; None where it is not. Words in it are no flag."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    called = (name for name, x in pairs if is_foil_flag(name) and str(x).strip().lower() in _YES)
    return next(called, None)


def say_foils_left_out(path: Path, document: Mapping[str, Any]) -> None:
    """Say which lists of foils beside its captions a document has: they are not read."""
    for name, value in document.items():
        if isinstance(value, list) and is_foil_flag(name.removesuffix("s")):
            words = f"{path}: left out {len(value)} entries under {name!r}"
            warnings.warn(words, DistnormWarning, stacklevel=2)
