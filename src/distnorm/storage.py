"""One inspectable safetensors file: settings, tensors and a checksum over both.

Metadata: ``distnorm``, a JSON object of the settings with ``format_version``, and ``checksum``,
the SHA-256 over that JSON and every tensor's name, dtype, shape and bytes. The same settings and
tensors give the same bytes. What settings there are says the room that writes them: it hands `read`
their form.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from distnorm.errors import DistnormError
from distnorm.system import schema
from distnorm.system.files import atomic_write, check_ending, missing_file, plain_errors

__all__ = ["FORMAT_VERSION", "RENAMED", "ordered", "read", "write"]

FORMAT_VERSION = "1.1"

Tensor = npt.NDArray[Any]

RENAMED: dict[str, str] = {}
"""Older names of settings and what they are called now, so that old files keep loading."""


def write(
    path: str | os.PathLike[str], settings: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write settings, the version and tensors, whole or not at all; raises as `atomic_write`."""
    if not _is_ours(path):
        check_ending(path, "statistics", ".safetensors")
    about = {"format_version": FORMAT_VERSION, **settings}
    try:
        text = json.dumps(about, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise DistnormError(
            f"settings for {os.fspath(path)} with a number that is none", "finite ones", "mend it"
        ) from error
    metadata = {"distnorm": text, "checksum": _checksum(text, tensors)}
    with atomic_write(path) as file:
        file.write(ordered(to_bytes(dict(tensors), metadata)))


def _is_ours(path: str | os.PathLike[str]) -> bool:
    """Whether a file that is to be replaced is of safetensors, whatever it is called."""
    try:
        with open(path, "rb") as file:
            return file.read(9)[8:] == b"{"
    except (OSError, ValueError):
        return False


def read(
    path: str | os.PathLike[str],
    form: schema.Form = schema.anything,
    *,
    what: str = "a normalization saved by distnorm",
    remedy: str = "fetch or fit it again",
) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """Settings, tensors and checksum of a file of ``what``.

    ``form`` is what the settings must be like; ``what`` and ``remedy`` are for messages. Raises
    `DistnormError` for a missing, damaged or newer file, one of something else, or settings of
    another form.
    """
    name = os.fspath(path)
    with plain_errors(name):
        if Path(path).is_dir():
            raise DistnormError(
                f"the directory {name}",
                what,
                "name the file; statistics of a store's vectors are made by distnorm fit",
            )
        if not Path(path).exists():
            raise missing_file(Path(path), what)
    try:
        with safe_open(name, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, UnicodeError, KeyError, TypeError, ValueError) as error:
        raise DistnormError(
            f"{name}, which is no readable safetensors file",
            what,
            f"{remedy}: it is truncated, damaged or of another format",
        ) from error
    if "distnorm" not in metadata:
        raise DistnormError(f"{name}, a safetensors file of something else", what, remedy)
    text, checksum = metadata["distnorm"], metadata.get("checksum", "")
    versioned = schema.record({"format_version": schema.text})
    settings = schema.parse(text, versioned, file=name, remedy=remedy)
    version = settings["format_version"]
    if not _major(version).isdecimal() or int(_major(version)) > int(_major(FORMAT_VERSION)):
        raise DistnormError(
            f"{name} in format {version:.20}",
            f"format {FORMAT_VERSION} or older",
            "upgrade: pip install -U distnorm",
        )
    if checksum != _checksum(text, tensors):
        raise DistnormError(
            f"{name} whose checksum does not fit its contents",
            "the file as it was saved",
            f"{remedy}: it was changed or damaged",
        )
    settings = {RENAMED.get(key, key): value for key, value in settings.items()}
    schema.check(settings, form, file=name, remedy=remedy)
    return settings, tensors, checksum


def ordered(content: bytes) -> bytes:
    """A safetensors file whose head is in one order, which the library leaves to chance."""
    start = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:start])
    text = json.dumps(head, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


def _major(version: str) -> str:
    return version.partition(".")[0][:9]


def _checksum(settings: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(settings.encode())
    for key in sorted(tensors):
        values = np.ascontiguousarray(tensors[key])
        digest.update(f"{key} {values.dtype.str} {values.shape}".encode())
        digest.update(values.data if values.size else b"")
    return digest.hexdigest()
