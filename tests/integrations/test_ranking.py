"""Items are ranked by the two-sided score of the side that the query is of."""

import numpy as np
import pytest

import distnorm
from distnorm.integrations.ranking import ranked, side_of_queries


def test_order_scores_and_cut(words, dn, expected):
    order, scores = expected
    rows = [words(name) for name in words.names]
    found = ranked(dn, words("sentence 0"), rows)
    assert [i for i, _ in found] == list(order)
    np.testing.assert_allclose([s for _, s in found], scores[order], atol=1e-6)
    cut = ranked(dn, words("sentence 0"), rows, false_alarm_rate=0.1)
    least = dn.threshold(0.1).value
    assert [i for i, _ in cut] == [i for i in order if scores[i] > least]
    assert 0 < len(cut) < len(rows)
    assert ranked(dn, words("sentence 0"), rows, k=2) == found[:2]
    assert ranked(dn, words("sentence 0"), []) == []


def test_queries_of_the_other_side(words):
    norm = distnorm.make("dn").fit(images=words.log[:50], texts=words.log[50:])
    rows = np.array([words(name) for name in words.names])
    by_image = ranked(norm, rows[0], rows, query_side="image")
    want = np.asarray(norm.similarity(rows[:1], rows))[0]
    np.testing.assert_allclose([s for _, s in by_image], -np.sort(-want), atol=1e-6)
    assert side_of_queries(norm, None) == "text"


def test_equals_stand_in_their_order(words, dn):
    rows = [words("sentence 4")] * 3
    assert [i for i, _ in ranked(dn, words("sentence 0"), rows)] == [0, 1, 2]


def test_a_side_that_must_be_named(words):
    norm = distnorm.make("dn", sides=("audio", "video"))
    with pytest.raises(distnorm.DistnormError, match="pass query_side='audio'"):
        side_of_queries(norm, None)
