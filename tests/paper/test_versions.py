"""The two versions of the authors' scripts, each against its formula written out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm import DistnormError, kendall_tau, normalize
from distnorm.cli.main import cli

pytest.importorskip("PIL.Image", reason="photos need Pillow")
pytest.importorskip("pyarrow.parquet", reason="stores need pyarrow")
pytest.importorskip("onnxruntime", reason="the built-in model needs onnxruntime")
pytest.importorskip("jinja2", reason="the page needs jinja2")
pytest.importorskip("scipy.io", reason="Pascal-50S comes in MATLAB files")

import miniature

from distnorm import datasets
from distnorm.datasets.cifar100 import save_pictures
from distnorm.embedding.pictures import open_picture
from distnorm.paper import Protocol, run_benchmark
from distnorm.paper.prepared import Context
from distnorm.paper.protocols import AUTHORS_PREFIX, draw_pool
from distnorm.paper.sources import find_source

VERSIONS = ("authors-first", "authors-later")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    miniature.karpathy(root / "coco", "coco", test=20, val=12)
    miniature.eccv(root / "eccv-caption", test=20)
    miniature.cifar100(root / "cifar100", test=20, train=20)
    miniature.flickr8k(root / "flickr8k")
    miniature.pascal50s(root / "pascal50s", pairs=28)
    return root


@pytest.fixture(scope="module")
def encoder():
    return distnorm.load_encoder("builtin")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


def evaluated(encoder, data, stores, name, task, **options):
    protocol = Protocol(name, samples=8, seeds=2)
    return run_benchmark(
        encoder, "builtin", data, stores, tasks=[task], protocol=protocol, check=False, **options
    )


def cell_of(found, method, *, references=False, dataset=None):
    return next(
        c
        for c in found.cells
        if (c.method, c.references) == (method, references) and dataset in (None, c.dataset)
    )


def rows_of(encoder, paths, **options):
    return encoder.encode_images([open_picture(path)[0] for path in paths], **options)


def hits(images, texts, owner):
    """Recall@1 of texts for images and of images for texts."""
    scores = texts @ images.T
    return {
        "image_retrieval_recall@1": (scores.argmax(axis=1) == owner).mean(),
        "text_retrieval_recall@1": (owner[scores.argmax(axis=0)] == np.arange(len(images))).mean(),
    }


def retrieval_rows(encoder, data):
    test, pool = (datasets.karpathy(data / "coco", "coco", s, check=False) for s in ("test", "val"))
    for split in (test, pool):
        yield rows_of(encoder, [data / "coco" / name for name in split.images])
        yield encoder.encode_texts([AUTHORS_PREFIX + text for text in split.texts])
    yield test.image_of_text


def test_retrieval_of_the_first_version_takes_the_means_of_the_test_rows(data, encoder, stores):
    found = evaluated(encoder, data, stores, "authors-first", "coco")
    images, texts, _, _, owner = retrieval_rows(encoder, data)
    wanted = hits(images - images.mean(axis=0) / 4, texts - texts.mean(axis=0) / 4, owner)
    cell = cell_of(found, "dn*", dataset="coco")
    for name, value in wanted.items():
        assert cell.metrics[name].mean == pytest.approx(value, abs=1e-9)
        assert cell.metrics[name].std == 0
    assert cell.settings["transductive"] is True
    assert cell.settings["statistics"] == "the evaluated rows"
    assert cell.settings["script_method"] == "dn*"
    assert cell.settings["n_fit"] == {"image": 20, "text": 100}
    # All rows are evaluated, so that the extended ground truths have their cells.
    assert cell_of(found, "dn*", dataset="coco-eccv").metrics["image_retrieval_map@r"].mean > 0


def test_retrieval_of_the_later_version_draws_images_and_texts_apart(data, encoder, stores):
    found = evaluated(encoder, data, stores, "authors-later", "coco")
    images, texts, pictures, words, owner = retrieval_rows(encoder, data)
    recall = []
    of_text = np.repeat(np.arange(len(pictures)), 5)
    for left, right in draw_pool(Protocol("authors-later", samples=8, seeds=2), 12, of_text):
        assert (len(set(left)), len(set(right))) == (8, 8)
        shifted = images - pictures[left].mean(axis=0) / 4, texts - words[right].mean(axis=0) / 4
        recall.append(hits(*shifted, owner))
    cell = cell_of(found, "dn*", dataset="coco")
    for name in recall[0]:
        values = [each[name] for each in recall]
        assert cell.metrics[name].mean == pytest.approx(np.mean(values), abs=1e-9)
    assert cell.settings["transductive"] is False
    # 12 images: too few for 8 images and the texts of 8 others, enough for texts of any.
    with pytest.raises(DistnormError, match="as many texts of others"):
        list(draw_pool(Protocol(samples=8), 12, of_text))


@pytest.mark.parametrize("name", VERSIONS)
def test_classification_of_both_versions(data, encoder, stores, name):
    found = evaluated(encoder, data, stores, name, "cifar100")
    test = datasets.cifar100(data / "cifar100", check=False)
    raw, pool = (
        rows_of(encoder, save_pictures(data / "cifar100", stores / "x", split), normalize=False)
        for split in ("test", "train")
    )
    prompts = [f"A photo depicts a photo of a {c}." for c in test.classes]
    texts = encoder.encode_texts(prompts, normalize=False)
    classes = normalize(texts - texts.mean(axis=0) / 4)
    draws = [pool[rows] for rows, _ in draw_pool(Protocol(name, samples=8, seeds=2), len(pool))]
    accuracies = []
    for rows in [raw] if name == "authors-first" else draws:
        images = normalize(raw - rows.mean(axis=0) / 4)
        accuracies.append(((images @ classes.T).argmax(axis=1) == test.labels).mean())
    cell = cell_of(found, "dn*")
    assert cell.metrics["acc1"].mean == pytest.approx(np.mean(accuracies), abs=1e-9)
    assert cell.settings["transductive"] is (name == "authors-first")
    tuned = evaluated(encoder, data, stores, "authors-first", "cifar100", augments=["tpt"])
    assert not tuned.cells
    assert "use --protocol authors" in tuned.missing[0].reason


def judged_rows(encoder, data):
    """Images, captions and references of each judgement, in the scripts' wording."""
    judged = datasets.flickr8k_expert(data / "flickr8k", check=False)
    owner = judged.image_of_caption
    folder = data / "flickr8k" / "Flicker8k_Dataset"
    images = rows_of(encoder, [folder / name for name in judged.images])[owner]
    captions = encoder.encode_texts([AUTHORS_PREFIX + text for text in judged.captions])
    references = [
        encoder.encode_texts([AUTHORS_PREFIX + text for text in judged.references[row]])
        for row in owner
    ]
    return judged, images, captions, references


