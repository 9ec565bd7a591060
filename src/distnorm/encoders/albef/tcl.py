"""``tcl:FILE``: TCL (Yang et al., CVPR 2022) from its authors' checkpoint files.

TCL trains ALBEF's architecture with further losses within each modality; its files hold the same
keys, so that all is as in `encoders.albef.model`. Needs the ``albef`` extra and the vocabulary.
"""

from __future__ import annotations

from typing import Any

from distnorm.encoders.albef import model as albef

__all__ = ["load"]


def load(model: str, **options: Any) -> albef.AlbefEncoder:
    """A TCL checkpoint, such as ``TCL_4M.pth``; options and errors are those of `albef.load`."""
    return albef.load(model, family="tcl", **options)
