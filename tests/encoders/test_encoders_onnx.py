"""Exported encoders in folders of all the usual shapes, and the export of models."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from distnorm import DistnormError, MissingExtraError, load_encoder

onnx = pytest.importorskip("onnx", reason="the tests write ONNX files")
pytest.importorskip("onnxruntime", reason="needs the onnx extra")
tokenizers = pytest.importorskip("tokenizers", reason="needs the onnx extra")

from encoder_laws import TEXTS, WORDS, check, pictures, same_in_a_fresh_process
from onnx import TensorProto, helper, numpy_helper

SIDE, D, LIMIT = 8, 6, 9
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
EYE = np.random.default_rng(1).standard_normal((3 * SIDE * SIDE, D)).astype(np.float32) / 14
EAR = np.random.default_rng(2).standard_normal((len(VOCABULARY), D)).astype(np.float32)
FLOAT, HALF, INT, LONG = (
    getattr(TensorProto, name) for name in ("FLOAT", "FLOAT16", "INT32", "INT64")
)


def eye(kind=FLOAT, rows="n", name="pixel_values", output="image_embeds"):
    """Pixels, flattened, times a matrix."""
    nodes = [
        helper.make_node("Cast", [name], ["wide"], to=FLOAT),
        helper.make_node("Flatten", ["wide"], ["flat"]),
        helper.make_node("MatMul", ["flat", "eye"], [output]),
    ]
    inputs = [helper.make_tensor_value_info(name, kind, [rows, 3, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info(output, FLOAT, [rows, D])]
    return nodes, inputs, outputs, [numpy_helper.from_array(EYE, "eye")]


def ear(kind=LONG, rows="n", length="l", mask=True, output="text_embeds"):
    """The sum of the words' vectors; without a mask, padding counts."""
    shape = [rows, length]
    nodes = [helper.make_node("Gather", ["ear", "input_ids"], ["each"])]
    inputs = [helper.make_tensor_value_info("input_ids", kind, shape)]
    inner = [numpy_helper.from_array(EAR, "ear"), numpy_helper.from_array(np.array([1]), "axis")]
    last = "each"
    if mask:
        inputs.append(helper.make_tensor_value_info("attention_mask", kind, shape))
        inner.append(numpy_helper.from_array(np.array([2]), "end"))
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["weight"], to=FLOAT),
            helper.make_node("Unsqueeze", ["weight", "end"], ["weights"]),
            helper.make_node("Mul", ["each", "weights"], ["kept"]),
        ]
        last = "kept"
    nodes.append(helper.make_node("ReduceSum", [last, "axis"], [output], keepdims=0))
    outputs = [helper.make_tensor_value_info(output, FLOAT, [rows, D])]
    # A second output, of another rank, that is not the row.
    nodes.insert(1, helper.make_node("Identity", ["each"], ["last_hidden_state"]))
    hidden = helper.make_tensor_value_info("last_hidden_state", FLOAT, [rows, length, D])
    return nodes, inputs, [hidden, *outputs], inner


def write(file, *parts):
    nodes, inputs, outputs, inner = ([*itertools.chain(*p)] for p in zip(*parts, strict=True))
    graph = helper.make_graph(nodes, "g", inputs, outputs, inner)
    opset = [helper.make_opsetid("", 17)]
    file.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), file)


