"""OpenCLIP's models, through the names that a user writes."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from distnorm import DistnormError, load_encoder

torch = pytest.importorskip("torch", reason="open_clip needs torch")
open_clip = pytest.importorskip("open_clip", reason="needs the open_clip extra")

from encoder_laws import TEXTS, check, pictures, same_in_a_fresh_process

from distnorm.encoders.pixels import Pixels
from distnorm.encoders.torch_encoder import RandomWeightsWarning

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
KINDS = {
    "clip": TINY,
    "custom-text": {**TINY, "custom_text": True, "init_logit_bias": -10.0},
    "coca": {
        **TINY,
        "custom_text": True,
        "vision_cfg": {**TINY["vision_cfg"], "attentional_pool": True, "output_tokens": True},
        "text_cfg": {**TINY["text_cfg"], "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {"context_length": 12, "width": 32, "heads": 2, "layers": 1},
    },
}
SQUASH = {"resize_mode": "squash", "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.fixture(scope="module", params=list(KINDS))
def folder(request, tmp_path_factory):
    """A model folder as OpenCLIP writes it to the hub."""
    place = tmp_path_factory.mktemp(request.param)
    about = {"model_cfg": KINDS[request.param], "preprocess_cfg": SQUASH}
    (place / "open_clip_config.json").write_text(json.dumps(about))
    torch.manual_seed(1)
    model = open_clip.create_model(f"local-dir:{place}")
    torch.save(model.state_dict(), place / "open_clip_pytorch_model.bin")
    return place


@pytest.fixture(scope="module")
def arch(tmp_path_factory):
    """An architecture of OpenCLIP's list, small; its weights in a file."""
    place = tmp_path_factory.mktemp("arch")
    (place / "tiny-8.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(place / "tiny-8.json")
    torch.manual_seed(2)
    model = open_clip.create_model("tiny-8")
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, place / "epoch_3.pt")
    yield place
    open_clip.factory._MODEL_CONFIG_PATHS.remove(place / "tiny-8.json")
    del open_clip.factory._MODEL_CONFIGS["tiny-8"]


def test_a_folder(folder):
    encoder = load_encoder(f"open_clip:local-dir:{folder}", device="cpu")
    check(encoder)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    with torch.no_grad():
        images = torch.stack([transform(image.convert("RGB")) for image in pictures()])
        expected = model.encode_image(images, normalize=True).numpy()
        np.testing.assert_allclose(encoder.encode_images(pictures()), expected, atol=1e-5)
        expected = model.encode_text(tokens, normalize=True).numpy()
        np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=1e-5)
    assert encoder.model_id.startswith(f"open_clip:local-dir:{folder.name}@")
    assert encoder.temperature == pytest.approx(float(1 / model.logit_scale.detach().exp()))
    assert (encoder.dimension, encoder.max_tokens) == (16, 12)


