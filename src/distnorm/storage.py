"""One inspectable safetensors file: settings, tensors and a checksum over both.

Metadata: ``distnorm``, a JSON object of the settings with ``format_version``, and ``checksum``,
the SHA-256 over that JSON and every tensor's name, dtype, shape and bytes. What the settings and
tensors of a normalization are, `distnorm.normalization.files` says.
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
from distnorm.system.files import atomic_write

__all__ = ["FORMAT_VERSION", "RENAMED", "read", "write"]

FORMAT_VERSION = "1.1"

Tensor = npt.NDArray[Any]

RENAMED: dict[str, str] = {}
"""Older names of settings and what they are called now, so that old files keep loading."""


def write(
    path: str | os.PathLike[str], settings: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write settings and tensors to ``path``, whole or not at all; the version is added."""
    text = json.dumps({"format_version": FORMAT_VERSION, **settings}, sort_keys=True)
    metadata = {"distnorm": text, "checksum": _checksum(text, tensors)}
    with atomic_write(path) as file:
        file.write(to_bytes(dict(tensors), metadata))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """Settings, tensors and checksum of a file; an error for a damaged or a newer one."""
    name = os.fspath(path)
    if Path(path).is_dir():
        raise DistnormError(f"the directory {name}", "a file", "name the .safetensors file in it")
    if not Path(path).exists():
        raise DistnormError(f"no file {name}", "a saved normalization", "check the path")
    try:
        with safe_open(name, framework="numpy") as file:
            metadata = file.metadata() or {}
            if "distnorm" not in metadata:
                raise DistnormError(
                    f"{name}, a safetensors file of something else",
                    "a normalization saved by distnorm",
                    "make one with norm.save or `distnorm fit`",
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        settings = json.loads(metadata["distnorm"])
        version = str(settings["format_version"])
    except (SafetensorError, OSError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise _damaged(name) from error
    except ValueError as error:
        if isinstance(error, DistnormError):
            raise
        raise _damaged(name) from error
    if not version.partition(".")[0].isdigit() or _major(version) > _major(FORMAT_VERSION):
        raise DistnormError(
            f"{name} in format {version}",
            f"format {FORMAT_VERSION} or older",
            "upgrade: pip install -U distnorm",
        )
    if metadata.get("checksum") != _checksum(metadata["distnorm"], tensors):
        raise DistnormError(
            f"{name} whose checksum does not fit its contents",
            "the file as it was saved",
            "fetch or fit it again: it was changed or damaged",
        )
    settings = {RENAMED.get(key, key): value for key, value in settings.items()}
    return settings, tensors, metadata["checksum"]


def _damaged(name: str) -> DistnormError:
    return DistnormError(
        f"{name}, which is no readable safetensors file",
        "a normalization saved by distnorm",
        "fetch or fit it again: it is truncated, damaged or of another format",
    )


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _checksum(settings: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(settings.encode())
    for key in sorted(tensors):
        values = np.ascontiguousarray(tensors[key])
        digest.update(f"{key} {values.dtype.str} {values.shape}".encode())
        digest.update(values.data if values.size else b"")
    return digest.hexdigest()