def settings(folder, limit=LIMIT, **more):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    inner = Tokenizer(models.WordLevel({w: n for n, w in enumerate(VOCABULARY)}, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    inner.save(str(folder / "tokenizer.json"))
    images = {
        "size": SIDE,
        "do_center_crop": False,
        "image_mean": [0.4] * 3,
        "image_std": [0.2] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    about = {"model_max_length": limit, "pad_token": {"content": "[PAD]"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    if more:
        (folder / "distnorm.json").write_text(json.dumps(more))


def plain(folder):
    write(folder / "image.onnx", eye())
    write(folder / "text.onnx", ear())


def hub(folder):
    write(folder / "onnx/vision_model.onnx", eye(HALF, output="pooler_output"))
    write(folder / "onnx/text_model.onnx", ear(INT, mask=False, output="pooler_output"))


def other_names(folder):
    write(folder / "visual.onnx", eye(name="x", output="y"))
    write(folder / "textual.onnx", ear(output="z"))


def both(folder):
    write(folder / "model.onnx", eye(), ear(rows="m"))


def fixed(folder):
    write(folder / "image.onnx", eye(rows=2))
    write(folder / "text.onnx", ear(rows=1, length=LIMIT))


def texts_alone(folder):
    write(folder / "model.onnx", ear(output="sentence_embedding"))


FOLDERS = {
    "plain": plain,
    "hub": hub,
    "other-names": other_names,
    "both-in-one": both,
    "fixed-shapes": fixed,
    "texts-alone": texts_alone,
}


@pytest.fixture(params=list(FOLDERS))
def folder(request, tmp_path):
    FOLDERS[request.param](tmp_path)
    settings(tmp_path)
    return request.param, tmp_path


def test_rows_are_the_files(folder):
    kind, place = folder
    encoder = load_encoder(f"onnx:{place}")
    check(encoder, images=kind != "texts-alone")
    ids = [[VOCABULARY.index(w) for w in ["[CLS]", *t.split(), "[SEP]"]][:LIMIT] for t in TEXTS]
    for row in ids:
        row[-1] = VOCABULARY.index("[SEP]")
    if kind == "hub":  # it takes no mask, so each text is padded to the full length
        ids = [row + [0] * (LIMIT - len(row)) for row in ids]
    expected = np.stack([EAR[row].sum(axis=0) for row in ids])
    found = encoder.encode_texts(TEXTS, normalize=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if kind == "texts-alone":
        return
    images = [image.convert("RGB").resize((SIDE, SIDE), resample=3) for image in pictures()]
    pixels = (np.stack([np.asarray(image) for image in images]) / 255 - 0.4) / 0.2
    expected = pixels.transpose(0, 3, 1, 2).reshape(len(images), -1) @ EYE
    found = encoder.encode_images(pictures(), normalize=False)
    np.testing.assert_allclose(found, expected, atol=2e-3 if kind == "hub" else 1e-5)


def test_what_a_folder_says_of_itself(tmp_path):
    plain(tmp_path)
    settings(tmp_path)
    encoder = load_encoder(f"onnx:{tmp_path}", threads=1)
    assert encoder.model_id.startswith(f"onnx:{tmp_path.name}@")
    assert (encoder.temperature, encoder.max_tokens, encoder.dimension) == (None, LIMIT, D)
    assert encoder.count_tokens(["dog " * 20, "a"]).tolist() == [22, 3]
    same_in_a_fresh_process(encoder, tmp_path)
    settings(tmp_path, model_id="m", temperature=0.02, prompts=["{c}!"], max_tokens=5)
    encoder = load_encoder(f"onnx:{tmp_path}")
    assert encoder.model_id == "m"
    assert (encoder.temperature, encoder.max_tokens, encoder.prompts) == (0.02, 5, ("{c}!",))
    settings(tmp_path, max_tokens=LIMIT, padding="max_length")
    padded = load_encoder(f"onnx:{tmp_path}").encode_texts(TEXTS)  # and masked
    settings(tmp_path, max_tokens=LIMIT)
    np.testing.assert_allclose(padded, load_encoder(f"onnx:{tmp_path}").encode_texts(TEXTS))


def test_torch_is_not_needed(tmp_path):
    plain(tmp_path)
    settings(tmp_path)
    pictures()[0].save(tmp_path / "x.png")
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from PIL import Image; import distnorm\n"
        f"e = distnorm.load_encoder('onnx:{tmp_path}')\n"
        f"x = Image.open(r'{tmp_path}/x.png')\n"
        "print(e.encode_images([x]).shape, e.encode_texts(['a']).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["(1,", f"{D})", "(1,", f"{D})"]


def tokens_alone(folder, **outputs):
    """A graph that gives a vector per token, as sentence models are exported."""
    nodes, inputs, found, inner = ear(**outputs)
    write(folder / "onnx/model.onnx", (nodes, inputs, found[:1], inner))
    settings(folder, limit=30)


@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "lasttoken"])
@pytest.mark.parametrize("written", ["flags", "word", "card"])
def test_sentence_models_are_pooled_as_their_folder_says(tmp_path, pooling, written):
    tokens_alone(tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    flag = {"cls": "cls_token", "lasttoken": "lasttoken"}.get(pooling, f"{pooling}_tokens")
    if written == "card":
        (tmp_path / "distnorm.json").write_text(json.dumps({"pooling": pooling}))
    else:
        flags = {f"pooling_mode_{flag}": True, "pooling_mode_mean_sqrt_len_tokens": False}
        config = {"word": {"pooling_mode": pooling}, "flags": {**flags, "include_prompt": True}}
        config = config[written]
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config))
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 6}))
    encoder = load_encoder(f"onnx:{tmp_path}")
    if pooling in ("mean", "max"):  # the end marks have one vector in every text
        check(encoder, images=False)
    assert encoder.max_tokens == 6
    texts = ["red bus", "dog", "the bus and the dog and the red sofa"]
    for text, row in zip(texts, encoder.encode_texts(texts, normalize=False), strict=True):
        words = [2, *(VOCABULARY.index(word) for word in text.split()[:4]), 3]
        states = EAR[words]
        expected = {"mean": states.mean(0), "max": states.max(0), "cls": states[0],
                    "lasttoken": states[-1]}[pooling]  # fmt: skip
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_tokens_without_a_pooling_are_refused_with_the_way(tmp_path):
    tokens_alone(tmp_path)
    with pytest.raises(DistnormError, match=r"a vector per token.*1_Pooling/config\.json"):
        load_encoder(f"onnx:{tmp_path}")
    for content, part in (
        ({"pooling_mode": "weightedmean"}, "pooling 'weightedmean'.*one of: mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "tokens and pooling"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt"),
    ):
        (tmp_path / "1_Pooling").mkdir(exist_ok=True)
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(content))
        with pytest.raises(DistnormError, match=part):
            load_encoder(f"onnx:{tmp_path}")
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    steps = [{"type": f"sentence_transformers.models.{n}"} for n in ("Transformer", "Dense")]
    (tmp_path / "modules.json").write_text(json.dumps(steps))
    with pytest.raises(DistnormError, match="further layers: Dense"):
        load_encoder(f"onnx:{tmp_path}")


