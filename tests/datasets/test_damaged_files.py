"""Official files whose fields lack or are of another kind: one line, from every loader."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys

import numpy as np
import pytest

pytest.importorskip("PIL.Image", reason="pictures in miniature")

import miniature

from distnorm import DistnormError, datasets
from distnorm.datasets.cifar100 import cifar100_pixels

cifar100_module = importlib.import_module("distnorm.datasets.cifar100")

BAD = (None, 3, "x", [], {}, [[]], -1, 1e999)


def refused(load, *words, **options):
    with pytest.raises(DistnormError) as caught:
        load(*words, **options)
    assert "\n" not in str(caught.value)


def changed(path, number, change):
    """One JSON line of a file with another value of a field, or without it."""
    lines = path.read_text().splitlines()
    entry = json.loads(lines[number])
    entry.update(change)
    lines[number] = json.dumps({k: v for k, v in entry.items() if v is not Ellipsis})
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("field", ["seg_id", "SYS", "image", "hyp", "human_score"])
def test_thumb_without_a_field(tmp_path, field):
    miniature.thumb(tmp_path, tmp_path / "pictures", images=3)
    whole = (tmp_path / "mscoco_THumB-1.0.jsonl").read_text()
    for value in (Ellipsis, None, [], {}, float("nan")):
        (tmp_path / "mscoco_THumB-1.0.jsonl").write_text(whole)
        changed(tmp_path / "mscoco_THumB-1.0.jsonl", 2, {field: value})
        refused(datasets.thumb, tmp_path, check=False)


@pytest.mark.parametrize(
    "line",
    ["a.jpg\tb.jpg#9\t1\t2\t3", "a.jpg\tb.jpg#-1\t1\t2\t3", "a.jpg\tb.jpg\t1\t2\t3", "a.jpg\t1",
     "a.jpg\tb.jpg#0\tnan\t1\t1", "none.jpg\tb.jpg#0\t1\t1\t1"],
)  # fmt: skip
def test_experts_who_judge_what_is_not_there(tmp_path, line):
    miniature.flickr8k(tmp_path, judged=4, dev=3)
    path = tmp_path / "ExpertAnnotations.txt"
    path.write_text(path.read_text() + line + "\n")
    refused(datasets.flickr8k_expert, tmp_path, check=False)


@pytest.mark.parametrize("votes", ["0.5\t0\t0", "1\t-1\t3", "x\ty\tz", "1\t2", "1\t1\t1\t1"])
def test_a_crowd_without_votes(tmp_path, votes):
    miniature.flickr8k(tmp_path, judged=4, dev=3)
    path = tmp_path / "CrowdFlowerAnnotations.txt"
    image, caption, *_ = path.read_text().splitlines()[0].split("\t")
    path.write_text(f"{image}\t{caption}\t{votes}\n")
    refused(datasets.flickr8k_crowdflower, tmp_path, check=False)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("meta", {b"fine_label_names": [1, 2]}), ("meta", {b"fine_label_names": {}}),
        ("test", {b"fine_labels": None}), ("test", {b"fine_labels": ["x"] * 8}),
        ("test", {b"fine_labels": [[1]]}), ("test", {b"fine_labels": 3}),
    ],
)  # fmt: skip
def test_cifar100_of_other_fields(tmp_path, name, change):
    miniature.cifar100(tmp_path)
    path = next(tmp_path.rglob(name))
    content = pickle.loads(path.read_bytes(), encoding="bytes")
    path.write_bytes(pickle.dumps({**content, **change}))
    refused(datasets.cifar100, tmp_path, check=False)


@pytest.mark.parametrize("data", [None, "x", np.zeros((2, 5), np.uint8), np.zeros((1, 3072))])
def test_cifar100_of_other_pixels(tmp_path, data):
    miniature.cifar100(tmp_path)
    path = next(tmp_path.rglob("test"))
    content = pickle.loads(path.read_bytes(), encoding="bytes")
    path.write_bytes(pickle.dumps({**content, b"data": data}))
    refused(cifar100_pixels, tmp_path, "test")


@pytest.mark.parametrize(
    "content",
    ["[]", "3", '{"0": ["n1"]}', '{"0": "n1"}', '{"0": [1, 2]}', "[" * 99_999, "{", '{"0": null}'],
)
def test_a_class_index_of_another_form(tmp_path, content):
    miniature.imagenet(tmp_path, flat="kaggle")
    for path in tmp_path.glob("LOC_synset_mapping.txt"):
        path.unlink()
    (tmp_path / "imagenet_class_index.json").write_text(content)
    refused(datasets.imagenet, tmp_path, check=False)


def test_a_solution_without_its_columns(tmp_path):
    miniature.imagenet(tmp_path, flat="kaggle")
    (tmp_path / "LOC_val_solution.csv").write_text("a,b\n1,2\n")
    refused(datasets.imagenet, tmp_path, check=False)


@pytest.mark.parametrize("value", BAD)
def test_annotations_of_another_kind(tmp_path, value):
    miniature.karpathy(tmp_path, "coco", test=3, val=2)
    path = tmp_path / "dataset_coco.json"
    whole = json.loads(path.read_text())
    for field in ("split", "sentences", "filename", "cocoid"):
        other = json.loads(json.dumps(whole))
        other["images"][0][field] = value
        path.write_text(json.dumps(other))
        try:
            datasets.karpathy(tmp_path, "coco", check=False)
        except DistnormError:
            continue
        assert field != "sentences" or value == []
    path.write_text(json.dumps({"images": value}))
    refused(datasets.karpathy, tmp_path, "coco")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks on Linux alone")
def test_a_pickle_that_ends_its_reader_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "test").write_bytes(pickle.dumps({b"fine_labels": [1]}))
    own, read = os.getpid(), cifar100_module._loaded

    def ending(path):
        if os.getpid() != own:
            os.abort()
        return read(path)

    monkeypatch.setattr(cifar100_module, "_loaded", ending)
    with pytest.raises(DistnormError, match=r"ends the process that reads it.*get it again"):
        cifar100_module.cifar100_pixels(tmp_path, "test")
