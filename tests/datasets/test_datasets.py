"""Loaders on small files of the official formats, and on the real files where they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.datasets import (
    coco_captions,
    coco_ground_truth,
    flickr8k,
    flickr8k_crowdflower,
    flickr8k_expert,
    thumb,
)
from distnorm.metrics.positives import Positives


@pytest.fixture
def flickr(tmp_path):
    lines = [f"{i}.jpg#{n}\tcaption {n} of {i} ." for i in "ab" for n in range(5)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(reversed(lines)) + "\n")
    (tmp_path / "Flickr_8k.testImages.txt").write_text("b.jpg\na.jpg\n")
    (tmp_path / "ExpertAnnotations.txt").write_text(
        "a.jpg\tb.jpg#2\t1\t1\t2\nb.jpg\tb.jpg#1\t4\t4\t4\nb.jpg\ta.jpg#0\t3\t4\t4\n"
    )
    (tmp_path / "CrowdFlowerAnnotations.txt").write_text(
        "a.jpg\ta.jpg#2\t1\t3\t0\na.jpg\tb.jpg#0\t0.25\t1\t3\n"
    )
    return tmp_path


def test_flickr_splits_keep_their_order_and_captions(flickr):
    found = flickr8k(flickr, check=False)
    assert found.images == ("b.jpg", "a.jpg")
    assert found.texts[0] == "caption 0 of b ."
    assert found.image_of_text.tolist() == [0] * 5 + [1] * 5
    with pytest.raises(DistnormError, match="2 images in Flickr8k test"):
        flickr8k(flickr)
    with pytest.raises(DistnormError, match="train, dev, test"):
        flickr8k(flickr, "val")


def test_experts_count_one_by_one_without_the_image_s_own_captions(flickr):
    found = flickr8k_expert(flickr, check=False)
    assert found.images == ("a.jpg", "b.jpg")
    assert found.captions == ("caption 2 of b .",) * 3 + ("caption 0 of a .",) * 3
    assert found.human.tolist() == [1, 1, 2, 3, 4, 4]
    assert found.image_of_caption.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.references[1][4] == "caption 4 of b ."


def test_the_crowd_gives_shares(flickr):
    found = flickr8k_crowdflower(flickr, check=False)
    assert found.human.tolist() == [1, 0.25]
    assert found.captions == ("caption 2 of a .", "caption 0 of b .")
    # A judged caption that is the image's own is no reference of it.
    assert found.references[0] == tuple(f"caption {n} of a ." for n in (0, 1, 3, 4))


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("ExpertAnnotations.txt", "a.jpg\tb.jpg#2\t1\t1\n", "line 1 of"),
        ("ExpertAnnotations.txt", "a.jpg\tb.jpg#2\t1\tx\t1\n", "line 1 of"),
        ("ExpertAnnotations.txt", None, "ExpertAnnotations.txt"),
        ("Flickr8k.token.txt", None, "Flickr8k.token.txt"),
    ],
)
def test_damaged_and_missing_files_are_named(flickr, name, content, part):
    if content is None:
        (flickr / name).unlink()
    else:
        (flickr / name).write_text(content)
    with pytest.raises(DistnormError, match=part):
        flickr8k_expert(flickr, check=False)


def test_thumb_reads_json_lines(tmp_path):
    rows = [
        {"SYS": s, "seg_id": "7", "hyp": f"by {s}", "image": "7.jpg", "human_score": v}
        for s, v in (("VinVL-base", 3.5), ("Human", 5.0))
    ]
    (tmp_path / "mscoco_THumB-1.0.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "mscoco_references.json").write_text('{"seg_id": "7", "refs": ["one", "two"]}\n')
    found = thumb(tmp_path, check=False)
    assert (found.images, found.references) == (("7.jpg",), (("one", "two"),))
    assert found.systems == ("VinVL-base", "Human")
    assert thumb(tmp_path, with_human=False, check=False).human.tolist() == [3.5]
    with pytest.raises(DistnormError, match="2 captions in THumB"):
        thumb(tmp_path)


def test_coco_captions_in_the_order_of_a_split(tmp_path):
    path = tmp_path / "captions_val2014.json"
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in (3, 1, 2)],
        "annotations": [
            {"image_id": i, "id": 100 - n, "caption": f" {i}:{n}\n"}
            for i in (1, 2, 3)
            for n in range(6)
        ],
    }
    path.write_text(json.dumps(content))
    found = coco_captions(path, [2, 1])
    assert found.images == ("2.jpg", "1.jpg")
    assert found.texts[:2] == ("2:5", "2:4")
    assert len(found.texts) == 10
    assert len(coco_captions(path, captions=None).texts) == 18
    with pytest.raises(DistnormError, match="image 9"):
        coco_captions(path, [9])
    path.write_text("{")
    with pytest.raises(DistnormError, match="no JSON"):
        coco_captions(path)


def test_ground_truths_are_checked(tmp_path):
    (tmp_path / "eccv_caption_to_image.json").write_text('{"5": [1, 2]}')
    assert coco_ground_truth(tmp_path, check=False) == {5: (1, 2)}
    with pytest.raises(DistnormError, match="1 captions in eccv"):
        coco_ground_truth(tmp_path)
    with pytest.raises(DistnormError, match=r"cxc_caption_to_image\.json"):
        coco_ground_truth(tmp_path, "cxc")


def test_real_flickr8k_judgements(real_data):
    root = real_data / "flickr8k-human-judgements"
    expert = flickr8k_expert(root)
    assert len(expert.human) == 16992
    assert set(np.unique(expert.human)) == {1, 2, 3, 4}
    assert all(len(refs) == 5 for refs in expert.references)
    crowd = flickr8k_crowdflower(root)
    assert 0 <= crowd.human.min() <= crowd.human.max() <= 1
    assert len(flickr8k(root).texts) == 5000


def test_real_thumb(real_data):
    found = thumb(real_data / "thumb-mscoco")
    assert len(found.human) == 2500
    by_system = {
        name: found.human[np.array(found.systems) == name].mean() for name in set(found.systems)
    }
    # Published: people's captions are judged best.
    assert max(by_system, key=by_system.get) == "Human"


def test_real_coco_and_its_ground_truths(real_data):
    captions = coco_captions(real_data / "coco-val2017-captions" / "captions_val2017.json")
    assert (len(captions.images), len(captions.texts)) == (5000, 25000)
    pairs = {}
    for name in ("original", "cxc", "eccv"):
        truth = coco_ground_truth(real_data / "eccv-caption", name)
        pairs[name] = sum(map(len, truth.values()))
        images = {image: row for row, image in enumerate({i for r in truth.values() for i in r})}
        rows = [[images[i] for i in found] for found in truth.values()]
        Positives.of(rows, len(rows), len(images))
    assert pairs == {"original": 25000, "cxc": 35585, "eccv": 11279}