@pytest.mark.parametrize("name", VERSIONS)
def test_captions_of_both_versions(data, encoder, stores, name):
    found = evaluated(encoder, data, stores, name, "flickr8k-expert")
    judged, images, captions, references = judged_rows(encoder, data)
    best = np.array([(r @ c).max() for r, c in zip(references, captions, strict=True)])
    cosine = (images * captions).sum(axis=1)

    def scored(image_mean, text_mean):
        if name == "authors-later":
            return ((images - image_mean / 4) * (captions - text_mean / 4)).sum(axis=1)
        return np.exp(cosine - captions @ image_mean) + np.exp(cosine - images @ text_mean)

    method, weight = {"authors-first": ("dn", 1.0), "authors-later": ("dn*", 0.25)}[name]
    image_mean, test_mean = images.mean(axis=0), np.concatenate(references).mean(axis=0)
    oracle = {
        False: scored(image_mean, test_mean),
        True: scored(image_mean, captions.mean(axis=0)) + weight * best,
    }
    for with_references, scores in oracle.items():
        cell = cell_of(found, method, references=with_references)
        tau = kendall_tau(scores, judged.human, "c")
        assert cell.metrics["kendall_tau_c"].mean == pytest.approx(tau, abs=1e-6)
        assert cell.settings["script_method"] == method
    clip = 2.5 * np.maximum(cosine, 0)
    plain = kendall_tau(clip, judged.human, "c")
    assert cell_of(found, "dot").metrics["kendall_tau_c"].mean == pytest.approx(plain, abs=1e-6)
    assert len({cell.name for cell in found.cells}) == len(found.cells)


