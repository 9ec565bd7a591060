"""The dual encoders of transformers, each from a folder, against the library's own calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distnorm import DistnormError, load_encoder

torch = pytest.importorskip("torch", reason="transformers' models need torch")
transformers = pytest.importorskip("transformers", reason="needs the hf extra")

from encoder_laws import TEXTS, check, pictures, same_in_a_fresh_process
from hf_models import MODELS, save

from distnorm.encoders.pixels import Pixels


@pytest.fixture(scope="module", params=list(MODELS))
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    model, images = save(request.param, folder)
    return request.param, folder, model, images


def own_rows(kind, model, images, tokenizer):
    """Image and text rows by the calls of the library's documentation."""
    seen = images(images=[p.convert("RGB") for p in pictures()], return_tensors="pt")
    padding = {"padding": "max_length", "max_length": 64} if "siglip" in kind else {"padding": True}
    read = tokenizer(TEXTS, return_tensors="pt", truncation=True, **padding)
    ids = {key: read[key] for key in ("input_ids", "attention_mask") if key in read}
    with torch.no_grad():
        if kind in ("blip", "blip-2"):
            one = {key: value[:1].expand(len(pictures()), -1) for key, value in ids.items()}
            flag = {"blip": "use_itm_head", "blip-2": "use_image_text_matching_head"}[kind]
            return model(pixel_values=seen["pixel_values"], **one, **{flag: False})
        found = model.get_image_features(**seen), model.get_text_features(**ids)
    rows = [getattr(f, "pooler_output", f) for f in found]
    return [r[:, 0].numpy() if r.ndim == 3 else r.numpy() for r in rows]


def test_rows_are_the_librarys(saved):
    kind, folder, model, images = saved
    encoder = load_encoder(f"hf:{folder}", device="cpu")
    check(encoder)
    expected = own_rows(kind, model, images, encoder.tokenizer)
    if kind == "blip":
        scores = encoder.encode_images(pictures()) @ encoder.encode_texts(TEXTS[:1]).T
        np.testing.assert_allclose(scores[:, 0], expected.itm_score[:, 0].numpy(), atol=1e-5)
    elif kind == "blip-2":
        queries = encoder.encode_queries(pictures())
        scores = (queries @ encoder.encode_texts(TEXTS[:1]).T).max(axis=1)
        mine = expected.logits_per_image[:, 0].numpy()
        np.testing.assert_allclose(scores[:, 0], mine, atol=1e-5)
        np.testing.assert_allclose(
            encoder.encode_images(pictures(), normalize=False), queries.mean(axis=1), atol=1e-6
        )
        first = load_encoder(f"hf:{folder}", device="cpu", queries="first")
        np.testing.assert_allclose(first.encode_images(pictures()), queries[:, 0], atol=1e-6)
    else:
        found = encoder.encode_images(pictures(), normalize=False)
        np.testing.assert_allclose(found, expected[0], atol=2e-5)
        found = encoder.encode_texts(TEXTS, normalize=False)
        np.testing.assert_allclose(found, expected[1], atol=2e-5)
    assert encoder.model_id.startswith(f"hf:{folder.name}@")


def test_temperature_is_what_scores_are_divided_by(saved):
    kind, folder, model, images = saved
    encoder = load_encoder(f"hf:{folder}", device="cpu")
    if kind in ("blip", "blip-2"):
        assert encoder.temperature is None
        return
    if kind == "flava":
        assert encoder.temperature == pytest.approx(float((-model.logit_scale.detach()).exp()))
        return
    seen = images(images=[p.convert("RGB") for p in pictures()], return_tensors="pt")
    padding = "max_length" if "siglip" in kind else True
    read = encoder.tokenizer(TEXTS, return_tensors="pt", padding=padding, truncation=True)
    read.pop("token_type_ids", None)
    if "siglip" in kind:
        read.pop("attention_mask", None)
    with torch.no_grad():
        logits = model(**seen, **read).logits_per_image.numpy()
    bias = float(model.logit_bias.detach()) if "siglip" in kind else 0.0
    cosines = encoder.encode_images(pictures()) @ encoder.encode_texts(TEXTS).T
    np.testing.assert_allclose(cosines / encoder.temperature + bias, logits, atol=1e-3)


def test_workers_need_no_torch(saved, tmp_path):
    kind, folder, _, _ = saved
    encoder = load_encoder(f"hf:{folder}", device="cpu")
    if kind == "siglip2-native":
        assert encoder.preprocess(pictures()[0]).shape == (16, 8 * 8 * 3 + 3)
        return
    assert isinstance(encoder.preprocess, Pixels)
    if kind == "clip":
        same_in_a_fresh_process(encoder, tmp_path)


def test_long_texts_are_cut_and_counted(saved):
    kind, folder, _, _ = saved
    encoder = load_encoder(f"hf:{folder}", device="cpu")
    limit = {"siglip": 64, "siglip2-native": 64, "blip": 35, "blip-2": 32}
    bert = {"align": 48, "chinese-clip": 48, "flava": 48, "vision-text-dual": 48}
    assert encoder.max_tokens == {**limit, **bert}.get(kind, 20)
    long = " ".join(["dog"] * 90)
    marks = {"siglip": 1, "siglip2-native": 0}.get(kind, 2)
    words = {"clip": 270, "siglip2-native": 90 * 3 + 89}.get(kind, 90)  # letters, or words
    assert encoder.count_tokens([long, "a"]).tolist() == [words + marks, 1 + marks]
    np.testing.assert_allclose(
        encoder.encode_texts([long]), encoder.encode_texts([long + " dog"]), atol=1e-6
    )


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    save("clip", folder)
    return folder


