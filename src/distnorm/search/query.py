"""What is asked: a sentence or a picture as a row of the model, and the normalization to use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.storage import load, read

__all__ = ["Query", "check_normalization", "encode_query", "load_normalization"]


@dataclass(frozen=True)
class Query:
    """One query.

    Attributes
    ----------
    text : str
        As it was written: a sentence, or a path.
    row : ndarray, shape (1, d)
    side : {"text", "image"}
    model : str
        Id of the model.
    """

    text: str
    row: npt.NDArray[np.float32]
    side: str
    model: str


def encode_query(encoder: Any, text: str, prompt: str | None = None) -> Query:
    """A picture if the query ends like a picture's file, else a sentence.

    Parameters
    ----------
    encoder : Encoder
    text : str
    prompt : str, optional
        Words around a sentence: those that the statistics, or the store's own texts, have.

    Raises
    ------
    DistnormError
        For a picture that cannot be read, or an empty sentence.
    """
    from distnorm.embedding.items import PICTURES
    from distnorm.encoders.prompts import prompted

    path = Path(text)
    if path.suffix.lower() in PICTURES:
        from distnorm.embedding.pictures import open_picture

        return Query(
            text, encoder.encode_images([open_picture(path)[0]]), "image", encoder.model_id
        )
    row = encoder.encode_texts(prompted([text], prompt) if text.strip() else [text])
    return Query(text, row, "text", encoder.model_id)


def load_normalization(path: str | None) -> tuple[ScoreNormalization | None, str]:
    """The normalization of a file, and its checksum; None where there is no file."""
    return (None, "") if path is None else (load(path), read(path)[2])


def check_normalization(norm: ScoreNormalization | None, query: Query, side: str) -> None:
    """Raise unless a normalization serves this query among items of ``side`` (or "both").

    Raises
    ------
    DistnormError
        For another model's, or one that says nothing about this pair of sides.
    """
    if norm is None:
        return
    if query.side == side:
        raise DistnormError(
            f"a normalization for {side} queries among {side} items",
            "a query of the other side",
            "leave --normalization out, or search the other --side",
        )
    if norm.model not in (None, query.model):
        raise DistnormError(
            f"a normalization of {norm.model!r}",
            f"one of {query.model!r}",
            "fit one on this model's embeddings",
        )