@pytest.mark.parametrize(("name", "weight"), [("authors", 0.25), ("authors-later", 1.0)])
def test_pascal_adds_the_best_reference(data, encoder, stores, name, weight):
    found = evaluated(encoder, data, stores, name, "pascal50s", methods=["dot", "dn*"])
    pairs = datasets.pascal50s(data / "pascal50s", check=False)
    folder = data / "pascal50s" / "images"
    images = rows_of(encoder, [folder / image for image in pairs.images])[pairs.image_of_pair]
    first, second = (
        encoder.encode_texts([AUTHORS_PREFIX + text for text in texts])
        for texts in (pairs.first, pairs.second)
    )
    means = images.mean(axis=0) / 4, np.concatenate([first, second]).mean(axis=0) / 4
    accuracies = []
    for child in Protocol(name, seeds=2).children():
        rng = np.random.default_rng(child)
        drawn = [rng.permutation(len(texts))[:5] for texts in pairs.references]
        best = [
            encoder.encode_texts([AUTHORS_PREFIX + pairs.references[n][at] for at in rows])
            for n, rows in enumerate(drawn)
        ]
        scores = []
        for side in (first, second):
            own = np.array([(r @ c).max() for r, c in zip(best, side, strict=True)])
            plain = ((images - means[0]) * (side - means[1])).sum(axis=1)
            scores.append(plain + weight * own)
        votes = pairs.votes[:, 0] > pairs.votes[:, 1]
        assert not (pairs.votes[:, 0] == pairs.votes[:, 1]).any()
        accuracies.append(((scores[0] > scores[1]) == votes).mean())
    cell = cell_of(found, "dn*", references=True)
    assert cell.metrics["accuracy"].mean == pytest.approx(np.mean(accuracies), abs=1e-9)


@pytest.mark.parametrize("form", ["karpathy", "tokens"])
def test_the_later_pool_of_flickr30k_is_all_but_the_test_split(tmp_path, encoder, form):
    root = tmp_path / "flickr30k"
    if form == "tokens":
        miniature.flickr30k_tokens(root, test=4, val=6)
        (root / "val.txt").write_text("8.jpg\n9.jpg\n")
        for number, scene in enumerate(miniature.scenes(10, seed=21)):
            miniature.save(scene, root / "images" / f"{number}.jpg")
    else:
        miniature.karpathy(root, "flickr30k", test=4, val=8)
        content = json.loads((root / "dataset_flickr30k.json").read_text())
        for entry in content["images"][-5:]:
            entry["split"] = "train"
        (root / "dataset_flickr30k.json").write_text(json.dumps(content))
    found = {}
    for name in ("authors", "authors-later"):
        context = Context(tmp_path, tmp_path / "x", check=False, rest=Protocol(name).later)
        found[name] = find_source("flickr30k").read(context)
    usual, later = (found[name].pool for name in ("authors", "authors-later"))
    assert set(usual.images) < set(later.images)
    assert not set(later.images) & set(found["authors"].images)
    assert len(later.texts) == 5 * len(later.images)
    assert later.name == f"{len(later.images)} images, all that are not in the test split"
    # The script lists a folder: what is not in it is no part of the pool.
    later.images[0].unlink()
    context = Context(tmp_path, tmp_path / "x", check=False, rest=True)
    assert len(find_source("flickr30k").read(context).pool.images) == len(later.images) - 1


def test_the_version_is_named_wherever_a_result_is(data, tmp_path):
    arguments = ("--model", "builtin", "--data", data, "--out", tmp_path / "out", "--json", "-")
    arguments += ("--tasks", "pascal50s", "--no-check", "--seeds", 1, "--methods", "dn")
    found = CliRunner().invoke(
        cli, ["benchmark", "paper", *map(str, arguments), "--protocol", "authors-first"]
    )
    assert found.exit_code == 0, found.output
    words = "the authors' scripts of January 2023"
    assert f"protocol authors-first: {words}; statistics of the evaluated rows" in found.stderr
    result = json.loads(found.stdout)
    assert result["protocol"]["version"] == words
    assert {cell["settings"]["version"] for cell in result["cells"]} == {words}
    page = (tmp_path / "out" / "results.md").read_text()
    assert f"protocol authors-first, {words}: statistics of the evaluated rows" in page
    assert "Their DN is the row dn." in page
    for file in (tmp_path / "out" / "cells").glob("*.json"):
        assert json.loads(file.read_text())["settings"]["protocol"] == "authors-first"


def test_accuracy_among_five_is_left_out_where_there_are_four_classes(encoder, tmp_path):
    for split in ("test", "train"):
        miniature.class_folders(tmp_path / "four", each=2, split=split)
    for split in ("test", "train"):
        for folder in sorted((tmp_path / "four" / split).iterdir())[4:]:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
    found = evaluated(encoder, tmp_path, tmp_path / "stores", "authors-first", "folder:four")
    assert set(found.cells[0].metrics) == {"acc1", "mean_per_class_recall"}


def test_stores_keep_single_precision(data, encoder, stores):
    evaluated(encoder, data, stores, "authors-later", "flickr8k-expert", methods=["dot"])
    files = list((stores / "builtin" / "flickr8k").rglob("*_emb_0.npy"))
    assert {np.load(file, mmap_mode="r").dtype for file in files} == {np.dtype(np.float32)}
    assert files
