"""One object says what a comparison rests on, however it is made."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import (
    DistnormError,
    compare_classification,
    compare_retrieval,
)
from distnorm.comparison import Protocol
from distnorm.methods.registry import parse_method


def test_keywords_are_shortcuts_for_a_protocol(gap_pair):
    images, texts = gap_pair
    settings = {"repeats": 2, "seed": 4, "methods": ["dn"], "strength": 0.3}
    plan = Protocol("held-out", **settings)
    by_keyword = compare_retrieval(images, texts, diagnostics=False, **settings)
    assert compare_retrieval(images, texts, protocol=plan, diagnostics=False) == by_keyword
    again = compare_retrieval(images, texts, protocol=plan, seed=5, diagnostics=False)
    assert again.protocol == {**by_keyword.protocol, "seed": 5}


def test_a_protocol_describes_itself(gap_pair):
    assert Protocol().to_dict() == {
        "statistics": "held-out",
        "repeats": 20,
        "seed": 0,
        "fit_fraction": 0.5,
    }
    paper = Protocol("paper", prompt="a photo of {}.")
    assert paper.to_dict() == {
        "statistics": "paper",
        "repeats": 5,
        "seed": 0,
        "samples": 100,
        "prompt": "a photo of {}.",
    }
    images, texts = gap_pair
    assert Protocol(fit_images=images, fit_texts=texts, repeats=9).to_dict() == {
        "statistics": "reference",
        "repeats": 1,
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"statistics": "best"}, "protocol 'best'"),
        ({"fit_fraction": 1.0}, "fit_fraction 1.0"),
        ({"repeats": 0}, "repeats = 0"),
        ({"samples": True}, "samples = True"),
        ({"seed": -1}, "seed = -1"),
        ({"methods": ["dn", "dn@0.5"]}, "method 'dn' twice"),
        ({"methods": ["dm"]}, "did you mean"),
    ],
)
def test_a_protocol_is_checked_where_it_is_made(settings, words):
    with pytest.raises(DistnormError, match=words):
        Protocol(**settings)


def test_reference_data_is_none_of_a_transductive_comparison(gap_pair):
    images, texts = gap_pair
    rows = {"protocol": "transductive", "fit_images": images}
    with pytest.raises(DistnormError, match="none under 'transductive'"):
        compare_classification(images, texts, np.arange(len(images)), **rows)


def test_methods_with_their_settings():
    assert parse_method("nnn@0.25:k=16") == ("nnn", 0.25, {"k": 16})
    assert parse_method("is:beta=50,scale=2") == ("is", None, {"beta": 50, "scale": 2})
    with pytest.raises(DistnormError, match="number"):
        parse_method("dn@half")
