"""ALBEF and TCL from files with their authors' keys, against the two towers written out."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError, load_encoder

torch = pytest.importorskip("torch", reason="ALBEF and TCL need torch")
pytest.importorskip("transformers", reason="needs the albef extra")
pytest.importorskip("timm", reason="needs the albef extra")

from albef_checkpoints import GRID, PATCH, VOCABULARY, D, own_image_rows, own_text_row, state
from encoder_laws import TEXTS, check, pictures, same_in_a_fresh_process

from distnorm.encoders.albef.checkpoint import resized_positions
from distnorm.encoders.albef.model import prepared


@pytest.fixture(scope="module", params=["albef:pretrain", "albef:retrieval", "tcl:pretrain"])
def saved(request, tmp_path_factory):
    family, kind = request.param.split(":")
    folder = tmp_path_factory.mktemp(kind)
    weights = state(torch, kind)
    torch.save({"model": weights, "config": {"image_res": 32}, "epoch": 3}, folder / "best.pth")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", "utf-8")
    return family, folder / "best.pth", weights


def test_rows_are_the_authors(saved):
    family, file, weights = saved
    encoder = load_encoder(f"{family}:{file}", device="cpu")
    check(encoder)
    assert encoder.model_id.startswith(f"{family}:best.pth@")
    assert encoder.dimension == D
    assert encoder.temperature == pytest.approx(0.05)
    pixels = np.stack([encoder.preprocess(image) for image in pictures()])
    expected = own_image_rows(torch, weights, encoder.image_tensor(pixels)).numpy()
    np.testing.assert_allclose(encoder.encode_pixels(pixels), expected, atol=1e-5)
    for text in TEXTS:
        # [CLS] and the words: the authors' tokenizer ends a text without [SEP].
        ids = torch.tensor([VOCABULARY.index(word) for word in ["[CLS]", *text.split()]])
        expected = own_text_row(torch, weights, ids).numpy()
        found = encoder.encode_texts([text], normalize=False)[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pictures_are_squashed_as_the_authors_do(saved):
    family, file, _ = saved
    encoder = load_encoder(f"{family}:{file}", device="cpu")
    image = pictures()[0]
    expected = np.asarray(image.resize((32, 32), resample=3), dtype=np.float32) / 255
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = ((expected - mean) / std).transpose(2, 0, 1)
    found = encoder.image_tensor(encoder.preprocess(image)[None]).numpy()[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_texts_are_prepared_as_the_authors_do(saved):
    family, file, _ = saved
    encoder = load_encoder(f"{family}:{file}", device="cpu")
    rows = encoder.encode_texts(["A red-BUS, and dogs!", "a red bus and dogs"])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    assert prepared(" ".join(["dog"] * 40)).count("dog") == 30
    assert encoder.count_tokens(["dogs", "bus " * 40, "a bus/dog"]).tolist() == [2, 41, 4]
    assert encoder.max_tokens == 30
    np.testing.assert_allclose(
        encoder.encode_texts(["bus " * 40]), encoder.encode_texts(["bus " * 29]), atol=1e-6
    )


def test_another_resolution(saved):
    family, file, weights = saved
    encoder = load_encoder(f"{family}:{file}", device="cpu", image_size=48)
    assert encoder.preprocess.size == (48, 48)
    assert encoder.model_id.endswith("-48px")
    larger = {**weights, "visual_encoder.pos_embed": None}
    larger["visual_encoder.pos_embed"] = resized_positions(weights["visual_encoder.pos_embed"], 6)
    pixels = np.stack([encoder.preprocess(image) for image in pictures()])
    expected = own_image_rows(torch, larger, encoder.image_tensor(pixels)).numpy()
    np.testing.assert_allclose(encoder.encode_pixels(pixels), expected, atol=1e-5)


def test_positions_are_interpolated_as_pictures_are():
    # A plane stays a plane, but for the twentieth of a step by which torch's cubic misses it.
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    grid = torch.stack([y, x, torch.ones_like(x)], dim=-1).reshape(1, 64, 3)
    positions = torch.cat([torch.full((1, 1, 3), 9.0), grid], dim=1)
    found = resized_positions(positions, 16)
    assert found.shape == (1, 257, 3)
    assert found[0, 0].tolist() == [9.0] * 3
    inner = found[0, 1:].reshape(16, 16, 3)[6:10, 6:10]
    centres = (torch.arange(6, 10) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(inner[:, 0, 0], centres, atol=0.05)
    np.testing.assert_allclose(inner[0, :, 1], centres, atol=0.05)
    assert resized_positions(positions, 8) is positions


def test_workers_need_no_torch(saved, tmp_path):
    family, file, _ = saved
    same_in_a_fresh_process(load_encoder(f"{family}:{file}", device="cpu"), tmp_path)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision(saved, precision):
    family, file, _ = saved
    whole = load_encoder(f"{family}:{file}", device="cpu")
    half = load_encoder(f"{family}:{file}", device="cpu", precision=precision)
    for method, given in (("encode_images", pictures()), ("encode_texts", TEXTS)):
        cosines = (getattr(half, method)(given) * getattr(whole, method)(given)).sum(axis=1)
        assert cosines.min() > 0.99


def without(prefix):
    return lambda weights: {k: v for k, v in weights.items() if not k.startswith(prefix)}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (without("vision_proj."), r"1 keys missing, such as 'vision_proj.\*'"),
        (without("visual_encoder.blocks.1.attn.qkv"), "2 keys missing"),
        (without("text_encoder.bert.encoder.layer.1.output"), "4 keys missing"),
        (without("text_encoder.bert.embeddings.word"), "word_embeddings"),
        (lambda w: {**w, "head.weight": w["temp"]}, "1 keys left over, such as 'head.weight'"),
        (lambda w: {**w, "visual_encoder.blocks.0.x": w["temp"]}, "left over"),
        (lambda w: {**w, "text_proj.bias": w["temp"][None]}, "unexpected shapes"),
        (lambda w: {"other": {}}, "without a 'model' of tensors"),
    ],
    ids=["projection", "block", "layer", "words", "head", "extra", "shape", "nothing"],
)
def test_a_wrong_file_says_which_keys(tmp_path, change, part):
    torch.save({"model": change(state(torch, "pretrain"))}, tmp_path / "x.pth")
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY), "utf-8")
    with pytest.raises(DistnormError, match=part) as caught:
        load_encoder(f"albef:{tmp_path}/x.pth", device="cpu")
    assert "\n" not in str(caught.value)


def test_wrong_names_and_options_get_one_line(saved, tmp_path):
    family, file, _ = saved
    with pytest.raises(DistnormError, match=f"write {family}:/path/to/file.pth"):
        load_encoder(f"{family}:/nowhere.pth")
    with pytest.raises(DistnormError, match="put it beside the checkpoint, or pass tokenizer="):
        load_encoder(f"{family}:{file}", tokenizer="/nowhere/vocab.txt")
    (tmp_path / "vocab.txt").write_text("\n".join([*VOCABULARY, "more"]), "utf-8")
    with pytest.raises(DistnormError, match="bert-base-uncased"):
        load_encoder(f"{family}:{file}", tokenizer=str(tmp_path))
    (tmp_path / "vocab.txt").write_text("some\nwords", "utf-8")
    with pytest.raises(DistnormError, match=r"without \[CLS\]"):
        load_encoder(f"{family}:{file}", tokenizer=str(tmp_path / "vocab.txt"))
    with pytest.raises(DistnormError, match=f"a multiple of {PATCH}"):
        load_encoder(f"{family}:{file}", device="cpu", image_size=PATCH * GRID + 1)
    (tmp_path / "text.pth").write_text("no checkpoint")
    with pytest.raises(DistnormError, match="a torch checkpoint"):
        load_encoder(f"{family}:{tmp_path}/text.pth", tokenizer=str(file.parent))


def test_code_in_a_file_is_not_run(saved, tmp_path):
    import pathlib

    family, file, weights = saved
    torch.save({"model": weights, "args": pathlib.PurePosixPath("a")}, tmp_path / "x.pth")
    name = f"{family}:{tmp_path}/x.pth"
    with pytest.raises(DistnormError, match="weights_only=False"):
        load_encoder(name, device="cpu", tokenizer=str(file.parent))
    load_encoder(name, device="cpu", tokenizer=str(file.parent), weights_only=False)
