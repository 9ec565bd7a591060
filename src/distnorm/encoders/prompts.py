"""Prompts: words with a place for a text, ``a photo of {}.``, or before it, ``A photo depicts ``.

``{}`` and ``{c}`` both mark the place: in prompts, templates of class names, prompt tuning.
Templates of class names may be functions as well, such as open_clip's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from distnorm.errors import DistnormError

__all__ = ["Template", "check_templates", "fill", "place", "prompted", "spelled"]

Template = str | Callable[[str], str]
_PLACES = ("{}", "{c}")
_BRACES = re.compile(r"\{[^{}]*\}")


def place(template: str) -> str | None:
    """The mark of the place in a template, ``{}`` or ``{c}``; None if it has no place."""
    return next((mark for mark in _PLACES if mark in template), None)


def spelled(template: Template) -> str:
    """A template as text; a function's is what it makes of ``{c}``.

    Examples
    --------
    >>> spelled(lambda c: f"a photo of a {c}.")
    'a photo of a {c}.'
    """
    return template if isinstance(template, str) else fill(template, "{c}")


def fill(template: Template, word: str) -> str:
    """A template with a word in its place.

    Raises
    ------
    DistnormError
        For a function that makes no text of the word.

    Examples
    --------
    >>> fill("a photo of {}.", "a cat"), fill("a photo of a {c}.", "cat")
    ('a photo of a cat.', 'a photo of a cat.')
    """
    if not isinstance(template, str):
        text = template(word)
        if not isinstance(text, str):
            raise DistnormError(
                f"a template that makes {type(text).__name__} of {word!r}", "a text", "mend it"
            )
        return text
    mark = place(template)
    return template if mark is None else template.replace(mark, word)


def check_templates(templates: Iterable[Template]) -> None:
    """Raise a DistnormError unless every template is a function or has a place for the class."""
    for template in templates:
        if not (callable(template) or (isinstance(template, str) and place(template))):
            raise DistnormError(
                f"template {template!r:.80}",
                "'{}' or '{c}' in it, or a function of the class",
                "write 'a photo of a {c}.'; whole sentences of a class go into a mapping from "
                "the class to its sentences",
            )


def prompted(texts: Sequence[str], prompt: str | None) -> list[str]:
    """Texts in a prompt's place for them, or after it if it has none.

    Raises
    ------
    DistnormError
        For a prompt with braces that are no place, such as ``{name}``.

    Examples
    --------
    >>> prompted(["a cat"], "a photo of {}."), prompted(["a cat"], "A photo depicts ")
    (['a photo of a cat.'], ['A photo depicts a cat'])
    """
    if not prompt:
        return list(texts)
    if place(prompt) is None:
        odd = _BRACES.search(prompt)
        if odd is not None:
            raise DistnormError(
                f"the prompt {prompt!r:.80}, in which {odd[0]!r:.40} is no place for a text",
                "'{}' or '{c}' where the text belongs, or words that stand before it",
                "write it so, as in 'a photo of {}.'",
            )
        return [prompt + text for text in texts]
    return [fill(prompt, text) for text in texts]
