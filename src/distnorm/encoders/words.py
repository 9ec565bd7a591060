"""Words to numbers for the built-in text model: 0 pads, 1 is any unknown word."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Words"]

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")


class Words:
    """A fixed list of words; anything but letters separates.

    Parameters
    ----------
    words : sequence of str
        Lower case, in the order of their numbers, which begin at 2.
    max_tokens : int
        Longest text that is not cut.
    """

    def __init__(self, words: Sequence[str], max_tokens: int) -> None:
        self.words = tuple(words)
        self.max_tokens = max_tokens
        self._numbers = {word: number for number, word in enumerate(self.words, start=2)}

    def split(self, text: str) -> list[int]:
        """Number of each word of a text, uncut."""
        return [self._numbers.get(word, 1) for word in _WORD.findall(text.lower())]

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Numbers, int64 of shape (n, longest), cut at ``max_tokens``.

        A text without any word is one unknown word.
        """
        rows = [self.split(text)[: self.max_tokens] or [1] for text in texts]
        numbers = np.zeros((len(rows), max(len(row) for row in rows)), dtype=np.int64)
        for place, row in enumerate(rows):
            numbers[place, : len(row)] = row
        return numbers
