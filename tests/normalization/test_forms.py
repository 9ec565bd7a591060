"""Files whose checksum is right and whose content is not: one line, or they mean what they say."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, load, make, storage
from distnorm.monitoring.card import build_card, card_markdown
from distnorm.normalization.notes import Notes

BAD = (None, "x", -1, 0, 2.5, 1e301, True, [], {}, [[]], {"image": None}, [-1.0, 2.0])


def rows(n, seed=0):
    x = np.random.default_rng(seed).normal(0.3, 1, (n, 8))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def full(method):
    """A normalization with every kind of note."""
    norm = make(method).fit(images=rows(30), texts=rows(40, 1))
    if method == "auto":
        norm.choose()
    norm.calibrate(images=rows(20, 2), texts=rows(20, 3))
    if method == "dn":
        pytest.importorskip("sklearn", reason="P(match)")
        norm.calibrate_probability(images=rows(20, 2), texts=rows(20, 3), prior=0.1)
    side = {"skewness": 1.0, "occupancy": 0.5}
    hubs = {"rows": {"image": 30}, "image": {"before": side, "after": side}}
    fitted_on = {
        "samples": None,
        "seed": 0,
        "inputs": {"image": [{"name": "x.npy"}, {"store": "s", "id": "a", "commit": 3}]},
    }
    kept = {key: getattr(norm.notes, key) for key in ("selection", "calibration", "probability")}
    norm.notes = Notes(**kept, hubs=hubs, data="photos", fitted_on=fitted_on)
    return norm


def places(value, path=()):
    """Every place of a JSON value, of long lists only the first."""
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*path, key))
    elif isinstance(value, list):
        for at, part in enumerate(value[:2]):
            yield from places(part, (*path, at))


def changed(settings, path, value, *, drop=False):
    result = copy.deepcopy(settings)
    owner = result
    for key in path[:-1]:
        owner = owner[key]
    if drop:
        del owner[path[-1]]
    else:
        owner[path[-1]] = value
    return result


def use(path):
    """Everything that reads settings and notes."""
    norm = load(path)
    norm.similarity(rows(3), rows(2))
    json.dumps(norm.to_dict(), allow_nan=False)
    card_markdown(build_card(norm, name="n", checksum="c"))
    if norm.notes.calibration is not None:
        norm.threshold(1e-3)
    if norm.notes.probability is not None:
        norm.probability(np.zeros(3))
    if norm.selection is not None:
        repr(norm.selection)


@pytest.mark.parametrize("method", ["dn", "auto", "dn2"])
def test_no_settings_are_a_traceback(tmp_path, method):
    path = tmp_path / "n.safetensors"
    full(method).save(path)
    use(path)
    settings, tensors, _ = storage.read(path)
    everywhere = [place for place in places(settings) if place]
    dice = np.random.default_rng(0)
    refused = 0
    for number, place in enumerate(everywhere[:: 1 + len(everywhere) // 150]):
        drop = bool(number % 3 == 0)
        value = BAD[dice.integers(len(BAD))]
        storage.write(path, changed(settings, place, value, drop=drop), tensors)
        try:
            use(path)
        except DistnormError:
            refused += 1
    assert number > 60
    assert refused > number / 2


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("statistics", "image", "count"), 300), (("statistics", "image", "count"), -5),
        (("counts", "image"), 7), (("dimension",), 0), (("sides",), ["image"]),
        (("sides",), ["photo", "text"]), (("strength", "text"), "0.5"),
        (("notes", "calibration", "knots", "rate"), []), (("notes", "fitted_on", "inputs"), []),
        (("notes", "calibration", "knots", "score", 0), 1e9), (("notes", "data"), 3),
    ],
)  # fmt: skip
def test_contradictions_are_refused(tmp_path, place, value):
    path = tmp_path / "n.safetensors"
    full("dn2").save(path)
    settings, tensors, _ = storage.read(path)
    storage.write(path, changed(settings, place, value), tensors)
    with pytest.raises(DistnormError, match=r"n\.safetensors"):
        load(path)


@pytest.mark.parametrize("method", ["dn2", "nnn"])
def test_tensors_that_cannot_be_statistics_are_refused(tmp_path, method):
    path = tmp_path / "n.safetensors"
    make(method).fit(images=rows(30), texts=rows(40, 1)).save(path)
    settings, tensors, _ = storage.read(path)
    extra = "image.second" if method == "dn2" else "image.bank"
    # A sketch may have no points of rows, as older files have no sketch.
    needed = {name for name in tensors if name.startswith("image.")} - {"image.sketch_points"}
    changes = [
        {"image.sum": tensors["image.sum"] * np.nan},
        {"image.sum": tensors["image.sum"] * 100},
        {"image.sum": tensors["image.sum"].astype(int)},
        {"image.sum": tensors["image.sum"][:3]},
        {"image.totals": -tensors["image.totals"]},
        {"image.totals": tensors["image.totals"][:1]},
        {extra: tensors[extra][1:]},
        {extra: tensors[extra].ravel()},
        {extra: tensors[extra] * np.inf},
        *({name: None} for name in tensors if name in needed),
    ]
    for change in changes:
        left = {key: value for key, value in {**tensors, **change}.items() if value is not None}
        with np.errstate(invalid="ignore"):
            storage.write(path, settings, left)
        with pytest.raises(DistnormError, match=r"n\.safetensors"):
            load(path)


def test_deep_and_infinite_settings_are_refused(tmp_path):
    path = tmp_path / "n.safetensors"
    norm = make("dn").fit(images=rows(30))
    norm.notes = Notes(data=None, other={"mine": float("nan")})
    with pytest.raises(DistnormError, match="finite"):
        norm.save(path)
    assert not path.exists()


@pytest.mark.parametrize("method", list(distnorm.METHODS))
def test_saving_twice_gives_the_same_bytes(tmp_path, method):
    norm = make(method, input="any").fit(images=rows(30), texts=rows(40, 1))
    if method in ("dn", "auto"):
        norm.calibrate(images=rows(20, 2), texts=rows(20, 3))
    contents = set()
    for number in range(4):
        norm.save(tmp_path / f"{number}")
        contents.add((tmp_path / f"{number}").read_bytes())
    load(tmp_path / "0").save(tmp_path / "again")
    assert contents == {(tmp_path / "again").read_bytes()}
