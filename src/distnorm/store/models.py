"""Which model and which prompt vectors and statistics belong to."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from distnorm.errors import DistnormError
from distnorm.store.vectors import stored

if TYPE_CHECKING:
    from distnorm.normalization import ScoreNormalization

__all__ = ["check_models", "model_of", "prompt_of"]

Name = str | os.PathLike[str]


def model_of(paths: Iterable[Name | None], given: str | None = None) -> str | None:
    """The model id that stores agree on, else ``given``; None where nothing says.

    Parameters
    ----------
    paths : iterable of path or None
        Stores, and vectors that name no model.
    given : str, optional
        A model id, or the name that `load_encoder` takes.

    Raises
    ------
    DistnormError
        If two name different models, with both.
    """
    found, where = None, None
    for path in paths:
        about = {} if path is None else stored(path)
        model = about.get("model_id")
        if model is None:
            continue
        if given not in (None, model, about.get("model")):
            raise DistnormError(
                f"{path} with vectors of {model!r}", f"{given!r} as --model says", _remedy(model)
            )
        if found not in (None, model):
            raise DistnormError(
                f"{path} with vectors of {model!r}",
                f"{found!r} as in {where}",
                "use stores of one model",
            )
        found, where = str(model), path
    return found if found is not None else given


def prompt_of(paths: Iterable[Name | None], given: str | None = None) -> str | None:
    """The prompt that stores of texts agree on, else ``given``.

    Raises
    ------
    DistnormError
        If two were embedded with different prompts, or one with another than ``given``.
    """
    known: dict[str, Name] = {}
    for path in paths:
        about = {} if path is None else stored(path)
        if path is not None and "prompt" in about and "text" in about.get("sides", ()):
            known[about["prompt"] or ""] = path
    if given is not None and known and set(known) != {given}:
        other = next(prompt for prompt in known if prompt != given)
        raise DistnormError(
            f"{known[other]} with texts in the prompt {other!r}", f"{given!r}", "leave --prompt out"
        )
    if len(known) > 1:
        (first, where), (second, other_place) = list(known.items())[:2]
        raise DistnormError(
            f"{other_place} with texts in the prompt {second!r}",
            f"{first!r} as in {where}",
            "use texts of one prompt",
        )
    return next(iter(known)) or None if known else given


def check_models(norm: ScoreNormalization | None, *paths: Name | None) -> None:
    """Raise unless vectors, and the normalization that is used on them, are of one model.

    Raises
    ------
    DistnormError
        Naming both models.
    """
    model = model_of(paths)
    if norm is not None and None not in (model, norm.model) and norm.model != model:
        where = next(Path(path) for path in paths if path is not None and stored(path))
        raise DistnormError(
            f"a normalization of {norm.model!r} for {where} with vectors of {model!r}",
            "one model",
            "fit a normalization on these vectors",
        )


def _remedy(model: str) -> str:
    return f"leave --model out, or embed with that model; the store is of {model}"
