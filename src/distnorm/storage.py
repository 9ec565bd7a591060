"""One inspectable safetensors file for a fitted normalization.

Tensors: ``<side>.sum``, ``<side>.totals`` and, by method, ``<side>.second``, ``<side>.factor``,
``<side>.bank``. Metadata: ``distnorm``, a JSON object with format version, method, strengths,
parameters, sides, model id, prompt style, counts, whether rows had unit length and, from 1.1 on,
``notes`` (see `Fitted`); and ``checksum``, the SHA-256 over that JSON and every tensor's name,
dtype, shape and bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from distnorm.arrays import to_numpy
from distnorm.errors import DistnormError
from distnorm.methods.statistics import SideStatistics
from distnorm.moments import Moments
from distnorm.normalization import ScoreNormalization
from distnorm.system.files import atomic_write

__all__ = ["FORMAT_VERSION", "load", "save"]

FORMAT_VERSION = "1.1"

# Older names of settings and what they are called now, so that old files keep loading.
_RENAMED: dict[str, str] = {}


def save(norm: ScoreNormalization, path: str | os.PathLike[str]) -> None:
    """Write ``norm`` to ``path``, whole or not at all.

    Raises
    ------
    DistnormError
        If nothing was fitted, or the file cannot be written there.
    """
    if norm.dimension is None and norm.method != "dot":
        raise DistnormError("an unfitted normalization", "statistics to save", "call fit first")
    tensors: dict[str, npt.NDArray[Any]] = {}
    sides: dict[str, Any] = {}
    for side, statistics in norm._statistics.items():
        moments = statistics.moments
        sides[side] = {"count": moments.count, "unit_length": moments.unit_length}
        if not moments.count:
            continue
        for key, values in moments.to_arrays().items():
            tensors[f"{side}.{key}"] = np.ascontiguousarray(values)
        if statistics.bank:
            tensors[f"{side}.bank"] = np.ascontiguousarray(to_numpy(statistics.bank_rows()))
    settings = json.dumps(
        {
            "format_version": FORMAT_VERSION,
            **norm.to_dict(),
            "notes": norm.notes,
            "statistics": sides,
        },
        sort_keys=True,
    )
    metadata = {"distnorm": settings, "checksum": _checksum(settings, tensors)}
    with atomic_write(path) as file:
        file.write(to_bytes(tensors, metadata))


def load(
    path: str | os.PathLike[str], *, model: str | None = None, dimension: int | None = None
) -> ScoreNormalization:
    """Read a normalization that `save` wrote.

    Parameters
    ----------
    path : path
    model : str, optional
        The model it will be used with; a file of another model is refused.
    dimension : int, optional
        The d it will be used with.

    Raises
    ------
    DistnormError
        For a missing, truncated, foreign, tampered or newer-version file, or another model's.
    """
    settings, tensors, _ = read(path)
    if model is not None and settings["model"] is not None and settings["model"] != model:
        raise DistnormError(
            f"statistics of model {settings['model']!r} in {os.fspath(path)}",
            f"model {model!r}",
            "fit a normalization with that model's embeddings",
        )
    if dimension is not None and settings["dimension"] not in (None, dimension):
        raise DistnormError(
            f"statistics of {settings['dimension']} dimensions in {os.fspath(path)}",
            f"{dimension} dimensions",
            "fit a normalization with that model's embeddings",
        )
    norm = ScoreNormalization(
        settings["method"],
        strength=settings["strength"],
        sides=tuple(settings["sides"]),
        model=settings["model"],
        prompt=settings["prompt"],
        input=settings["input"],
        **settings["params"],
    )
    for side, about in settings["statistics"].items():
        arrays = {
            key.removeprefix(f"{side}."): values
            for key, values in tensors.items()
            if key.startswith(f"{side}.")
        }
        if not about["count"]:
            continue
        bank = arrays.pop("bank", None)
        moments = Moments.from_arrays(
            arrays,
            count=about["count"],
            unit_length=about["unit_length"],
            rank=settings["params"].get("rank"),
        )
        norm._statistics[side] = SideStatistics(
            moments, None if norm._statistics[side].bank is None else (bank,)
        )
    norm.notes = dict(settings.get("notes", {}))
    return norm


def read(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]], str]:
    """Settings, tensors and checksum of a file, checked but not turned into an object.

    Raises
    ------
    DistnormError
        As `load`.
    """
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
    settings = {_RENAMED.get(key, key): value for key, value in settings.items()}
    return settings, tensors, metadata["checksum"]


def _damaged(name: str) -> DistnormError:
    return DistnormError(
        f"{name}, which is no readable safetensors file",
        "a normalization saved by distnorm",
        "fetch or fit it again: it is truncated, damaged or of another format",
    )


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _checksum(settings: str, tensors: dict[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(settings.encode())
    for key in sorted(tensors):
        values = np.ascontiguousarray(tensors[key])
        digest.update(f"{key} {values.dtype.str} {values.shape}".encode())
        digest.update(values.data if values.size else b"")
    return digest.hexdigest()
