"""Many queries at once: a file of vectors, or a log of sentences that a model encodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.embedding.sources import open_source
from distnorm.encoders.prompts import prompted
from distnorm.encoders.registry import stated_id
from distnorm.errors import DistnormError
from distnorm.fitting import Inputs, Reading
from distnorm.store.models import model_of

__all__ = ["QueryLog"]


@dataclass(frozen=True)
class QueryLog:
    """Queries of one side, (n, d), and the id of their model where that is known.

    ``words`` are the different sentences, without those that were ``repeated``; vectors have none,
    and count row by row.
    """

    rows: npt.NDArray[Any]
    side: str
    model: str | None
    repeated: int = 0
    words: tuple[str, ...] = ()

    @classmethod
    def read(
        cls,
        name: str,
        side: str,
        *,
        model: str | None = None,
        default: str | None = None,
        prompt: str | None = None,
        reading: Reading | None = None,
    ) -> QueryLog:
        """Read vectors, or encode sentences and pictures.

        ``name`` is as the inputs of `distnorm fit`: a file of vectors, a store, or what is to be
        embedded; by ``model``, or by ``default`` without one. ``prompt`` goes around every
        sentence; ``reading`` is that of a file of vectors. Raises for what cannot be read, or
        sentences without a model.
        """
        inputs = Inputs({side: [name]}, model=model or default, prompt=prompt, reading=reading)
        (source,) = inputs.sides[side]
        if inputs.encoder is None or side != "text":
            parts = list(source.take(None))
            if not parts:
                raise DistnormError(f"{name} without a query", "one at least", "fill it")
            known = inputs.model_id if inputs.encoder else model_of(name, stated=stated_id(model))
            return cls(np.concatenate(parts), side, known)
        texts = [item.text or "" for item in open_source(name)]
        different = list(dict.fromkeys(texts))
        rows = inputs.encoder.encode_texts(prompted(different, prompt))
        repeated = len(texts) - len(different)
        return cls(rows, side, inputs.model_id, repeated, tuple(different))