def test_features_as_tensors_or_objects(clip_folder, monkeypatch):
    """transformers 4 returned tensors, 5 returns objects."""
    encoder = load_encoder(f"hf:{clip_folder}", device="cpu")
    expected = encoder.encode_images(pictures()), encoder.encode_texts(TEXTS)
    for side in ("image", "text"):
        original = getattr(encoder.model, f"get_{side}_features")

        def bare(*args, original=original, **kwargs):
            found = original(*args, **kwargs)
            return getattr(found, "pooler_output", found)

        monkeypatch.setattr(encoder.model, f"get_{side}_features", bare)
    np.testing.assert_array_equal(encoder.encode_images(pictures()), expected[0])
    np.testing.assert_array_equal(encoder.encode_texts(TEXTS), expected[1])


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision(saved, precision):
    _, folder, _, _ = saved
    whole = load_encoder(f"hf:{folder}", device="cpu")
    half = load_encoder(f"hf:{folder}", device="cpu", precision=precision)
    for method, given in (("encode_images", pictures()), ("encode_texts", TEXTS)):
        found = getattr(half, method)(given)
        assert found.dtype == np.float32
        cosines = (found * getattr(whole, method)(given)).sum(axis=1)
        assert cosines.min() > 0.95


def test_a_moved_folder_is_the_same_model_and_other_weights_are_not(clip_folder, tmp_path):
    import shutil

    first = load_encoder(f"hf:{clip_folder}", device="cpu").model_id
    moved = tmp_path / "elsewhere" / clip_folder.name
    shutil.copytree(clip_folder, moved)
    assert load_encoder(f"hf:{moved}", device="cpu").model_id == first
    model = transformers.CLIPModel.from_pretrained(moved)
    model.logit_scale.data += 1
    model.save_pretrained(moved)
    assert load_encoder(f"hf:{moved}", device="cpu").model_id != first


def test_a_captioning_blip_is_refused(tmp_path):
    model, _ = save("blip", tmp_path)
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("text_proj")}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(DistnormError, match=r"lack 2 parts .* text_proj.*-itm-"):
        load_encoder(f"hf:{tmp_path}", device="cpu")


def test_a_model_with_one_tower_is_refused(tmp_path, clip_folder):
    import shutil

    shutil.copytree(clip_folder, tmp_path / "one")
    config = transformers.CLIPTextConfig.from_pretrained(clip_folder)
    (tmp_path / "one" / "model.safetensors").unlink()
    transformers.CLIPTextModel(config).save_pretrained(tmp_path / "one")
    with pytest.raises(DistnormError, match="a dual encoder: clip, siglip"):
        load_encoder(f"hf:{tmp_path}/one", device="cpu")


def test_a_model_of_texts_alone_goes_to_st(tmp_path):
    from hf_models import HEADS, bert_tokenizer

    bert_tokenizer(transformers, tmp_path).save_pretrained(tmp_path)
    config = transformers.BertConfig(**HEADS, vocab_size=40, max_position_embeddings=48)
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(DistnormError, match=rf"texts alone \(bert\).*st:{tmp_path}"):
        load_encoder(f"hf:{tmp_path}", device="cpu")
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "modules.json").write_text("[]")
    with pytest.raises(DistnormError, match=rf"st:{tmp_path}/whole"):
        load_encoder(f"hf:{tmp_path}/whole", device="cpu")


@pytest.mark.parametrize(
    ("kind", "part"),
    [("clap", r"audio and texts \(clap\).*--sides audio,text"), ("vit", r"pictures alone \(vit\)")],
)
def test_models_of_other_things_are_named(tmp_path, kind, part):
    transformers.AutoConfig.for_model(kind).save_pretrained(tmp_path)
    with pytest.raises(DistnormError, match=part) as caught:
        load_encoder(f"hf:{tmp_path}", device="cpu")
    assert "\n" not in str(caught.value)


def test_torchvision_is_not_needed(clip_folder, tmp_path):
    save("siglip", tmp_path)
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "sys.path.append(sys.argv[1]); from encoder_laws import pictures\n"
        "import distnorm, numpy\n"
        "for place in sys.argv[2:]:\n"
        "    encoder = distnorm.load_encoder('hf:' + place, device='cpu')\n"
        "    numpy.save(place + '/rows.npy', encoder.encode_images(pictures()))\n"
    )
    here = str(Path(__file__).parents[1] / "helpers")
    command = [sys.executable, "-c", code, here, str(clip_folder), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    for place in (clip_folder, tmp_path):
        rows = load_encoder(f"hf:{place}", device="cpu").encode_images(pictures())
        np.testing.assert_allclose(np.load(place / "rows.npy"), rows, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("org/none", "hf:/path/to/folder"),
        ("no name", "hf:/path/to/folder"),
        ("/nowhere", "check the path"),
        ("{folder}/empty", "config.json, weights, tokenizer"),
        ("{folder}/broken", "check the folder"),
    ],
)
def test_wrong_names_get_one_line(clip_folder, tmp_path, name, part):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(DistnormError, match=part) as caught:
        load_encoder("hf:" + name.format(folder=tmp_path), device="cpu")
    assert "\n" not in str(caught.value)


def test_wrong_options_get_one_line(clip_folder):
    with pytest.raises(DistnormError, match="'mean' or 'first'"):
        load_encoder(f"hf:{clip_folder}", device="cpu", queries="all")
    encoder = load_encoder(f"hf:{clip_folder}", device="cpu")
    with pytest.raises(DistnormError, match="a BLIP-2"):
        encoder.encode_queries(pictures())
