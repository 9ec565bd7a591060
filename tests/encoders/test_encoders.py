"""The table of families: light to import, and helpful where something is missing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from distnorm import DistnormError, MissingExtraError, load_encoder
from distnorm.encoders import FAMILIES, hub, list_encoders, torch_encoder
from distnorm.encoders.fingerprints import file_digest, folder_digest, one_line
from distnorm.encoders.pixels import Pixels
from distnorm.encoders.processor import recipe

# Family: the package that it cannot do without, and a name to ask for.
NEEDS = {
    "albef": ("timm", "x.pth"),
    "builtin": ("onnxruntime", ""),
    "hf": ("transformers", "org/model"),
    "onnx": ("onnxruntime", "folder"),
    "open_clip": ("open_clip", "ViT-B-32/random"),
    "st": ("sentence_transformers", "org/model"),
    "tcl": ("timm", "x.pth"),
}


def test_an_unknown_family_lists_what_is_possible():
    with pytest.raises(DistnormError) as caught:
        load_encoder("clipp:ViT-B-32")
    for name, family in FAMILIES.items():
        line = f"{name} (pip install 'distnorm[{family.extra}]')"
        assert (line if family.extra else name) in str(caught.value)
    assert "[]" not in str(caught.value)
    assert set(NEEDS) == {name for name, family in FAMILIES.items() if family.extra}


def test_families_are_listed_with_what_to_install_and_how_to_name_a_model(monkeypatch):
    assert [family.name for family in list_encoders()] == list(FAMILIES)
    for family in list_encoders():
        assert family.example.partition(":")[0] == family.name
        assert family.to_dict()["extra"] == family.extra
    family = FAMILIES["st"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name != "torch" or None)
    assert not family.installed
    assert "pip install 'distnorm[st]'" in repr(family)
    assert FAMILIES["open_clip"].pretrained() == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert family.installed
    assert repr(family) == "Family('st', 'st:clip-ViT-B-32', installed)"
    assert family.pretrained() == []


def test_published_weights_are_listed_without_loading_any():
    pytest.importorskip("open_clip", reason="lists its own weights")
    assert ("ViT-B-32", "laion2b_s34b_b79k") in FAMILIES["open_clip"].pretrained()


@pytest.mark.parametrize("family", list(NEEDS))
def test_a_missing_package_is_named_with_its_pip_line(family, monkeypatch):
    package, name = NEEDS[family]
    monkeypatch.setitem(sys.modules, package, None)
    line = rf"no module '{package}'.*pip install 'distnorm\[{FAMILIES[family].extra}\]'"
    with pytest.raises(MissingExtraError, match=line):
        load_encoder(f"{family}:{name}" if name else family)


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "behind-another-error"])
def test_a_torchvision_of_another_build_is_explained(monkeypatch, wrapped):
    def broken(*_):
        try:
            raise RuntimeError("operator torchvision::nms does not exist")
        except RuntimeError as error:
            if not wrapped:
                raise
            raise ModuleNotFoundError("Could not import module 'CLIPImageProcessor'") from error

    monkeypatch.setattr(torch_encoder, "require", broken)
    with pytest.raises(DistnormError, match="reinstall both from one index"):
        torch_encoder.require_vision("open_clip", "open-clip")
    with (
        pytest.raises(DistnormError, match="both of one build"),
        hub.explained("hf:x", "a model"),
    ):
        broken()


def test_an_import_that_fails_otherwise_is_not_put_down_to_torchvision(monkeypatch):
    def broken(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(torch_encoder, "require", broken)
    with pytest.raises(RuntimeError, match="something else"):
        torch_encoder.require_vision("open_clip", "open-clip")


def test_every_extra_is_in_the_project_file(project):
    text = (project / "pyproject.toml").read_text("utf-8")
    for family in FAMILIES.values():
        assert not family.extra or f"\n{family.extra} = [" in text


def test_families_cost_nothing_until_they_are_used():
    code = (
        "import sys; import distnorm.encoders\n"
        "import importlib\n"
        "for family in distnorm.encoders.list_encoders():\n"
        "    assert isinstance(family.installed, bool)\n"
        "    importlib.import_module('distnorm.encoders.' + family.loader.partition(':')[0])\n"
        "heavy = {'torch', 'transformers', 'open_clip', 'timm', 'onnxruntime', 'PIL',\n"
        "         'sentence_transformers', 'tokenizers', 'torchvision'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"size": {"shortest_edge": 24}, "crop_size": {"height": 20, "width": 16}},
            Pixels((20, 16), before=(24, 24), centre="floor"),
        ),
        (
            {"size": 24, "crop_size": 20, "image_processor_type": "CLIPImageProcessor"},
            Pixels((20, 20), before=(24, 24), centre="floor"),
        ),
        (
            {"size": [20, 16], "do_center_crop": False, "resample": "bilinear"},
            Pixels((20, 16), "squash", resample=2, before=(20, 16), centre="floor"),
        ),
        (
            {"size": {"height": 8, "width": 8}, "do_normalize": False, "do_center_crop": False},
            Pixels((8, 8), "squash", (0,) * 3, (1,) * 3, before=(8, 8), centre="floor"),
        ),
        (
            {"size": 8, "rescale_factor": 1 / 127.5, "rescale_offset": True, "image_std": 0.5},
            Pixels((8, 8), "squash", (0.75,) * 3, (0.25,) * 3, before=(8, 8), centre="floor"),
        ),
        ({"size": {"shortest_edge": 24}, "do_center_crop": False}, None),
        ({"size": {"shortest_edge": 24, "longest_edge": 40}}, None),
        ({"size": 8, "crop_size": 9, "do_center_crop": True}, None),
        ({"size": 8, "do_resize": False}, None),
        ({"patch_size": 16, "size": 8}, None),
        ({}, None),
    ],
)
def test_image_settings_of_the_hub(settings, expected):
    if "shortest_edge" in str(settings.get("size")):
        settings.setdefault("do_center_crop", True)
    found = recipe(settings)
    if expected is None:
        assert found is None
        return
    np.testing.assert_allclose(found.mean, expected.mean)
    np.testing.assert_allclose(found.std, expected.std)
    same = ("size", "resize", "resample", "before", "centre", "fill")
    assert [getattr(found, name) for name in same] == [getattr(expected, name) for name in same]


def test_digests_tell_files_apart_by_content(tmp_path):
    for place, content in (("a", b"1" * 40_000_000), ("b", b"1" * 40_000_000), ("c", b"2" * 99)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "model.safetensors").write_bytes(content)
    a, b, c = (file_digest(tmp_path / place / "model.safetensors") for place in "abc")
    assert a == b != c
    assert folder_digest(tmp_path / "a") == a
    with (tmp_path / "b" / "model.safetensors").open("r+b") as file:
        file.seek(20_000_000)
        file.write(b"3" * 1_000_000)
    assert file_digest(tmp_path / "b" / "model.safetensors") != a
    for place, same in (("onnx", True), ("checkpoint-500", True), ("2_Dense", False), (".", False)):
        before = folder_digest(tmp_path / "a")
        (tmp_path / "a" / place).mkdir(exist_ok=True)
        (tmp_path / "a" / place / "more.bin").write_bytes(b"4")
        assert (folder_digest(tmp_path / "a") == before) is same


def test_long_errors_become_one_short_line():
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(ValueError()) == "ValueError"
    assert len(one_line(ValueError("x" * 999))) == 240
