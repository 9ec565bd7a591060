"""Loaders of the paper's data sets on small files of the official formats."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from distnorm import DistnormError, datasets
from distnorm.datasets.base import LabelledImages
from distnorm.datasets.cifar100 import cifar100_pixels, save_pictures
from distnorm.datasets.coco import read_ids
from distnorm.datasets.flickr8k import token_captions
from distnorm.datasets.imagenet import imagenet_names

Image = pytest.importorskip("PIL.Image", reason="miniature data sets are drawn with Pillow")

import miniature


@pytest.fixture
def mat():
    return pytest.importorskip("scipy.io", reason="MATLAB files need SciPy")


def test_karpathy_splits(tmp_path):
    miniature.karpathy(tmp_path, "coco", test=3, val=2)
    found = datasets.karpathy(tmp_path, "coco", check=False)
    assert found.images[1] == "val2014/COCO_val2014_000000000001.jpg"
    assert len(found.texts) == 15
    assert (found.image_ids[2], found.text_ids[10]) == (1002, 10)
    assert datasets.karpathy(tmp_path, "coco", "val", check=False).image_ids == (1003, 1004)
    with pytest.raises(DistnormError, match="3 images in coco test; expected 5000"):
        datasets.karpathy(tmp_path, "coco")
    with pytest.raises(DistnormError, match="one of train, val, test"):
        datasets.karpathy(tmp_path, "flickr30k", "restval")
    with pytest.raises(DistnormError, match=r"dataset_flickr30k\.json"):
        datasets.karpathy(tmp_path, "flickr30k")
    (tmp_path / "dataset_coco.json").write_text('{"images": [{"split": "test"}]}')
    with pytest.raises(DistnormError, match="Karpathy's format"):
        datasets.karpathy(tmp_path, "coco")


def test_coco_by_caption_ids(tmp_path):
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in (3, 1, 2)],
        "annotations": [
            {"image_id": i, "id": 10 * i + n, "caption": f"{i}:{n}"}
            for i in (1, 2, 3)
            for n in range(6)
        ],
    }
    path = tmp_path / "captions_val2014.json"
    path.write_text(json.dumps(content))
    np.save(tmp_path / "ids.npy", np.array([31, 12, 11]))
    found = datasets.coco_captions(path, caption_ids=read_ids(tmp_path / "ids.npy"))
    assert found.texts == ("1:1", "1:2", "3:1")
    assert (found.image_ids, found.text_ids) == ((1, 3), (11, 12, 31))
    with pytest.raises(DistnormError, match="caption 99"):
        datasets.coco_captions(path, caption_ids=[11, 99])
    with pytest.raises(DistnormError, match="one split"):
        datasets.coco_captions(path, [1], caption_ids=[11])
    (tmp_path / "ids.txt").write_text("1\n2 x\n")
    with pytest.raises(DistnormError, match="whole numbers"):
        read_ids(tmp_path / "ids.txt")
    (tmp_path / "ids.json").write_text("[3, 1]")
    assert read_ids(tmp_path / "ids.json") == (3, 1)


def test_flickr30k_tokens(tmp_path):
    miniature.flickr30k_tokens(tmp_path)
    found = datasets.flickr30k(tmp_path, check=False)
    assert found.images == ("0.jpg", "1.jpg", "2.jpg", "3.jpg")
    assert found.image_of_text.tolist() == sorted([0, 1, 2, 3] * 5)
    assert datasets.flickr30k(tmp_path, "val", check=False).images[0] == "4.jpg"
    with pytest.raises(DistnormError, match="4 images in Flickr30K test; expected 1000"):
        datasets.flickr30k(tmp_path)
    (tmp_path / "flickr30k_test.txt").write_text("unknown\n")
    with pytest.raises(DistnormError, match=r"unknown\.jpg of"):
        datasets.flickr30k(tmp_path, check=False)
    with pytest.raises(DistnormError, match="train, val, test"):
        datasets.flickr30k(tmp_path, "dev")


def test_judgements_in_json(tmp_path):
    miniature.flickr8k_json(tmp_path)
    for name, label in (("expert", "flickr8k-expert"), ("crowdflower", "flickr8k-cf")):
        found = datasets.flickr8k_json(tmp_path, name, check=False)
        assert found.name == label
        assert found.images == ("7.jpg",)
        assert found.captions == ("a cat .", "a dog")
        assert found.human.tolist() == [1, 4]
        assert found.references == (("a dog runs .", "the dog"),)
    with pytest.raises(DistnormError, match=r"2 judgements in flickr8k\.json; expected 16992"):
        datasets.flickr8k_json(tmp_path)
    with pytest.raises(DistnormError, match="expert, crowdflower"):
        datasets.flickr8k_json(tmp_path, "crowd")
    (tmp_path / "flickr8k.json").write_text('{"7": {}}')
    with pytest.raises(DistnormError, match="CLIPScore's format"):
        datasets.flickr8k_json(tmp_path)


@pytest.mark.parametrize("flat", [None, "kaggle", "devkit"])
def test_imagenet_in_every_layout(tmp_path, flat, request):
    if flat == "devkit":
        request.getfixturevalue("mat")
    labels = miniature.imagenet(tmp_path, flat=flat)
    found = datasets.imagenet(tmp_path, check=False)
    assert found.classes == ("tench", "crane", "crane")
    by_picture = {
        Path(name).stem: label for name, label in zip(found.images, found.labels, strict=True)
    }
    assert [by_picture[f"ILSVRC2012_val_{n + 1:08d}"] for n in range(9)] == labels
    assert (tmp_path / found.images[0]).is_file()
    assert len(datasets.imagenet(tmp_path, "train", check=False).images) == 12
    with pytest.raises(DistnormError, match="9 images in ImageNet val; expected 50000"):
        datasets.imagenet(tmp_path)


def test_imagenet_names_from_any_list(tmp_path):
    miniature.imagenet(tmp_path)
    (tmp_path / "names.txt").write_text("tench\nbird crane\nmachine crane\n")
    found = datasets.imagenet(tmp_path, names=tmp_path / "names.txt", check=False)
    assert found.classes[1:] == ("bird crane", "machine crane")
    (tmp_path / "names.json").write_text('["a", "b"]')
    with pytest.raises(DistnormError, match="2 class names for 3 synsets"):
        datasets.imagenet(tmp_path, names=tmp_path / "names.json", check=False)
    index = {"0": ["n01440764", "great_tench"], "1": ["n02012849", "crane"]}
    (tmp_path / "imagenet_class_index.json").write_text(json.dumps(index))
    assert imagenet_names(tmp_path)["n01440764"] == "great tench"
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n")
    with pytest.raises(DistnormError, match="val or train"):
        datasets.imagenet(tmp_path, "test")


def test_cifar100_is_unpickled_without_code(tmp_path):
    miniature.cifar100(tmp_path)
    found = datasets.cifar100(tmp_path, check=False)
    assert len(found.images) == 24
    assert found.classes[0] == "blue circle"
    kept, labels, _ = miniature.labelled(24)
    assert found.labels.tolist() == labels
    pixels = np.asarray(kept[3].image().resize((32, 32)))
    np.testing.assert_array_equal(cifar100_pixels(tmp_path)[3], pixels)
    paths = save_pictures(tmp_path, tmp_path / "out", "test", [3])
    np.testing.assert_array_equal(np.asarray(Image.open(paths[0])), pixels)
    with pytest.raises(DistnormError, match="24 images in CIFAR-100 test; expected 10000"):
        datasets.cifar100(tmp_path)
    with pytest.raises(DistnormError, match="train or test"):
        datasets.cifar100(tmp_path, "val")


class Harmful:
    def __reduce__(self):
        return (exec, ("raise SystemExit",))


@pytest.mark.parametrize("content", [pickle.dumps(Harmful()), b"no pickle", pickle.dumps([1])])
def test_a_pickle_of_anything_else_is_refused(tmp_path, content):
    miniature.cifar100(tmp_path, test=2, train=2)
    (tmp_path / "cifar-100-python" / "test").write_bytes(content)
    with pytest.raises(DistnormError, match="the official pickle"):
        datasets.cifar100(tmp_path, check=False)


def test_sun397_keeps_indoor_and_outdoor_apart(tmp_path):
    miniature.sun397(tmp_path)
    found = datasets.sun397(tmp_path, check=False)
    assert found.classes == ("abbey", "outdoor athletic field", "shop bakery")
    assert found.images[0] == "SUN397/a/abbey/sun_testing0.jpg"
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert "training" in datasets.sun397(tmp_path, "train", check=False).images[0]
    with pytest.raises(DistnormError, match="9 images in SUN397 test; expected 19850"):
        datasets.sun397(tmp_path)
    with pytest.raises(DistnormError, match="1 to 10"):
        datasets.sun397(tmp_path, partition=11)
    with pytest.raises(DistnormError, match=r"Testing_02\.txt"):
        datasets.sun397(tmp_path, partition=2)
    (tmp_path / "ClassName.txt").write_text("/a/abbey\n")
    with pytest.raises(DistnormError, match="of no class"):
        datasets.sun397(tmp_path, check=False)


def test_stanford_cars(tmp_path, mat):
    miniature.stanford_cars(tmp_path)
    found = datasets.stanford_cars(tmp_path, check=False)
    _, labels, names = miniature.labelled(6, 5)
    assert found.labels.tolist() == labels
    assert list(found.classes) == names
    assert found.images[0] == "cars_test/00001.jpg"
    assert len(datasets.stanford_cars(tmp_path, "train", check=False).images) == 4
    with pytest.raises(DistnormError, match="6 images in Stanford Cars test; expected 8041"):
        datasets.stanford_cars(tmp_path)
    mat.savemat(tmp_path / "cars_test_annos_withlabels.mat", {"other": 1})
    with pytest.raises(DistnormError, match="without annotations"):
        datasets.stanford_cars(tmp_path)
    (tmp_path / "cars_test_annos_withlabels.mat").write_bytes(b"no matrix")
    with pytest.raises(DistnormError, match="MATLAB"):
        datasets.stanford_cars(tmp_path)


def test_caltech101_leaves_out_what_is_no_class(tmp_path):
    folder = tmp_path / "101_ObjectCategories"
    miniature.class_folders(folder, each=2)
    for name in ("BACKGROUND_Google", "Faces", "Faces_easy"):
        miniature.save(miniature.scenes(1)[0], folder / name / "image_0001.jpg")
    found = datasets.caltech101(tmp_path, check=False)
    assert "background google" not in found.classes
    assert {"faces", "faces easy", "red circle"} <= set(found.classes)
    fewer = datasets.caltech101(tmp_path, faces_easy=False, check=False)
    assert len(fewer.classes) == len(found.classes) - 1
    with pytest.raises(DistnormError, match="images in Caltech-101; expected 8677"):
        datasets.caltech101(tmp_path)


def test_flowers102(tmp_path, mat):
    miniature.flowers102(tmp_path)
    found = datasets.flowers102(tmp_path, check=False)
    _, labels, names = miniature.labelled(12, 6)
    assert found.labels.tolist() == labels[:7]
    assert list(found.classes) == names
    assert found.images[6] == "jpg/image_00007.jpg"
    val = datasets.flowers102(tmp_path, "val", check=False)
    assert val.labels.tolist() == labels[7:]
    (tmp_path / "named.json").write_text(json.dumps({str(n + 1): c for n, c in enumerate(names)}))
    named = datasets.flowers102(tmp_path, names=tmp_path / "named.json", check=False)
    assert named.classes == found.classes
    with pytest.raises(DistnormError, match="7 images in Flowers-102 test; expected 6149"):
        datasets.flowers102(tmp_path)
    with pytest.raises(DistnormError, match="train, val, test"):
        datasets.flowers102(tmp_path, "dev")


def test_class_folders(tmp_path):
    counts = miniature.class_folders(tmp_path, each=2)
    found = datasets.class_folders(tmp_path)
    assert found.classes[0] == "blue circle"
    assert len(found.images) == sum(counts.values())
    (tmp_path / "classes.txt").write_text("one\n")
    with pytest.raises(DistnormError, match=r"1 lines in classes\.txt"):
        datasets.class_folders(tmp_path)
    with pytest.raises(DistnormError, match="two at least"):
        datasets.class_folders(tmp_path, "blue_circle")
    with pytest.raises(DistnormError, match="without class folders"):
        datasets.class_folders(tmp_path, "test")
    with pytest.raises(DistnormError, match="labels 0 to 5 in x"):
        LabelledImages("x", ("a", "b"), np.array([0, 5]), ("one", "two"))
    with pytest.raises(DistnormError, match="0 images and 0 labels"):
        LabelledImages("x", (), np.zeros(0, dtype=np.intp), ("one", "two"))


def test_splits_are_no_classes(tmp_path):
    for name in ("train/cat/1.jpg", "val/cat/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DistnormError, match="name it: split='train'"):
        datasets.class_folders(tmp_path)
    (tmp_path / "train/dog/2020").mkdir(parents=True)
    with pytest.raises(DistnormError, match=r"dog with folders and no pictures.*move them up"):
        datasets.class_folders(tmp_path, "train")


def test_pascal50s(tmp_path, mat):
    miniature.pascal50s(tmp_path)
    found = datasets.pascal50s(tmp_path, check=False)
    assert len(found.first) == 24
    assert found.images[0] == "2008_000000.jpg"
    assert found.image_of_pair.tolist() == [pair // 2 for pair in range(24)]
    assert found.categories[:4] == ("HC", "HI", "HM", "MM")
    # 40 of 48 people preferred the true caption, which is the second of every third pair.
    assert found.votes[:3].tolist() == [[8, 40], [40, 8], [40, 8]]
    assert all(len(texts) == 48 for texts in found.references)
    assert found.first[1] == miniature.scenes(12, seed=11)[0].captions()[1]
    with pytest.raises(DistnormError, match="6 HC in Pascal-50S; expected 1000"):
        datasets.pascal50s(tmp_path)
    mat.savemat(tmp_path / "consensus_pascal.mat", {"triplets": np.zeros((1, 5))})
    with pytest.raises(DistnormError, match="5 triplets of 24 pairs"):
        datasets.pascal50s(tmp_path)


def test_ground_truths_of_images(tmp_path):
    miniature.eccv(tmp_path)
    forth = datasets.coco_ground_truth(tmp_path, "eccv", check=False)
    back = datasets.coco_ground_truth(tmp_path, "eccv", queries="image", check=False)
    assert {(c, i) for c, found in forth.items() for i in found} == {
        (c, i) for i, found in back.items() for c in found
    }
    with pytest.raises(DistnormError, match="caption or image"):
        datasets.coco_ground_truth(tmp_path, "eccv", queries="text")


def test_real_ground_truths_of_images(real_data):
    root = real_data / "eccv-caption"
    for name in ("original", "cxc", "eccv"):
        truth = datasets.coco_ground_truth(root, name, queries="image")
        assert min(map(len, truth.values())) >= 1
    ids = read_ids(root / "coco_test_ids.npy")
    assert set(ids) == set(datasets.coco_ground_truth(root, "original"))


def test_what_experts_and_crowd_agree_on(real_data):
    root = real_data / "flickr8k-human-judgements"
    scores = datasets.flickr8k_expert(root).human.reshape(-1, 3)
    assert len(scores) == 5664
    spread = scores.max(axis=1) - scores.min(axis=1)
    assert (spread == 0).mean() == pytest.approx(0.573, abs=5e-4)
    assert (spread <= 1).mean() == pytest.approx(0.972, abs=5e-4)
    counts = np.stack([(scores == level).sum(axis=1) for level in (1, 2, 3, 4)], axis=1)
    share = counts.sum(axis=0) / counts.sum()
    agreed = ((counts**2).sum(axis=1).mean() - 3) / 6
    kappa = (agreed - (share**2).sum()) / (1 - (share**2).sum())
    assert kappa == pytest.approx(0.488, abs=5e-4)


def test_the_crowd_says_yes_to_own_captions(real_data):
    root = real_data / "flickr8k-human-judgements"
    found = datasets.flickr8k_crowdflower(root)
    table = token_captions(root / "Flickr8k.token.txt")
    own = np.array(
        [
            text in table[found.images[row]]
            for text, row in zip(found.captions, found.image_of_caption, strict=True)
        ]
    )
    assert len(found.human) == 47288
    assert found.human[own].mean() == pytest.approx(0.912, abs=5e-4)
    assert found.human[~own].mean() == pytest.approx(0.056, abs=5e-4)
    assert (found.human > 0.5).mean() == pytest.approx(0.057, abs=5e-4)
    # Judged captions of the image itself have left its references.
    for row in np.unique(found.image_of_caption[own])[:50]:
        judged = {
            t for t, r in zip(found.captions, found.image_of_caption, strict=True) if r == row
        }
        assert len(found.references[row]) + len(judged & set(table[found.images[row]])) == 5


def test_thumb_s_published_means(real_data):
    # Table 1 of Kasai et al. 2022: totals of the four systems and of people.
    found = datasets.thumb(real_data / "thumb-mscoco")
    published = {
        "Up-Down": 3.88,
        "Unified-VLP": 4.06,
        "VinVL-base": 4.21,
        "VinVL-large": 4.25,
        "Human": 4.56,
    }
    systems = np.array(found.systems)
    for name, total in published.items():
        assert found.human[systems == name].mean() == pytest.approx(total, abs=0.006)
