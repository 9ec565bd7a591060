"""Results of a search that are judged, and lists of which nothing is left."""

from __future__ import annotations

import pytest

from distnorm import DistnormError, make
from distnorm.search.judge import Limits, judged


@pytest.mark.parametrize("side", ["image", "text"])
def test_search_results_are_judged(side, gap_pair):
    norm = make("dn").fit(images=gap_pair[0][:80], texts=gap_pair[1][:80])
    query = gap_pair[0 if side == "image" else 1][100:101]
    items = gap_pair[1 if side == "image" else 0][100:110]
    pair = (query, items) if side == "image" else (items, query)

    def two_sided(scorer):
        return scorer.similarity(*pair)

    results = [{"rank": i + 1} for i in range(10)]
    assert judged(results, norm, two_sided) == (results, {})
    norm.calibrate(images=gap_pair[0][80:], texts=gap_pair[1][80:])
    rated, verdict = judged(results, norm, two_sided)
    scores = norm.similarity(*pair).ravel()
    assert [r["two_sided"] for r in rated] == pytest.approx(scores.tolist())
    assert verdict == {}
    kept, verdict = judged(results, norm, two_sided, false_alarm_rate=0.05)
    assert verdict["rejected"] == 10 - len(kept) == int((scores <= verdict["threshold"]).sum())
    assert all(entry["false_alarm_rate"] < 0.05 for entry in kept)
    nothing, verdict = judged(results, norm, two_sided, threshold=9.0)
    assert nothing == []
    assert verdict["nothing_fits"]
    assert verdict["judged_by"]["label"] == "dn two-sided score"
    _, verdict = judged(results, None, two_sided, threshold=-2.0)
    assert verdict["judged_by"]["label"] == "cosine"


def test_a_threshold_needs_scores_that_compare(gap_pair):
    norm = make("qbnorm").fit(images=gap_pair[0], texts=gap_pair[1])
    assert Limits().bar(norm) is None
    with pytest.raises(DistnormError, match="whose scores of queries do not compare"):
        judged([{"rank": 1}], norm, lambda scorer: gap_pair[0], threshold=0.1)
