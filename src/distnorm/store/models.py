"""Which model and which prompt vectors and statistics belong to.

Whatever is named may be a store, which says it, or vectors that name no model, or None.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from distnorm.errors import DistnormError
from distnorm.store.layout import Commit, is_store

if TYPE_CHECKING:
    from distnorm.normalization import ScoreNormalization

__all__ = ["check_models", "model_of", "other_resizer", "prompt_of"]

Name = str | os.PathLike[str]


def model_of(*paths: Name | None, stated: str | None = None) -> str | None:
    """The model id that stores agree on, else ``stated``: an id or a name; raises for two."""
    model, place = None, None
    resizer: str | None = None
    for path in paths:
        commit = None if path is None else Commit.read(path)
        if commit is None or commit.model_id is None:
            continue
        if commit.resizer is not None:
            if resizer not in (None, commit.resizer):
                raise other_resizer(path, commit.resizer, resizer)
            resizer = commit.resizer
        other = commit.model_id
        if stated not in (None, other, commit.model):
            raise DistnormError(
                f"{path} with vectors of {other!r}",
                f"{stated!r} as --model says",
                f"leave --model out, or embed with that model; the store is of {other}",
            )
        if model not in (None, other):
            raise DistnormError(
                f"{path} with vectors of {other!r}",
                f"{model!r} as in {place}",
                "use stores of one model",
            )
        model, place = other, path
    return stated if model is None else model


def other_resizer(place: Name | None, found: str | None, expected: str | None) -> DistnormError:
    """The error for pictures that different libraries have resized: their rows differ."""
    return DistnormError(
        f"{place} of pictures that {found} resized",
        f"pictures that {expected} resized: one picture has other rows by each (cosine .997)",
        "embed all of them in one environment: sentence-transformers resizes with torchvision "
        "where that is installed, all else with Pillow",
    )


def prompt_of(*paths: Name | None, stated: str | None = None) -> str | None:
    """The prompt that stores of texts were embedded with, else ``stated``; raises for two."""
    places: dict[str, Name] = {}
    for path in paths:
        commit = None if path is None else Commit.read(path)
        if path is not None and commit and commit.prompt is not None and "text" in commit.sides:
            places[commit.prompt] = path
    if stated is not None and places and set(places) != {stated}:
        other = next(prompt for prompt in places if prompt != stated)
        raise DistnormError(
            f"{places[other]} with texts in the prompt {other!r}",
            f"{stated!r}",
            "leave --prompt out",
        )
    if len(places) > 1:
        (first, place), (second, other_place) = list(places.items())[:2]
        raise DistnormError(
            f"{other_place} with texts in the prompt {second!r}",
            f"{first!r} as in {place}",
            "use texts of one prompt",
        )
    return next(iter(places)) or None if places else stated


def check_models(norm: ScoreNormalization | None, *paths: Name | None) -> None:
    """Raise unless vectors, and the normalization that is used on them, are of one model."""
    model = model_of(*paths)
    if norm is not None and None not in (model, norm.model) and norm.model != model:
        place = next(Path(path) for path in paths if path is not None and is_store(path))
        raise DistnormError(
            f"a normalization of {norm.model!r} for {place} with vectors of {model!r}",
            "one model",
            "fit a normalization on these vectors",
        )
