"""Public names: what ``__all__`` of each public module lists."""

from __future__ import annotations

import importlib

__all__ = ["MODULES", "public_names"]

MODULES = (
    "distnorm",
    "distnorm.augmentation",
    "distnorm.calibration",
    "distnorm.datasets",
    "distnorm.encoders",
    "distnorm.scenes",
    "distnorm.search",
    "distnorm.search.indexes",
)


def public_names() -> dict[str, list[str]]:
    """By module, sorted."""
    return {name: sorted(importlib.import_module(name).__all__) for name in MODULES}
