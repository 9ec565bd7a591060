"""Encoders by name: ``builtin``, or ``family:model``; see `load_encoder`."""

from __future__ import annotations

import importlib
from typing import Any

from distnorm.encoders.base import Encoder
from distnorm.errors import DistnormError

__all__ = ["FAMILIES", "Encoder", "load_encoder"]

# Family: the module that holds ``load(name, **options) -> Encoder``, and what it needs.
FAMILIES = {
    "albef": ("distnorm.encoders.albef.model", "albef"),
    "builtin": ("distnorm.encoders.builtin", "demo"),
    "hf": ("distnorm.encoders.hf.model", "hf"),
    "onnx": ("distnorm.encoders.onnx.model", "onnx"),
    "open_clip": ("distnorm.encoders.open_clip", "open-clip"),
    "st": ("distnorm.encoders.st", "st"),
    "tcl": ("distnorm.encoders.albef.tcl", "albef"),
}


def load_encoder(name: str, **options: Any) -> Encoder:
    """Load an encoder by its name.

    Parameters
    ----------
    name : str
        ``builtin``, or ``family:model`` with a family of `FAMILIES`.
    **options
        Passed to the family, such as ``device``.

    Raises
    ------
    DistnormError
        For an unknown family: lists what is possible and what to install.
    MissingExtraError
        If the family's packages are not installed; names the pip line.
    """
    family, _, model = name.partition(":")
    if family not in FAMILIES:
        known = ", ".join(
            f"{key} (pip install 'distnorm[{extra}]')" for key, (_, extra) in FAMILIES.items()
        )
        raise DistnormError(f"the model {name!r}", f"one of: {known}", "write family:model")
    module, _ = FAMILIES[family]
    encoder: Encoder = importlib.import_module(module).load(model, **options)
    return encoder
