"""``tcl:FILE``: TCL (Yang et al., CVPR 2022) from its authors' checkpoint files.

TCL trains ALBEF's architecture with further losses within each modality; its files hold the same
keys, so that all is as in `distnorm.encoders.albef`. Needs the ``albef`` extra and the vocabulary.
"""

from __future__ import annotations

from distnorm.encoders.albef import AlbefEncoder, load_file

__all__ = ["load"]


def load(
    model: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    tokenizer: str | None = None,
    image_size: int | None = None,
    weights_only: bool = True,
) -> AlbefEncoder:
    """A TCL checkpoint, such as ``TCL_4M.pth``.

    Parameters and errors are those of `distnorm.encoders.albef.load`.
    """
    return load_file(
        "tcl", model, device, precision, tokenizer, image_size, weights_only=weights_only
    )