def test_a_file(arch, monkeypatch):
    encoder = load_encoder(f"open_clip:tiny-8/{arch}/epoch_3.pt", device="cpu")
    check(encoder)
    model = open_clip.create_model("tiny-8", str(arch / "epoch_3.pt")).eval()
    with torch.no_grad():
        expected = model.encode_text(open_clip.get_tokenizer("tiny-8")(TEXTS)).numpy()
    found = encoder.encode_texts(TEXTS, normalize=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # The name that a store keeps tells files apart, and not where they lie.
    monkeypatch.chdir(arch)
    again = load_encoder("open_clip:tiny-8/epoch_3.pt", device="cpu")
    assert again.model_id == encoder.model_id
    assert again.model_id.startswith("open_clip:tiny-8/epoch_3.pt@")


def test_openai_weights_bring_their_activation(arch, tmp_path):
    model = open_clip.create_model("tiny-8", str(arch / "epoch_3.pt"), quick_gelu=True).eval()
    tokens = open_clip.get_tokenizer("tiny-8")(TEXTS)

    class Released(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name in ("input_resolution", "context_length", "vocab_size"):
                self.register_buffer(name, torch.tensor(1))
            for name, child in model.named_children():
                setattr(self, name, child)
            for name, weight in model.named_parameters(recurse=False):
                setattr(self, name, weight)

        def forward(self, x):
            return self.token_embedding(x)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Released(), tokens).save(str(tmp_path / "ViT.pt"))
    encoder = load_encoder(f"open_clip:tiny-8/{tmp_path}/ViT.pt", device="cpu")
    with torch.no_grad():
        expected = model.encode_text(tokens).numpy()
    found = encoder.encode_texts(TEXTS, normalize=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("quick", [True, False], ids=["trained-with", "trained-without"])
def test_a_tag_decides_the_activation(arch, monkeypatch, quick):
    tag = {"url": "file:", "quick_gelu": quick, "mean": (0.1, 0.2, 0.3), "interpolation": "bicubic"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-8", {"mine": tag})
    monkeypatch.setattr(
        open_clip.factory, "download_pretrained", lambda *a, **k: str(arch / "epoch_3.pt")
    )
    encoder = load_encoder("open_clip:tiny-8/mine", device="cpu")
    assert encoder.model_id == "open_clip:tiny-8/mine"
    assert encoder.preprocess.mean == (0.1, 0.2, 0.3)
    model = open_clip.create_model("tiny-8", str(arch / "epoch_3.pt"), quick_gelu=quick).eval()
    with torch.no_grad():
        expected = model.encode_text(open_clip.get_tokenizer("tiny-8")(TEXTS)).numpy()
    found = encoder.encode_texts(TEXTS, normalize=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_random_weights_are_loud_and_seeded(arch):
    state = torch.random.get_rng_state()
    rows = []
    for name, seed in (("random", 0), ("", 0), ("random", 1)):
        with pytest.warns(RandomWeightsWarning, match="RANDOM"):
            encoder = load_encoder(f"open_clip:tiny-8/{name}", device="cpu", seed=seed)
        rows.append(encoder.encode_texts(TEXTS))
        assert encoder.model_id == f"open_clip:tiny-8/random-{seed}"
    np.testing.assert_array_equal(rows[0], rows[1])
    assert np.abs(rows[0] - rows[2]).max() > 0.01
    assert torch.equal(state, torch.random.get_rng_state())


def test_workers_need_no_torch(arch, tmp_path):
    encoder = load_encoder(f"open_clip:tiny-8/{arch}/epoch_3.pt", device="cpu")
    same_in_a_fresh_process(encoder, tmp_path)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision(arch, precision):
    name = f"open_clip:tiny-8/{arch}/epoch_3.pt"
    whole, half = load_encoder(name), load_encoder(name, device="cpu", precision=precision)
    assert half.model.visual.conv1.weight.dtype == getattr(torch, precision)
    assert half.model_id == whole.model_id
    for method, given in (("encode_images", pictures()), ("encode_texts", TEXTS)):
        found = getattr(half, method)(given)
        assert found.dtype == np.float32
        cosines = (found * getattr(whole, method)(given)).sum(axis=1)
        assert cosines.min() > 0.99


def test_tokens_are_counted_before_the_cut(arch):
    encoder = load_encoder(f"open_clip:tiny-8/{arch}/epoch_3.pt", device="cpu")
    assert encoder.count_tokens(["a red bus", "dog " * 50]).tolist() == [5, 52]
    np.testing.assert_allclose(
        encoder.encode_texts(["dog " * 50]), encoder.encode_texts(["dog " * 60]), atol=1e-6
    )


@pytest.mark.parametrize("resize", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("size", [32, (20, 30)], ids=["square", "oblong"])
def test_pixels_equal_the_librarys(resize, size):
    from distnorm.encoders.open_clip import recipe

    about = open_clip.transform.PreprocessCfg(size=size, resize_mode=resize, fill_color=7)
    theirs = open_clip.transform.image_transform_v2(about, is_train=False)
    mine = recipe(vars(about))
    assert isinstance(mine, Pixels)
    for image in pictures():
        expected = theirs(image.convert("RGB")).numpy()
        np.testing.assert_allclose(mine.scaled(mine(image)[None])[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("ViT-B-33/openai", "such as ViT-B-32"),
        ("ViT-B-32", "laion2b_s34b_b79k.*, a file, or 'random'"),
        ("ViT-B-32/laion3b", r"write open_clip:ViT-B-32/TAG or open_clip:ViT-B-32//path"),
        ("ViT-B-32/openai", "local-dir"),
        ("ViT-B-16-SigLIP/random", "tokenizer="),
        ("hf-hub:org/none", "cannot be fetched"),
        ("local-dir:/nowhere", "open_clip_config.json"),
        ("ViT-B-32/{arch}/epoch_3.pt", "weights of another architecture"),
        ("tiny-8/{arch}/broken.pt", "check the file"),
    ],
)
def test_wrong_names_get_one_line(arch, name, part):
    (arch / "broken.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(DistnormError, match=part) as caught:
        load_encoder("open_clip:" + name.format(arch=arch), device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"device": "tpu"}, "one of: auto"),
        ({"device": "cuda:99"}, "one of: auto"),
        ({"precision": "int3"}, "bfloat16"),
        ({"tokenizer": "/nowhere"}, "a folder"),
    ],
)
def test_wrong_options_get_one_line(arch, options, part):
    with pytest.raises(DistnormError, match=part):
        load_encoder(f"open_clip:tiny-8/{arch}/epoch_3.pt", **options)


def test_pixels_of_another_shape_are_refused(arch):
    encoder = load_encoder(f"open_clip:tiny-8/{arch}/epoch_3.pt", device="cpu")
    with pytest.raises(DistnormError, match="let preprocess make them"):
        encoder.encode_pixels(np.zeros((1, 3, 32, 32), np.float32))
