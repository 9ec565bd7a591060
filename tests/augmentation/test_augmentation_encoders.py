"""Augmentation of the encoders that users name, from files on disk."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from distnorm import DistnormError, load_encoder, make
from distnorm.augmentation import augmented_image_rows, class_scores
from distnorm.augmentation.clip_parts import clip_parts

torch = pytest.importorskip("torch", reason="CLIPs are torch modules")
pytest.importorskip("PIL.Image", reason="pictures are PIL images")

from tiny_clips import pictures

CLASSES = ["cat", "owl", "dog"]
TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS = {**TOWER, "num_attention_heads": 2}


def open_clip_folder(place):
    open_clip = pytest.importorskip("open_clip", reason="the model is one of its own")
    about = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": {
                "image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8,
            },
            "text_cfg": {
                "context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2,
            },
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3},
    }  # fmt: skip
    (place / "open_clip_config.json").write_text(json.dumps(about))
    torch.manual_seed(1)
    model = open_clip.create_model(f"local-dir:{place}")
    torch.save(model.state_dict(), place / "open_clip_pytorch_model.bin")
    return f"open_clip:local-dir:{place}"


def letters(transformers):
    """CLIP's tokenizer with a token for each letter."""
    alphabet = "abcdefghijklmnopqrstuvwxyz."
    vocab = {token: n for n, token in enumerate([*alphabet, *(c + "</w>" for c in alphabet)])}
    vocab |= {"<|startoftext|>": len(vocab), "<|endoftext|>": len(vocab) + 1}
    return vocab, transformers.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=30)


def transformers_folder(place):
    transformers = pytest.importorskip("transformers", reason="the model is one of its own")
    vocab, tokenizer = letters(transformers)
    text = {**HEADS, "vocab_size": len(vocab), "max_position_embeddings": 30}
    end = len(vocab) - 1
    text |= {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    config = transformers.CLIPConfig(
        text_config=text,
        vision_config={**HEADS, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(1)
    transformers.CLIPModel(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(place)
    return f"hf:{place}"


@pytest.fixture(scope="module", params=[open_clip_folder, transformers_folder])
def encoder(request, tmp_path_factory):
    family = {open_clip_folder: "open_clip", transformers_folder: "hf"}[request.param]
    return load_encoder(request.param(tmp_path_factory.mktemp(family)), device="cpu")


@pytest.mark.parametrize("name", ["none", "tta", "tpt", "calip"])
def test_every_augmentation_runs_with_every_normalization(encoder, name):
    images = pictures(3)
    known = augmented_image_rows(name, encoder, pictures(30, seed=1), CLASSES)
    texts = encoder.encode_texts(CLASSES)
    norms = {
        method: make(method).fit(images=known, texts=texts)
        for method in ("dn", "dn*", "dn2", "is", "nnn", "csls", "qbnorm", "sinkhorn", "centered")
    }
    found = class_scores(name, encoder, images, CLASSES, norms={"dot": None, **norms})
    assert set(found.scores) == {"dot", *norms}
    for scores in found.scores.values():
        assert scores.shape == (3, 3)
        assert np.isfinite(scores).all()
    assert found.image_rows.shape == (3, 16)


def test_places_and_prompts_agree_with_the_encoder(encoder):
    images = pictures(3)
    plain = class_scores("none", encoder, images, CLASSES).scores["dot"]
    still = class_scores("tpt", encoder, images, CLASSES, steps=0, views=1).scores["dot"]
    bare = class_scores("calip", encoder, images, CLASSES, beta_2=0, beta_3=0).scores["dot"]
    np.testing.assert_allclose(still, plain, atol=1e-5)
    np.testing.assert_allclose(bare, plain, atol=1e-5)


def test_siglip_is_refused():
    transformers = pytest.importorskip("transformers", reason="the model is one of its own")
    text = {**HEADS, "vocab_size": 64, "max_position_embeddings": 64, "projection_size": 32}
    config = transformers.SiglipConfig(
        text_config=text, vision_config={**HEADS, "image_size": 32, "patch_size": 8}
    )
    encoder = SimpleNamespace(model=transformers.SiglipModel(config), model_id="hf:siglip")
    with pytest.raises(DistnormError, match=r"hf:siglip \(SiglipModel\).*class CLIPModel"):
        clip_parts(encoder)
