"""What `print` and `repr` show of a search."""

from __future__ import annotations

import numpy as np
import pytest

import distnorm
from distnorm.search.indexes.faiss import FaissIndex
from distnorm.search.indexes.results import Both, Found


@pytest.fixture
def found(rng):
    pytest.importorskip("faiss", reason="an index to search in")
    import faiss

    rows = distnorm.normalize(rng.normal(0, 1, (50, 8))).astype(np.float32)
    index = faiss.IndexFlatIP(8)
    index.add(rows)
    norm = distnorm.make("dn").fit(images=rows, texts=rows[:20] + np.float32(0.0))
    with FaissIndex(index) as opened:
        yield opened.search(rows[:7], 12, norm), opened.search(rows[:7], 12, norm, mode="both")


def test_a_search_in_an_index_prints_ids_and_scores(found):
    lists, both = found
    assert repr(lists) == str(lists).splitlines()[0]
    assert len(repr(lists)) < 120
    lines = str(lists).splitlines()
    assert lines[1].split() == ["query", "rank", "id", "score"]
    assert lines[2].split() == ["0", "1", str(lists.ids[0][0]), f"{lists.scores[0][0]:.4f}"]
    # Ten items of five queries; the rest is counted.
    assert len(lines) == 2 + 50 + 1
    assert lines[-1] == f"and {7 * 12 - 50} more"
    assert "\n" not in repr(both)
    assert len(repr(both)) < 300
    assert str(both).count("query  rank") == 2


def test_odd_ids_and_nothing_found_are_printed_too():
    none = Found(((), ()), (np.zeros(0), np.zeros(0)), "cosine", "dot", 0.0, (True, True))
    assert str(none).splitlines()[1].split() == ["query", "rank", "id", "score"]
    name = "a\x1b[31m" + "x" * 100
    odd = Found(((name,),), (np.ones(1),), "cosine", "dot", 0.0, (True,))
    assert "\x1b" not in str(odd)
    assert max(map(len, str(odd).splitlines()[1:])) < 80
    assert str(Both(odd, odd)).startswith("100% in common")


def test_texts_and_images_in_one_list_are_printed(rng):
    rows = distnorm.normalize(rng.normal(0, 1, (30, 8)))
    galleries = {"image": rows[:15], "text": rows[15:]}
    norm = distnorm.make("dn").fit(images=rows[:15], texts=rows[15:])
    mixed = distnorm.search.topk_mixed(rows[:2], galleries, norm, k=4)
    lines = str(mixed).splitlines()
    assert lines[0] == repr(mixed)
    assert len(lines) == 2 + 8
    side = mixed.sides[mixed.side[0, 0]]
    assert lines[2].split()[:4] == ["0", "1", side, str(mixed.rows[0, 0])]
