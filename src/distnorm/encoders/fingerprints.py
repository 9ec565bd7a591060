"""Which weights these are, and a library's error as one line."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["file_digest", "folder_digest", "one_line"]

_WEIGHTS = ("safetensors", "bin", "pth", "pt")
_BLOCK, _BLOCKS = 1 << 16, 256


def file_digest(path: Path) -> str:
    """Twelve hexadecimal digits that tell one weights file from another.

    Small files are read whole; of large ones the length and 256 blocks spread evenly, as training
    moves every weight.
    """
    length = path.stat().st_size
    digest = hashlib.sha256(str(length).encode())
    with path.open("rb") as file:
        if length <= _BLOCK * _BLOCKS:
            digest.update(file.read())
        else:
            for number in range(_BLOCKS):
                file.seek((length - _BLOCK) * number // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:12]


def folder_digest(folder: Path) -> str:
    """As `file_digest`, of a model folder's weights, parts in numbered folders included.

    Exports and training checkpoints that lie deeper within are not the model.
    """
    places = [folder, *sorted(folder.glob("[0-9]*_*"))]
    files = [
        file for place in places for end in _WEIGHTS for file in sorted(place.glob(f"*.{end}"))
    ]
    digests = [file_digest(file) for file in files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:12]


def one_line(error: BaseException, limit: int = 240) -> str:
    """A library's error as one line."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= limit else words[: limit - 3] + "..."
