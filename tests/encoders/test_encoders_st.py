"""Models of sentence-transformers: texts alone, and texts with pictures."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from distnorm import DistnormError, load_encoder

torch = pytest.importorskip("torch", reason="sentence-transformers needs torch")
pytest.importorskip("transformers", reason="needs the st extra")
library = pytest.importorskip("sentence_transformers", reason="needs the st extra")

from encoder_laws import TEXTS, check, pictures
from hf_models import HEADS, bert_tokenizer, save

from distnorm.encoders import st
from distnorm.encoders.pixels import Pixels


@pytest.fixture(scope="module")
def texts_alone(tmp_path_factory):
    import transformers

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(5)
    bert_tokenizer(transformers, folder).save_pretrained(folder)
    config = transformers.BertConfig(**HEADS, vocab_size=40, max_position_embeddings=48)
    transformers.BertModel(config).save_pretrained(folder)
    first = library.SentenceTransformer(str(folder), device="cpu")
    pooled = library.SentenceTransformer(
        modules=[*first], device="cpu", prompts={"query": "red ", "document": ""}
    )
    place = tmp_path_factory.mktemp("texts") / "model"
    pooled.save(str(place))
    return place


@pytest.fixture(scope="module")
def with_pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    save("clip", folder)
    return folder


def test_texts_alone(texts_alone):
    encoder = load_encoder(f"st:{texts_alone}", device="cpu")
    check(encoder, images=False)
    model = library.SentenceTransformer(str(texts_alone), device="cpu")
    expected = model.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=1e-5)
    assert encoder.model_id.startswith("st:model@")
    assert encoder.max_tokens == 48
    assert encoder.temperature is None
    assert encoder.count_tokens(["dog " * 60]).tolist() == [62]
    with pytest.raises(DistnormError, match="choose a model of images and texts"):
        encoder.encode_images(pictures())


def test_prompts_of_the_model(texts_alone):
    encoder = load_encoder(f"st:{texts_alone}", device="cpu", prompt_name="query")
    plain = load_encoder(f"st:{texts_alone}", device="cpu")
    np.testing.assert_allclose(
        encoder.encode_texts(["bus", "dog"]), plain.encode_texts(["red bus", "red dog"]), atol=1e-6
    )
    with pytest.raises(DistnormError, match="one of: query, document"):
        load_encoder(f"st:{texts_alone}", device="cpu", prompt_name="passage")


@pytest.mark.parametrize("pixels", ["in-workers", "beside-the-model"])
def test_texts_with_pictures(with_pictures, monkeypatch, pixels):
    if pixels == "beside-the-model":
        monkeypatch.setattr(st, "_preprocess", lambda model: st._RawPicture())
    encoder = load_encoder(f"st:{with_pictures}", device="cpu")
    images = pictures()
    # sentence-transformers takes torchvision's processor where that is installed.
    if not isinstance(encoder.preprocess, Pixels):
        fast = type(library.SentenceTransformer(str(with_pictures))[0].processor.image_processor)
        pillow = fast.__name__.endswith("Pil") or find_spec("torchvision") is None
        assert encoder.resizer == ("pillow" if pillow else "torchvision")
    if pixels == "in-workers":
        check(encoder)
    else:
        assert encoder.preprocess(images[0]).shape == ()
        assert encoder.encode_images([]).shape == (0, 16)
    model = library.SentenceTransformer(str(with_pictures), device="cpu")
    expected = model.encode([image.convert("RGB") for image in images])
    np.testing.assert_allclose(encoder.encode_images(images, normalize=False), expected, atol=1e-5)
    expected = model.encode(TEXTS)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS, normalize=False), expected, atol=1e-5)
    assert encoder.temperature == pytest.approx(0.07, abs=1e-4)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision(with_pictures, precision):
    whole = load_encoder(f"st:{with_pictures}", device="cpu")
    half = load_encoder(f"st:{with_pictures}", device="cpu", precision=precision)
    for method, given in (("encode_images", pictures()), ("encode_texts", TEXTS)):
        found = getattr(half, method)(given)
        assert found.dtype == np.float32
        assert (found * getattr(whole, method)(given)).sum(axis=1).min() > 0.99


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("org/none", "st:/path/to/folder"),
        ("no name", "st:/path/to/folder"),
        ("/nowhere", "check the path"),
        ("", "check the path"),
        ("{folder}", "check the folder"),
    ],
)
def test_wrong_names_get_one_line(tmp_path, name, part):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DistnormError, match=part) as caught:
        load_encoder("st:" + name.format(folder=tmp_path), device="cpu")
    assert "\n" not in str(caught.value)
