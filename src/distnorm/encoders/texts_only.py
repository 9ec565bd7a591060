"""Encoders of texts that are not distnorm's own: what they return is checked, batch by batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from distnorm.arrays import to_numpy
from distnorm.encoders.base import Encoder, Rows
from distnorm.errors import DistnormError

__all__ = ["ForeignTexts"]


class ForeignTexts(Encoder):
    """Texts alone, embedded by something outside; its dimension is found by asking once."""

    preprocess = None

    @abstractmethod
    def rows_of(self, texts: Sequence[str]) -> Any:
        """What comes back for some texts: anything that is to be (n, d) numbers."""

    @cached_property
    def dimension(self) -> int:  # type: ignore[override]
        """Width of the embeddings."""
        return int(self._checked(self.rows_of(["a"]), 1, None).shape[1])

    def encode_pixels(self, pixels: npt.NDArray[Any]) -> Rows:
        """Raise: there are texts alone."""
        raise DistnormError(f"pictures for {self.model_id}", "sentences", "choose another model")

    def _encode_texts(self, texts: Sequence[str]) -> Rows:
        rows = self._checked(self.rows_of(list(texts)), len(texts), self.__dict__.get("dimension"))
        self.__dict__["dimension"] = rows.shape[1]
        return rows

    def _checked(self, values: Any, count: int, dimension: int | None) -> Rows:
        """(count, dimension) finite rows in float32, none of them all zero."""
        try:
            is_array = array_api_compat.is_array_api_obj(values)
            with np.errstate(over="ignore"):
                rows = np.asarray(to_numpy(values) if is_array else values, dtype=np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._wrong("an answer that is no matrix of numbers", count, dimension) from error
        if rows.ndim != 2 or len(rows) != count or not rows.shape[1]:
            raise self._wrong(f"an answer of shape {rows.shape}", count, dimension)
        if dimension is not None and rows.shape[1] != dimension:
            raise self._wrong(f"rows of {rows.shape[1]} dimensions", count, dimension)
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any() or not rows.any(axis=1).all():
            what = "NaN or infinity" if bad.any() else "nothing but zeros"
            row = int(np.flatnonzero(bad if bad.any() else ~rows.any(axis=1))[0])
            raise self._wrong(f"{what} in row {row}", count, dimension)
        return rows

    def _wrong(self, got: str, count: int, dimension: int | None) -> DistnormError:
        width = "d" if dimension is None else str(dimension)
        return DistnormError(
            f"{got} from {self.model_id}",
            f"({count}, {width}) finite numbers, a row for each text",
            "mend what embeds",
        )
