"""Each kind of bad input gets one line: what was got, what was expected, what to do."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, MissingExtraError, make
from distnorm.errors import require


def rows(n: int = 6, d: int = 4) -> np.ndarray:
    x = np.random.default_rng(0).normal(0.5, 1, (n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def with_value(value: float, row: int) -> np.ndarray:
    x = rows()
    x[row, 1] = value
    return x


BAD_ROWS = {
    "nan": (with_value(np.nan, 3), "NaN in texts, first in row 3"),
    "infinity": (with_value(-np.inf, 2), "infinity in texts, first in row 2"),
    "zeros": (rows() * (np.arange(6) != 4)[:, None], "all-zero row in texts, first row 4"),
    "1-D": (rows()[0], r"texts of shape \(4,\).*x\[None, :\]"),
    "3-D": (rows()[None], r"texts of shape \(1, 6, 4\)"),
    "no rows": (rows()[:0], r"texts of shape \(0, 4\)"),
    "no dimensions": (rows()[:, :0], r"texts of shape \(6, 0\)"),
    "integers": (np.ones((2, 4), dtype=int), "texts of dtype int64"),
    "booleans": (np.ones((2, 4), dtype=bool), "texts of dtype bool"),
    "complex": (rows().astype(complex), "texts of dtype complex128"),
    "objects": (rows().astype(object), "texts of dtype object"),
    "ragged": ([[1.0, 2.0], [3.0]], "ragged"),
    "no array": ("text", "texts of type str"),
    "raw length": (rows() * 9, "texts whose rows are not of unit length.*normalize"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_rows_that_are_no_embeddings(kind):
    x, message = BAD_ROWS[kind]
    norm = make("dn").fit(images=rows(), texts=rows())
    for attempt in (
        lambda: make("dn").fit(texts=x),
        lambda: norm.similarity(rows(), x),
        lambda: norm.shift_queries(texts=x),
        lambda: norm.item_bias(x, modality="text"),
        lambda: norm.ranking(x, rows()),
    ):
        with pytest.raises(DistnormError, match=message) as caught:
            attempt()
        assert caught.value.expected
        assert caught.value.remedy
        assert "\n" not in str(caught.value)
    assert norm.counts == {"image": 6, "text": 6}


def test_dimensions_that_differ():
    with pytest.raises(DistnormError, match=r"texts of shape \(6, 5\); expected 4 dimensions"):
        make("dn").fit(images=rows(), texts=rows(6, 5))
    norm = make("dn").fit(images=rows(), texts=rows())
    with pytest.raises(DistnormError, match="expected 4 dimensions"):
        norm.partial_fit(texts=rows(6, 5))
    with pytest.raises(DistnormError, match="expected 4 dimensions"):
        norm.similarity(rows(6, 5), rows(6, 5))
    with pytest.raises(DistnormError, match="same on both sides"):
        make("dot").similarity(rows(6, 5), rows())
    with pytest.raises(DistnormError, match="as many on both sides"):
        norm.paired_similarity(rows(5), rows(6))


def test_array_libraries_that_are_mixed():
    torch = pytest.importorskip("torch")
    with pytest.raises(DistnormError, match="one array library"):
        make("dn").fit(images=rows(), texts=torch.from_numpy(rows()))


def test_a_bank_smaller_than_k():
    with pytest.raises(DistnormError, match="a bank of 6 rows; expected at least k = 7"):
        make("nnn", k=7).fit(texts=rows()).item_bias(images=rows())


def test_raw_where_unit_is_needed_and_the_reverse():
    with pytest.raises(DistnormError, match="raw, un-normalised output for 'dn-renorm'"):
        make("dn-renorm").fit(images=rows())
    make("dn-renorm", input="any").fit(images=rows())


@pytest.mark.parametrize("strength", ["half", True, 1j, np.nan, np.inf, [0.5]])
def test_a_strength_that_is_no_number(strength):
    with pytest.raises(DistnormError, match="finite real number"):
        make("dn", strength=strength)
    with pytest.raises(DistnormError, match="finite real number"):
        make("dn", strength={"text": strength})


def test_settings_that_do_not_exist():
    with pytest.raises(DistnormError, match="did you mean 'sinkhorn'"):
        make("sinkhorm")
    with pytest.raises(DistnormError, match="one of dot, dn"):
        make(3)
    with pytest.raises(DistnormError, match="strength for 'audio'"):
        make("dn", strength={"audio": 0.5})
    with pytest.raises(DistnormError, match="parameter 'k' for dn"):
        make("dn", k=3)
    for params in ({"k": 0}, {"k": 2.5}, {"k": True}):
        with pytest.raises(DistnormError, match="positive integer"):
            make("nnn", **params)
    for params in ({"beta": 0}, {"beta": "x"}, {"scale": -1}):
        with pytest.raises(DistnormError, match="number"):
            make("is", **params)
    with pytest.raises(DistnormError, match=r"\[0, 1\]"):
        make("dn2", shrinkage=1.5)
    with pytest.raises(DistnormError, match="two different names"):
        make("dn", sides=("image", "image"))
    with pytest.raises(DistnormError, match="input"):
        make("dn", input="unite")


def test_what_was_not_fitted():
    half = make("dn").fit(texts=rows())
    half.shift_queries(texts=rows())
    with pytest.raises(DistnormError, match=r"fit\(images=\.\.\.\)"):
        half.similarity(rows(), rows())
    with pytest.raises(DistnormError, match="no embeddings"):
        make("dn").fit()
    with pytest.raises(DistnormError, match="side 'audio'"):
        half.shift_queries(rows(), modality="audio")


def test_methods_that_are_no_query_shift_name_the_way_out():
    norm = make("is").fit(texts=rows())
    with pytest.raises(DistnormError, match="use item_bias"):
        norm.shift_queries(texts=rows())
    with pytest.raises(DistnormError, match="ranking"):
        make("centered").fit(images=rows(), texts=rows()).item_bias(images=rows())


def test_shards_that_do_not_belong_together():
    one = make("dn", model="a").fit(texts=rows())
    for other, words in (
        (make("dn", model="b").fit(texts=rows()), "different models"),
        (make("dn", strength=0.3, model="a").fit(texts=rows()), "strength"),
        (make("nnn", model="a").fit(texts=rows()), "method"),
        (make("dn", input="any", model="a").fit(texts=9 * rows()), "input"),
        (make("dn", model="a").fit(texts=rows(6, 5)), "dimensions"),
    ):
        with pytest.raises(DistnormError, match=words):
            one.merge(other)
    assert one.counts["text"] == 6


def test_a_failing_fit_keeps_the_old_statistics():
    norm = make("nnn").fit(images=rows(), texts=rows())
    before = norm.item_bias(images=rows())
    with pytest.raises(DistnormError):
        norm.fit(images=rows(), texts=BAD_ROWS["nan"][0])
    np.testing.assert_array_equal(norm.item_bias(images=rows()), before)


def test_a_missing_extra_names_the_pip_line():
    with pytest.raises(MissingExtraError, match=r"pip install 'distnorm\[parquet\]'") as caught:
        require("no_such_module_here", "parquet")
    assert isinstance(caught.value, ImportError)


def test_errors_survive_pickling():
    error = DistnormError("a", "b", "c")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "got a; expected b; c"


def test_normalize_refuses_zero_rows():
    with pytest.raises(DistnormError, match="all-zero"):
        distnorm.normalize(np.zeros((2, 3)))
