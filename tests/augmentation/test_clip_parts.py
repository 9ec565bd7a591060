"""Opened CLIPs give what the whole ones give, and more."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError

torch = pytest.importorskip("torch", reason="CLIPs are torch modules")
pytest.importorskip("PIL.Image", reason="pictures are PIL images")

from tiny_clips import KINDS, pictures, tiny_clip, whole_text_rows

from distnorm.augmentation.clip_parts import clip_parts, frozen
from distnorm.encoders import load_encoder

TEXTS = ["a photo of a cat.", "a photo of a three-toed sloth on a branch.", "dog"]


@pytest.fixture(params=KINDS)
def encoder(request):
    return tiny_clip(request.param, double=True)


def test_text_rows_from_embeddings_are_the_models_own(encoder):
    parts = clip_parts(encoder)
    tokens = parts.tokens(TEXTS)
    assert tokens.shape == (3, int(parts.ends(tokens).max()) + 1)
    assert tokens.shape[1] < 20  # not 77
    with torch.no_grad():
        found = parts.text_rows(parts.embed(tokens), tokens)
        np.testing.assert_allclose(found, whole_text_rows(encoder, TEXTS), atol=1e-12)


def test_text_rows_follow_their_embeddings(encoder):
    parts = clip_parts(encoder)
    tokens = parts.tokens(TEXTS)
    embedded = parts.embed(tokens).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(parts.text_rows(embedded, tokens).square().sum(), embedded)
    ends = parts.ends(tokens).tolist()
    for row, end in enumerate(ends):
        assert bool((gradient[row, : end + 1].abs().sum(dim=1) > 0).all())
        assert float(gradient[row, end + 1 :].abs().sum()) == 0


def test_the_row_of_the_whole_picture_is_the_models_own(encoder):
    parts = clip_parts(encoder)
    images = pictures(3)
    with torch.no_grad():
        whole, places = parts.image_rows(parts.pixels(images))
    assert places.shape == (3, 4 if encoder._side == 64 else 16, 16)
    np.testing.assert_allclose(
        whole, encoder.encode_images(images, normalize=False), rtol=1e-6, atol=1e-6
    )


def test_places_of_a_vision_transformer_go_where_the_class_token_goes():
    encoder = tiny_clip("open_clip-vit", double=True)
    visual, seen = encoder.model.visual, []
    hook = visual.ln_post.register_forward_hook(lambda module, given, found: seen.append(found))
    parts = clip_parts(encoder)
    pixels = parts.pixels(pictures(2))
    with torch.no_grad():
        visual(pixels)
        hook.remove()
        expected = seen[0] @ visual.proj
        whole, places = parts.image_rows(pixels)
    np.testing.assert_allclose(torch.cat([whole[:, None], places], dim=1), expected, atol=1e-12)


def test_places_of_transformers_clip_go_where_the_class_token_goes():
    encoder = tiny_clip("transformers", double=True)
    model, seen = encoder.model, []
    hook = model.vision_model.encoder.register_forward_hook(lambda m, given, out: seen.append(out))
    parts = clip_parts(encoder)
    pixels = parts.pixels(pictures(2))
    with torch.no_grad():
        model.vision_model(pixel_values=pixels)
        hook.remove()
        last = seen[0].last_hidden_state
        expected = model.visual_projection(model.vision_model.post_layernorm(last))
        _, places = parts.image_rows(pixels)
    np.testing.assert_allclose(places, expected[:, 1:], atol=1e-12)


def test_places_of_a_resnet_are_queries_of_its_attention_pool():
    encoder = tiny_clip("open_clip-resnet", double=True)
    visual, seen = encoder.model.visual, []
    hook = visual.layer4.register_forward_hook(lambda module, given, found: seen.append(found))
    parts = clip_parts(encoder)
    pixels = parts.pixels(pictures(2))
    with torch.no_grad():
        visual(pixels)
        hook.remove()
        pool, grid = visual.attnpool, seen[0]
        x = grid.reshape(2, grid.shape[1], -1).permute(2, 0, 1)
        x = torch.cat([x.mean(dim=0, keepdim=True), x]) + pool.positional_embedding[:, None]
        expected, _ = torch.nn.functional.multi_head_attention_forward(
            x, x, x, x.shape[-1], pool.num_heads, None,
            torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
            None, None, False, 0.0, pool.c_proj.weight, pool.c_proj.bias, training=False,
            need_weights=False, use_separate_proj_weight=True, q_proj_weight=pool.q_proj.weight,
            k_proj_weight=pool.k_proj.weight, v_proj_weight=pool.v_proj.weight,
        )  # fmt: skip
        whole, places = parts.image_rows(pixels)
    found = torch.cat([whole[:, None], places], dim=1)
    np.testing.assert_allclose(found, expected.transpose(0, 1), atol=1e-12)


def test_scale_and_precision_are_the_models(encoder):
    parts = clip_parts(encoder)
    assert parts.scale == pytest.approx(1 / 0.07, rel=1e-4)
    assert parts.working == torch.float64
    encoder.model.half()
    assert clip_parts(encoder).working == torch.float32


def test_frozen_leaves_no_trace():
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    model.train()
    with frozen(model):
        assert not model.training
        assert not model.weight.requires_grad
    assert model.training
    assert model.weight.requires_grad
    assert not model.bias.requires_grad
    with pytest.raises(KeyError), frozen(model):
        raise KeyError
    assert model.weight.requires_grad


def test_what_is_no_clip_is_said():
    open_clip = pytest.importorskip("open_clip", reason="its other models are refused")
    with pytest.raises(DistnormError, match=r"Corner.*no torch model.*a CLIP of open_clip.*'tta'"):
        clip_parts(type("Corner", (), {})())
    encoder = tiny_clip("open_clip-vit")
    encoder.model.logit_bias = torch.nn.Parameter(torch.zeros([]))
    with pytest.raises(DistnormError, match="tiny-CLIP"):
        clip_parts(encoder)

    from tiny_clips import TEXT, VIT, TinyClip

    def altered(text=TEXT, vision=VIT, kind=open_clip.CustomTextCLIP):
        return TinyClip(kind(embed_dim=16, vision_cfg=vision, text_cfg=text), None, 32)

    with pytest.raises(DistnormError, match="text tower TextTransformer with pooling 'last'"):
        clip_parts(altered(TEXT | {"no_causal_mask": True, "pool_type": "last"}))
    with pytest.raises(DistnormError, match="text tower TextTransformer"):
        clip_parts(altered(TEXT | {"embed_cls": True}))
    pooled = clip_parts(altered(vision=VIT | {"pool_type": "avg"}))
    with pytest.raises(DistnormError, match="image tower VisionTransformer"):
        pooled.image_rows(torch.zeros(1, 3, 32, 32))


def test_the_builtin_model_is_no_clip():
    pytest.importorskip("onnxruntime", reason="the built-in model runs in it")
    with pytest.raises(DistnormError, match=r"builtin-.*a CLIP of open_clip"):
        clip_parts(load_encoder("builtin"))


def test_end_tokens_are_found_by_their_number_where_the_tower_says_so():
    open_clip = pytest.importorskip("open_clip", reason="the tower is one of its own")
    from tiny_clips import END, TEXT, VIT, TinyClip

    torch.manual_seed(0)
    model = open_clip.CLIP(
        embed_dim=16, vision_cfg=VIT, text_cfg=TEXT | {"pool_type": "eos", "eos_id": END}
    )
    encoder = TinyClip(model, open_clip.tokenizer.SimpleTokenizer(), 32)
    parts = clip_parts(encoder)
    tokens = parts.tokens(TEXTS)
    with torch.no_grad():
        found = parts.text_rows(parts.embed(tokens), tokens)
        np.testing.assert_allclose(found, whole_text_rows(encoder, TEXTS), atol=1e-5)
