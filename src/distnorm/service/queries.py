"""Queries as rows: vectors as they came, words and pictures through the model, texts together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from distnorm.arrays import Float32
from distnorm.errors import DistnormError
from distnorm.service.limits import Limits, Refusal
from distnorm.service.requests import Asked

__all__ = ["Queries"]


@dataclass(frozen=True)
class Queries:
    """The queries' model (None: vectors alone), the prompt around texts, bounds of pictures."""

    encoder: Any = None
    prompt: str | None = None
    limits: Limits = field(default_factory=Limits)

    def rows(self, jobs: Sequence[Asked], asking: str, side: str) -> tuple[list[Any], list[str]]:
        """The row of each query, or the `Refusal` that it meets, and its side.

        ``asking`` is the side that queries of items of ``side`` are taken for.
        """
        rows: list[Any] = [None if job.row is None else job.row[0] for job in jobs]
        sides = [asking] * len(jobs)
        # With sides of other names a text is a query of theirs.
        usual = {asking, side} == {"image", "text"}
        texts = [at for at, job in enumerate(jobs) if job.text is not None]
        pictures = [at for at, job in enumerate(jobs) if job.picture is not None]
        if (texts or pictures) and self.encoder is None:
            lacking = Refusal(
                400, "a query in words or a picture without a model", "a vector", "serve --model"
            )
            for at in (*texts, *pictures):
                rows[at] = lacking
            return rows, sides
        if texts:
            from distnorm.encoders.prompts import prompted

            words = [jobs[at].text or "" for at in texts]
            encoded = self.encoder.encode_texts(prompted(words, self.prompt))
            for at, row in zip(texts, encoded, strict=True):
                rows[at], sides[at] = self._fitting(row), "text" if usual else asking
        for at in pictures:
            sides[at] = "image"
            try:
                picture = self._decoded(jobs[at].picture or b"")
                rows[at] = self._fitting(self.encoder.encode_images([picture])[0])
            except Refusal as refusal:
                rows[at] = refusal
            except DistnormError as error:
                rows[at] = Refusal.of(error)
        return rows, sides

    def _fitting(self, row: Float32) -> Any:
        if np.isfinite(row).all() and row.any():
            return row
        return Refusal(400, "a query that the model makes nothing of", "another one", "reword it")

    def _decoded(self, content: bytes) -> Any:
        """A picture within bounds, in RGB and upright."""
        from distnorm.embedding.pictures import decode_picture, picture_size
        from distnorm.errors import require

        bomb = require("PIL.Image", "embed").DecompressionBombError
        try:
            width, height = picture_size(content)
        except bomb as error:
            raise Refusal(
                413, "too many pixels", f"at most {self.limits.pixels}", "shrink it"
            ) from error
        except Exception as error:  # Pillow's decoders raise whatever they please.
            raise Refusal(
                400, "a picture of no known format", "JPEG or PNG", "save it so"
            ) from error
        if width * height > self.limits.pixels:
            raise Refusal(
                413, f"{width} x {height} pixels", f"at most {self.limits.pixels}", "shrink it"
            )
        return decode_picture(content, "the picture")[0]
