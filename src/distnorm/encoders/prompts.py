"""Words around every text: ``A photo depicts `` before it, or ``a photo of {}.`` around it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["prompted"]

_PLACES = ("{}", "{c}")


def prompted(texts: Sequence[str], prompt: str | None) -> list[str]:
    """Texts in a prompt's place for them, or after it if it has none.

    Examples
    --------
    >>> prompted(["a cat"], "a photo of {}."), prompted(["a cat"], "A photo depicts ")
    (['a photo of a cat.'], ['A photo depicts a cat'])
    """
    if not prompt:
        return list(texts)
    place = next((place for place in _PLACES if place in prompt), None)
    if place is None:
        return [prompt + text for text in texts]
    return [prompt.replace(place, text) for text in texts]