def test_the_pooler_of_a_text_model_is_not_taken_for_its_row(tmp_path):
    write(tmp_path / "model.onnx", ear(output="pooler_output"))
    settings(tmp_path)
    with pytest.raises(DistnormError, match="seldom use the pooler"):
        load_encoder(f"onnx:{tmp_path}")
    (tmp_path / "distnorm.json").write_text('{"pooling": "mean"}')
    check(load_encoder(f"onnx:{tmp_path}"), images=False)


def remove(name):
    return lambda folder: (folder / name).unlink()


def replace(name, text):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (remove("text.onnx"), "one of: text.onnx, text_model.onnx"),
        (remove("tokenizer.json"), "no tokenizer.json"),
        (remove("preprocessor_config.json"), "no preprocessor_config.json"),
        (replace("tokenizer.json", "{}"), "save it again"),
        (replace("preprocessor_config.json", "{"), "no JSON"),
        (replace("preprocessor_config.json", '{"size": 9, "do_pad": true}'), "asks for more"),
        (replace("image.onnx", "nothing"), "export it again"),
        (lambda f: write(f / "text.onnx", ear(output="last")), None),
        (lambda f: settings(f, limit=10**30) or write(f / "text.onnx", ear(mask=False)), "length"),
        (lambda f: write(f / "image.onnx", eye(TensorProto.UINT8)), "as tensor.uint8"),
    ],
    ids=[
        "text",
        "tokenizer",
        "pixels",
        "no-tokenizer",
        "json",
        "pads",
        "graph",
        "fine",
        "pad",
        "u8",
    ],
)
def test_a_wrong_folder_gets_one_line(tmp_path, change, part):
    plain(tmp_path)
    settings(tmp_path)
    change(tmp_path)
    if part is None:
        check(load_encoder(f"onnx:{tmp_path}"))
        return
    with pytest.raises(DistnormError, match=part) as caught:
        load_encoder(f"onnx:{tmp_path}").encode_images(pictures())
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_its_unknown_token_gets_one_line(tmp_path):
    plain(tmp_path)
    settings(tmp_path)
    file = tmp_path / "tokenizer.json"
    about = json.loads(file.read_text())
    about["model"]["unk_token"] = "[NONE]"
    file.write_text(json.dumps(about))
    encoder = load_encoder(f"onnx:{tmp_path}")
    for call in (encoder.encode_texts, encoder.count_tokens):
        with pytest.raises(DistnormError, match=r"does not read these texts.*unknown token"):
            call(["zebrafish"])


