"""What is searched for, a sentence or a picture as a row of the model, and what ranks for it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization, load
from distnorm.storage import read

__all__ = ["NormalizationFile", "Query", "encode_query"]


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


@dataclass(frozen=True)
class NormalizationFile:
    """A normalization and the checksum of its file; neither where no file is named."""

    norm: ScoreNormalization | None = None
    checksum: str = ""

    @classmethod
    def load(cls, path: str | None) -> NormalizationFile:
        """What a file holds."""
        return cls() if path is None else cls(load(path), read(path)[2])

    @property
    def correcting(self) -> ScoreNormalization | None:
        """The normalization, unless it is the dot product."""
        return self.norm if self.norm is not None and self.norm.spec.corrects else None

    @property
    def prompt(self) -> str | None:
        """How the texts of the statistics were worded, where that is known."""
        return None if self.norm is None else self.norm.prompt

    def called(self, query: Query, side: str) -> Query:
        """The query under its side's name here: the one opposite to the items' ``side``."""
        if self.norm is None or side == "both" or query.side in self.norm.sides:
            return query
        return replace(query, side=self.norm.names.other(self.norm.names.resolve(side)))

    def check(self, query: Query, side: str) -> None:
        """Raise unless it serves this query among items of ``side`` (or "both")."""
        if self.norm is None:
            return
        if query.side == side:
            raise DistnormError(
                f"a normalization for {side} queries among {side} items",
                "a query of the other side",
                "leave --normalization out, or search the other --side",
            )
        if self.norm.model not in (None, query.model):
            raise DistnormError(
                f"a normalization of {self.norm.model!r}",
                f"one of {query.model!r}",
                "fit one on this model's embeddings",
            )
