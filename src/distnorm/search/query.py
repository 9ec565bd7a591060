"""What is searched for: a sentence or a picture as a row of the model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError

__all__ = ["Query", "encode_query"]


@dataclass(frozen=True)
class Query:
    """A query as it was written, its row (1, d), its side.

    ``prompt`` is that of a sentence, ``size`` the width and height of a picture.
    """

    text: str
    row: npt.NDArray[np.float32]
    side: str
    model: str
    prompt: str | None = None
    size: tuple[int, int] | None = None


def encode_query(encoder: Any, text: str, prompt: str | None = None) -> Query:
    """A picture if the query ends like a picture's file, else a sentence in its prompt."""
    from distnorm.embedding.formats import refuse_known
    from distnorm.embedding.items import PICTURES
    from distnorm.encoders.prompts import prompted

    path = Path(text)
    if path.suffix and path.suffix.lower() not in PICTURES and os.path.isfile(path):
        refuse_known(path)
        raise DistnormError(
            f"the file {path} as a query",
            "a sentence, or a picture",
            "embed its sentences, and give the store they are in as --query-vectors",
        )
    if path.suffix.lower() in PICTURES:
        from distnorm.embedding.pictures import open_picture

        picture = open_picture(path)[0]
        row = encoder.encode_images([picture])
        return Query(text, row, "image", encoder.model_id, size=picture.size)
    row = encoder.encode_texts(prompted([text], prompt) if text.strip() else [text])
    return Query(text, row, "text", encoder.model_id, prompt)