def test_pixels_of_another_model_get_one_line(tmp_path):
    plain(tmp_path)
    settings(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"size": 10}')
    encoder = load_encoder(f"onnx:{tmp_path}")
    with pytest.raises(DistnormError, match=r"check preprocessor_config\.json"):
        encoder.encode_images(pictures())


def test_wrong_names_and_options_get_one_line(tmp_path, monkeypatch):
    for name in ("", "/nowhere"):
        with pytest.raises(DistnormError, match="write onnx:/path/to/folder"):
            load_encoder(f"onnx:{name}")
    plain(tmp_path)
    settings(tmp_path)
    with pytest.raises(DistnormError, match="onnxruntime-gpu brings cuda"):
        load_encoder(f"onnx:{tmp_path}", device="tpu")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'distnorm\[onnx\]'"):
        load_encoder(f"onnx:{tmp_path}")


@pytest.mark.parametrize("kind", ["clip", "siglip", "blip"])
def test_an_exported_model_gives_the_same_rows(tmp_path, kind):
    pytest.importorskip("torch", reason="exports from torch")
    pytest.importorskip("transformers", reason="exports a model of transformers")
    from hf_models import save

    from distnorm.encoders.onnx.export import export

    save(kind, tmp_path)
    whole = load_encoder(f"hf:{tmp_path}", device="cpu")
    place = export(whole, tmp_path / "exported")
    light = load_encoder(f"onnx:{place}")
    check(light)
    # The same model: its rows and statistics serve both.
    assert light.model_id == whole.model_id
    assert light.prompts == whole.prompts
    assert light.max_tokens == whole.max_tokens
    assert light.temperature == whole.temperature
    np.testing.assert_allclose(
        light.encode_images(pictures()), whole.encode_images(pictures()), atol=1e-4
    )
    texts = [*TEXTS, "dog " * 80]
    np.testing.assert_allclose(light.encode_texts(texts), whole.encode_texts(texts), atol=1e-4)
    assert light.count_tokens(texts).tolist() == whole.count_tokens(texts).tolist()
    assert not list(place.glob("*.part"))


def test_what_cannot_be_exported(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="exports from torch")
    pytest.importorskip("transformers", reason="exports a model of transformers")
    from hf_models import save

    from distnorm.encoders.onnx.export import export

    with pytest.raises(DistnormError, match="an encoder of the family hf"):
        export(load_encoder("builtin"), tmp_path)
    with monkeypatch.context() as without:
        without.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match="pip install onnx"):
            export(load_encoder("builtin"), tmp_path)
    save("clip", tmp_path)
    half = load_encoder(f"hf:{tmp_path}", device="cpu", precision="bfloat16")
    with pytest.raises(DistnormError, match="load it with device='cpu'"):
        export(half, tmp_path)
