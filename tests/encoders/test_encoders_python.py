"""The family ``python``: one's own function, from texts to rows."""

from __future__ import annotations

import sys

import encoder_laws
import numpy as np
import pytest

from distnorm.encoders import load_encoder
from distnorm.encoders.base import Encoder
from distnorm.errors import DistnormError

MODULE = """
import numpy as np
from embedding_server import rows_of

def embed(texts):
    assert isinstance(texts, list)
    return rows_of(texts)

def lists(texts):
    return rows_of(texts).tolist()

def tensors(texts):
    import torch
    return torch.from_numpy(rows_of(texts)).requires_grad_()

def fails(texts):
    raise RuntimeError("no\\nweights")

def none(texts): return None
def one(texts): return rows_of(texts)[0]
def short(texts): return rows_of(texts)[:-1]
def words(texts): return [["a"]] * len(texts)
def ragged(texts): return [[1.0] * (1 + at) for at in range(len(texts))]
def missing(texts): return rows_of(texts) * np.nan
def zero(texts): return rows_of(texts) * 0

calls = []
def wider(texts):
    calls.append(1)
    return np.ones((len(texts), 3 + len(calls)))

number = 5

class Kind:
    pass
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the working directory, which is not on Python's path."""
    (tmp_path / "my_model.py").write_text(MODULE, "utf-8")
    (tmp_path / "broken_model.py").write_text("1 +", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    yield
    for name in ("my_model", "broken_model"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["embed", "lists", "tensors"])
def test_it_is_an_encoder_of_texts(module, name):
    if name == "tensors":
        pytest.importorskip("torch", reason="its tensors")
    encoder = load_encoder(f"python:my_model:{name}")
    encoder_laws.check(encoder, images=False)
    assert encoder.model_id == f"python:my_model:{name}"


def test_an_encoder_at_hand_is_taken_as_it_is(module):
    class Mine(Encoder):
        model_id, dimension = "mine", 2

        def encode_pixels(self, pixels):
            raise NotImplementedError  # abstract in the base; no picture comes here

        def _encode_texts(self, texts):
            return np.ones((len(texts), 2))

    encoder = load_encoder("python:my_model:embed")
    assert encoder.dimension == 16
    sys.modules["my_model"].mine = Mine()
    assert load_encoder("python:my_model:mine") is sys.modules["my_model"].mine


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("fails", "RuntimeError: no weights in python:my_model:fails"),
        ("none", "no matrix of numbers|shape"),
        ("one", "shape"),
        ("short", r"shape \(1, 16\)"),
        ("words", "no matrix of numbers"),
        ("ragged", "no matrix of numbers"),
        ("missing", "NaN or infinity in row 0"),
        ("zero", "nothing but zeros in row 0"),
    ],
)
def test_what_a_function_returns_is_checked(module, name, part):
    encoder = load_encoder(f"python:my_model:{name}")
    with pytest.raises(DistnormError, match=part) as caught:
        encoder.encode_texts(["a red bus", "dog"])
    assert "\n" not in str(caught.value)


def test_another_dimension_in_the_next_batch(module):
    encoder = load_encoder("python:my_model:wider")
    with pytest.raises(DistnormError, match="rows of 5 dimensions"):
        encoder.encode_texts(["a", "b"], batch_size=1)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("python:", "python:module:function"),
        ("python:my_model", "python:module:function"),
        ("python:my_model:", "python:module:function"),
        ("python::embed", "python:module:function"),
        ("python:no_such_model:embed", "No module named"),
        ("python:my_model:embbed", "embbed"),
        ("python:broken_model:embed", "SyntaxError"),
        ("python:my_model:number", "a int"),
        ("python:my_model:Kind", "a type"),
    ],
)
def test_names_that_are_wrong(module, name, part):
    with pytest.raises(DistnormError) as caught:
        load_encoder(name)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_function_chooses_its_device(module):
    with pytest.raises(DistnormError, match="choose it in the function"):
        load_encoder("python:my_model:embed", device="cuda")
