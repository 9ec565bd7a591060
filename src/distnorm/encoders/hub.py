"""Hugging Face libraries: kept quiet, errors in one line, folders or names on the hub."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from distnorm.encoders.fingerprints import folder_digest, one_line
from distnorm.encoders.torch_encoder import torchvision_trouble
from distnorm.errors import DistnormError, require

__all__ = ["explained", "quiet", "source_and_label"]


def source_and_label(family: str, model: str) -> tuple[str, str]:
    """What a library loads, and the name that a store remembers.

    A folder's name has a digest of its weights: moved, it is the same model; trained, another.
    """
    folder = Path(model).expanduser()
    if model and folder.is_dir():
        return str(folder), f"{folder.resolve().name}@{folder_digest(folder)}"
    if not model or model.startswith(("/", ".", "~")):
        raise DistnormError(
            f"'{family}:{model}'",
            "a folder, or a name on the hub",
            f"check the path: {family}:/path/to/folder",
        )
    return model, model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back loading bars and notes; what matters of them is said in errors here."""
    log = require("transformers", "hf").utils.logging
    level, bar = log.get_verbosity(), log.is_progress_bar_enabled()
    sentences = logging.getLogger("sentence_transformers")
    sentences_level = sentences.level
    log.set_verbosity_error()
    log.disable_progress_bar()
    sentences.setLevel(logging.ERROR)
    try:
        yield
    finally:
        sentences.setLevel(sentences_level)
        log.set_verbosity(level)
        if bar:
            log.enable_progress_bar()


@contextlib.contextmanager
def explained(name: str, expected: str) -> Iterator[None]:
    """Turn what a library and its hub raise into one line."""
    try:
        yield
    except DistnormError:
        raise
    except Exception as error:
        trouble = torchvision_trouble(error)
        if trouble is not None:
            raise trouble from error
        words = one_line(error)
        family, _, model = name.partition(":")
        if not Path(model).expanduser().is_dir():
            raise DistnormError(
                f"{name}, which is no folder and cannot be fetched: {words}",
                "a name of the hub within reach, files in its cache, or a folder",
                f"name a local folder: {family}:/path/to/folder",
            ) from error
        raise DistnormError(f"{name}: {words}", expected, "check the folder") from error
