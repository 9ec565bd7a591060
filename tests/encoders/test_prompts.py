"""Prompts: a place for the text, words before it, and braces that are neither."""

from __future__ import annotations

import pytest

from distnorm import DistnormError
from distnorm.encoders.prompts import prompted


@pytest.mark.parametrize("prompt", ["{x}", "a {0} photo", "{!r}", "a photo of {:>10}", "{ }"])
def test_braces_that_are_no_place_are_refused(prompt):
    with pytest.raises(DistnormError, match="no place for a text"):
        prompted(["a dog"], prompt)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("a {c}, {x}", "a dog, {x}"),
        ("{", "{dog"),
        ("}{ ", "}{ dog"),
        (None, "dog"),
        ("{}{}", "dogdog"),
    ],
)
def test_other_prompts_are_taken_as_they_are(prompt, text):
    assert prompted(["dog"], prompt) == [text]
