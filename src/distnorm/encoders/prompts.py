"""Prompts: words with a place for a text, ``a photo of {}.``, or before it, ``A photo depicts ``.

``{}`` and ``{c}`` both mark the place: in prompts, templates of class names, prompt tuning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from distnorm.errors import DistnormError

__all__ = ["check_templates", "fill", "place", "prompted"]

_PLACES = ("{}", "{c}")


def place(template: str) -> str | None:
    """The mark of the place in a template, ``{}`` or ``{c}``; None if it has no place."""
    return next((mark for mark in _PLACES if mark in template), None)


def fill(template: str, word: str) -> str:
    """A template with a word in its place.

    Examples
    --------
    >>> fill("a photo of {}.", "a cat"), fill("a photo of a {c}.", "cat")
    ('a photo of a cat.', 'a photo of a cat.')
    """
    mark = place(template)
    return template if mark is None else template.replace(mark, word)


def check_templates(templates: Iterable[str]) -> None:
    """Raise a DistnormError unless every template has a place for the class."""
    for template in templates:
        if place(template) is None:
            raise DistnormError(
                f"template {template!r}", "'{}' or '{c}' in it", "write 'a photo of a {c}.'"
            )


def prompted(texts: Sequence[str], prompt: str | None) -> list[str]:
    """Texts in a prompt's place for them, or after it if it has none.

    Examples
    --------
    >>> prompted(["a cat"], "a photo of {}."), prompted(["a cat"], "A photo depicts ")
    (['a photo of a cat.'], ['A photo depicts a cat'])
    """
    if not prompt:
        return list(texts)
    if place(prompt) is None:
        return [prompt + text for text in texts]
    return [fill(prompt, text) for text in texts]
