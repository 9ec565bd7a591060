"""The built-in model: as trained, as carded, as its protocol says."""

from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np
import pytest

from distnorm import DistnormError, MissingExtraError, evaluate_retrieval, load_encoder
from distnorm.scenes import generate

pytest.importorskip("onnxruntime", reason="the built-in model needs onnxruntime")
pytest.importorskip("PIL", reason="the built-in model needs Pillow")

from distnorm.encoders import builtin

WEIGHTS = resources.files("distnorm.encoders").joinpath("weights")


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("builtin")


@pytest.fixture(scope="module")
def scenes():
    return generate(300, seed=5)


def test_rows_are_unit_and_float32(encoder, scenes):
    rows = encoder.encode_images([scene.image() for scene in scenes[:7]])
    texts = encoder.encode_texts([scene.captions(1)[0] for scene in scenes[:7]])
    for found in (rows, texts):
        assert found.shape == (7, encoder.dimension)
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    raw = encoder.encode_images([scenes[0].image()], normalize=False)
    assert abs(np.linalg.norm(raw) - 1) > 1e-3
    assert encoder.encode_texts([]).shape == (0, encoder.dimension)


def test_batches_do_not_change_rows(encoder, scenes):
    images = [scene.image() for scene in scenes[:20]]
    texts = [caption for scene in scenes[:4] for caption in scene.captions()]
    np.testing.assert_allclose(
        encoder.encode_images(images, batch_size=3), encoder.encode_images(images), atol=1e-5
    )
    # Longer neighbours pad a text; padding must not count.
    np.testing.assert_allclose(
        encoder.encode_texts(texts, batch_size=1), encoder.encode_texts(texts), atol=1e-5
    )


def test_retrieval_is_neither_trivial_nor_hopeless(encoder, scenes):
    images = encoder.encode_images([scene.image() for scene in scenes])
    texts = encoder.encode_texts([scene.captions(1)[0] for scene in scenes])
    metrics = evaluate_retrieval(None, images, texts, k=1).metrics
    for direction in ("text_retrieval", "image_retrieval"):
        assert 0.5 < metrics[f"{direction}_recall@1"] < 0.95


def test_files_are_those_of_the_card_and_small():
    card = builtin.card()
    total = 0
    for name, digest in card["sha256"].items():
        content = WEIGHTS.joinpath(name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
        total += len(content)
    assert total <= 6_000_000
    recalls = [
        card["scores"]["matched"]["dot"][f"{side}_retrieval_recall@1"]["mean"]
        for side in ("text", "image")
    ]
    assert all(0.35 <= recall <= 0.8 for recall in recalls)


def test_torch_and_onnx_agree(encoder, scenes, project):
    torch = pytest.importorskip("torch", reason="compares with torch")
    onnx = pytest.importorskip("onnx", reason="reads the weights with onnx")
    import sys

    from onnx import numpy_helper

    sys.path.insert(0, str(project))
    try:
        from training.model import ImageTower, TextTower
    finally:
        sys.path.remove(str(project))
    pixels = np.stack([encoder.preprocess(scene.image()) for scene in scenes[:8]])
    tokens = encoder._words([scene.captions(1)[0] for scene in scenes[:8]])
    for name, tower, argument in (
        ("image", ImageTower(), pixels),
        ("text", TextTower(len(encoder._words.words) + 2), tokens),
    ):
        model = onnx.load(str(WEIGHTS.joinpath(f"{name}.onnx")))
        stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        fill(tower, stored, model, torch)
        with torch.no_grad():
            mine = tower.eval()(torch.from_numpy(argument)).numpy()
        theirs = (
            encoder.encode_pixels(argument)
            if name == "image"
            else encoder._text.run(None, {"tokens": argument})[0]
        )
        np.testing.assert_allclose(mine, theirs, atol=1e-3)


def fill(tower, stored, model, torch) -> None:
    """Put ONNX initialisers into the torch model: by name, folded convolutions with their bias."""
    state = tower.state_dict()
    given = {key: torch.tensor(stored[key]) for key in state if key in stored}
    for key in [k for k in state if k.endswith("running_var")]:
        norm = key.removesuffix(".running_var")
        weight = norm.rpartition(".")[0] + ".0.weight"
        if f"{norm}.weight" in stored:
            continue
        # Batch normalization went into the convolution: make it do nothing here.
        node = next(n for n in model.graph.node if n.op_type == "Conv" and weight in n.input)
        given[f"{norm}.running_mean"] = torch.zeros_like(state[key])
        given[key] = torch.ones_like(state[key]) - 1e-5
        given[f"{norm}.weight"] = torch.ones_like(state[key])
        given[f"{norm}.bias"] = torch.tensor(stored[node.input[2]])
    made_by = {output: node for node in model.graph.node for output in node.output}
    for key in [k for k in state if k.endswith(".weight") and k not in given]:
        # A linear layer over sequences became a product with the transposed weight, plus bias.
        bias = key.removesuffix("weight") + "bias"
        add = next(n for n in model.graph.node if n.op_type == "Add" and bias in n.input)
        product = made_by[next(name for name in add.input if name != bias)]
        matrix = next(stored[name] for name in product.input if name in stored)
        given[key] = torch.tensor(matrix.T.copy())
    missing = [k for k in state if k not in given and not k.endswith("num_batches_tracked")]
    assert not missing, missing
    tower.load_state_dict({**state, **given})


def test_words_it_does_not_know_are_taken_and_counted(encoder):
    rows = encoder.encode_texts(["a zebra on a bicycle", "A RED Star!", "a red star", "???"])
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(rows[1], rows[2], atol=1e-5)
    assert encoder.count_tokens(["a mid-sized red star, at night"]).tolist() == [6]
    long = " ".join(["star"] * 200)
    assert encoder.count_tokens([long])[0] == 200 > encoder.max_tokens
    assert np.isfinite(encoder.encode_texts([long])).all()


def test_any_picture_becomes_pixels(encoder):
    image = pytest.importorskip("PIL.Image")
    for mode, size in (("L", (1, 1)), ("RGBA", (300, 20)), ("P", (64, 64)), ("CMYK", (9, 130))):
        assert encoder.preprocess(image.new(mode, size)).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda e: e.encode_texts("one string"), "wrap it in a list"),
        (lambda e: e.encode_texts(["fine", " "]), "empty text in row 1"),
        (lambda e: e.encode_pixels(np.zeros((1, 3, 64, 64), np.uint8)), "uint8"),
        (lambda e: load_encoder("builtin:large"), "leave the rest out"),
        (lambda e: load_encoder("builtin", device="cuda"), "'cpu'"),
        (lambda e: load_encoder("clipp:x"), "builtin"),
    ],
)
def test_what_it_refuses(encoder, call, part):
    with pytest.raises(DistnormError, match=part):
        call(encoder)


def test_without_onnxruntime_the_pip_line_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'distnorm\[demo\]'"):
        load_encoder("builtin")


def test_changed_weights_are_refused(monkeypatch):
    card = {**builtin.card(), "sha256": {"image.onnx": "0" * 64, "text.onnx": "0" * 64}}
    monkeypatch.setattr(builtin, "card", lambda: card)
    with pytest.raises(DistnormError, match="install distnorm again"):
        load_encoder("builtin")
