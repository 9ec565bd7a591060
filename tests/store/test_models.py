"""Stores say their model and prompt; what disagrees is named."""

from __future__ import annotations

import pytest

from distnorm import DistnormError
from distnorm.store.layout import Commit, write_commit
from distnorm.store.models import model_of, prompt_of


@pytest.fixture
def stores(tmp_path):
    """Stores of two models, with a prompt and without, and a folder that says nothing."""
    for name, model, prompt in (("a", "m", "a {}"), ("b", "m", ""), ("c", "n", None)):
        (tmp_path / name).mkdir()
        write_commit(Commit(tmp_path / name, model, f"{model}-1", 3, prompt, ("text",)))
    (tmp_path / "plain").mkdir()
    return [tmp_path / name for name in ("a", "b", "c", "plain")]


def test_the_model_that_all_agree_on(stores):
    a, b, c, plain = stores
    assert model_of(a, None, plain, b) == "m-1"
    assert model_of(a, stated="m") == model_of(a, stated="m-1") == "m-1"
    assert model_of(None, plain, stated="x") == "x"
    with pytest.raises(DistnormError, match=r"'n-1'; expected 'm-1' as in .*a; use stores of one"):
        model_of(a, c)
    with pytest.raises(DistnormError, match="expected 'n' as --model says; leave --model out"):
        model_of(a, stated="n")


def test_the_prompt_of_texts(stores):
    a, b, _, plain = stores
    assert prompt_of(a, plain, None) == "a {}"
    assert prompt_of(b) is None
    assert prompt_of(plain, stated="x {}") == "x {}"
    with pytest.raises(DistnormError, match="use texts of one prompt"):
        prompt_of(a, b)
    with pytest.raises(DistnormError, match="leave --prompt out"):
        prompt_of(a, stated="x {}")
