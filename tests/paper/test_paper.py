"""The paper's tables on miniature data sets in the official formats, from photos to the page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm import DistnormError, kendall_tau, make, normalize
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
from distnorm.encoders.builtin import BuiltinEncoder
from distnorm.paper import PROTOCOLS, SOURCES, Protocol, run_benchmark
from distnorm.paper.cells import model_names, published, table
from distnorm.paper.encoding import RawEncoder, ViewEncoder, raw_rows
from distnorm.paper.page import html_page, markdown_page, write_results
from distnorm.paper.protocols import AUTHORS_PREFIX, draw_pool, held_out
from distnorm.paper.run import chosen_sources
from distnorm.paper.sources import find_source
from distnorm.scenes import save_scenes

METRICS = [f"{d}_recall@{k}" for d in ("text_retrieval", "image_retrieval") for k in (1, 5, 10)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    miniature.karpathy(root / "coco", "coco")
    miniature.eccv(root / "eccv-caption")
    miniature.cifar100(root / "cifar100")
    miniature.flickr8k(root / "flickr8k")
    miniature.pascal50s(root / "pascal50s", pairs=28)
    miniature.class_folders(root / "mine", each=3)
    return root


@pytest.fixture(scope="module")
def encoder():
    return distnorm.load_encoder("builtin")


def invoke(*arguments):
    return CliRunner().invoke(cli, ["benchmark", "paper", *map(str, arguments)])


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """The command as a user types it: three tasks, plain and averaged views."""
    out = tmp_path_factory.mktemp("run") / "out"
    arguments = (
        *("--model", "builtin", "--data", data, "--out", out, "--json", "-", "--no-check"),
        *("--tasks", "coco,imagenet,cifar100,flickr8k-expert,pascal50s,folder:mine"),
        *("--samples", 8, "--seeds", 2, "--augment", "none,tta", "--methods", "dot,dn,is"),
    )
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return arguments, out, result


def test_the_command_goes_from_photos_to_the_page(finished):
    _, out, result = finished
    found = json.loads(result.stdout)
    assert found["protocol"]["name"] == "authors"
    cells = {(c["dataset"], c["augment"], c["method"], c["references"]): c for c in found["cells"]}
    for key in (
        ("mscoco_captions", "none", "dn", False),
        ("mscoco_captions-eccv", "tta", "dn", False),
        ("vtab/cifar100", "tta", "is", False),
        ("flickr8k_expert", "none", "dn", True),
        ("pascal50s", "none", "dot", False),
        ("mine", "none", "dn", False),
    ):
        assert key in cells, sorted(cells)
    coco = cells["mscoco_captions", "none", "dn", False]
    # The keys that CLIP_benchmark's build reads.
    assert {"dataset", "model", "pretrained", "task", "metrics", "language"} <= set(coco)
    assert (coco["task"], coco["language"]) == ("zeroshot_retrieval", "en")
    assert set(METRICS) <= set(coco["metrics"])
    assert coco["paper"]["metrics"]["image_retrieval_recall@1"] == pytest.approx(0.334)
    assert coco["paper"]["same_model"] is False
    name = "image_retrieval_recall@1"
    assert coco["difference"][name] == pytest.approx(coco["metrics"][name] - 0.334)
    assert coco["settings"]["prefix"] == AUTHORS_PREFIX
    assert coco["settings"]["n_fit"] == {"image": 8, "text": 8}
    assert [m["dataset"] for m in found["missing"]] == ["imagenet"]
    assert "imagenet, any, any: missing: got no folder imagenet" in result.stderr
    assert "cells, 1 missing" in result.stderr
    files = sorted(p.name for p in (out / "cells").glob("*.json"))
    assert len(files) == len(found["cells"])
    assert json.loads((out / "results.json").read_text()) == found
    page, text = (out / "results.html").read_text(), (out / "results.md").read_text()
    for words in ("A photo depicts", "CLIP ViT-B/32", "protocol authors", "no folder imagenet"):
        assert words in page
        assert words in text
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_finished_run_encodes_nothing_again(finished, monkeypatch):
    arguments, _, before = finished

    def fail(*_):
        raise AssertionError("a picture was encoded again")

    monkeypatch.setattr(BuiltinEncoder, "encode_pixels", fail)
    monkeypatch.setattr(BuiltinEncoder, "_encode_texts", fail)
    again = invoke(*arguments)
    assert again.exit_code == 0, again.output
    assert again.stdout == before.stdout


class Interrupted(BuiltinEncoder):
    """Stops after so many pictures, and counts."""

    def __init__(self, limit=10**9):
        super().__init__()
        self.seen, self.limit = 0, limit

    def encode_pixels(self, pixels):
        self.seen += len(pixels)
        if self.seen > self.limit:
            raise KeyboardInterrupt
        return super().encode_pixels(pixels)


def test_an_interrupted_run_goes_on(data, tmp_path):
    protocol = Protocol("clean", samples=8, seeds=2)
    options = {"tasks": ["coco", "folder:mine"], "protocol": protocol, "check": False}
    whole = Interrupted()
    expected = run_benchmark(whole, "builtin", data, tmp_path / "whole", **options)
    first = Interrupted(limit=whole.seen - 5)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(first, "builtin", data, tmp_path / "broken", **options)
    second = Interrupted()
    found = run_benchmark(second, "builtin", data, tmp_path / "broken", **options)
    assert second.seen < whole.seen
    assert found.to_dict() == expected.to_dict()


def test_a_killed_command_loses_nothing(finished, data, tmp_path):
    arguments, _, before = finished
    words = [str(a) for a in arguments]
    words[words.index("--out") + 1] = str(tmp_path / "out")
    home = str(Path(distnorm.__file__).resolve().parent.parent)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from distnorm.cli import main; main()",
            "benchmark",
            "paper",
            *words,
        ],
        env={**os.environ, "PYTHONPATH": home},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # Killed as soon as something is stored, wherever that finds it. Walking through folders that
    # come and go may fail, and on a busy machine the command may be done when the signal comes.
    stores = tmp_path / "out" / "stores"
    while process.poll() is None:
        if any(name.endswith(".npy") for _, _, names in os.walk(stores) for name in names):
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    results = tmp_path / "out" / "results.json"
    if results.exists():
        assert json.loads(results.read_text()) == json.loads(before.stdout)
    again = invoke(*words)
    assert again.exit_code == 0, (again.output, again.exception)
    assert again.stdout == before.stdout


def test_an_interrupted_command_says_how_to_go_on(data, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(BuiltinEncoder, "encode_pixels", interrupt)
    arguments = ("--model", "builtin", "--data", data, "--out", tmp_path / "out")
    result = invoke(*arguments, "--tasks", "folder:mine", "--samples", 4)
    assert result.exit_code == 130
    assert "goes on from there" in result.stderr


BUILDERS = {
    "flickr30k": lambda root: miniature.karpathy(root / "flickr30k", "flickr30k", test=12, val=9),
    "flickr8k": lambda root: miniature.flickr8k(root / "flickr8k", judged=8, dev=9),
    "flickr8k-cf": lambda root: miniature.flickr8k(root / "flickr8k", judged=8, dev=9),
    "thumb": lambda root: miniature.thumb(root / "thumb", root / "coco" / "val2014", images=10),
    "imagenet": lambda root: miniature.imagenet(root / "imagenet", flat="kaggle"),
    "sun397": lambda root: miniature.sun397(root / "sun397"),
    "stanford-cars": lambda root: miniature.stanford_cars(root / "stanford-cars"),
    "caltech101": lambda root: miniature.class_folders(
        root / "caltech101" / "101_ObjectCategories", each=1
    ),
    "flowers102": lambda root: miniature.flowers102(root / "flowers102"),
}
HELD_OUT = ("thumb", "caltech101")


@pytest.mark.parametrize("name", BUILDERS)
def test_every_data_set_gives_its_cells(encoder, tmp_path, name):
    BUILDERS[name](tmp_path)
    found = run_benchmark(
        encoder,
        "builtin",
        tmp_path,
        tmp_path / "stores",
        tasks=[name],
        methods=["dot", "dn"],
        protocol=Protocol("clean", samples=4, seeds=2),
        check=False,
    )
    shown = [c for c in found.cells if not c.references]
    assert [c.method for c in shown] == ["dot", "dn"], found.missing
    held = shown[1].settings["statistics"].startswith("held out")
    assert held is (name in HELD_OUT)
    assert shown[1].settings["n_fit"]["image"] == 4
    if name == "imagenet":
        assert shown[0].settings["repeated_names"] == ["crane"]
        assert "Several classes are called crane" in markdown_page(found)


def rows_of(encoder, paths, **options):
    return encoder.encode_images([open_picture(path)[0] for path in paths], **options)


def test_authors_classification_is_their_script(data, encoder, tmp_path):
    protocol = Protocol("authors", samples=8, seeds=3, seed=4)
    found = run_benchmark(
        encoder, "builtin", data, tmp_path, tasks=["cifar100"], protocol=protocol, check=False
    )
    test = datasets.cifar100(data / "cifar100", check=False)
    raw, pool = (
        rows_of(encoder, save_pictures(data / "cifar100", tmp_path / "x", split), normalize=False)
        for split in ("test", "train")
    )
    prompts = [f"A photo depicts a photo of a {name}." for name in test.classes]
    texts = encoder.encode_texts(prompts, normalize=False)
    for method, strength in (("dn", 0.5), ("dn*", 0.25), ("dot", 0.0)):
        accuracies = []
        for rows, _ in draw_pool(protocol, len(pool)):
            images = normalize(raw - strength * pool[rows].mean(axis=0))
            classes = normalize(texts - strength * texts.mean(axis=0))
            accuracies.append(((images @ classes.T).argmax(axis=1) == test.labels).mean())
        cell = next(c for c in found.cells if c.method == method)
        assert cell.metrics["acc1"].mean == pytest.approx(np.mean(accuracies), abs=0.022)
        assert cell.settings["templates"] == ["A photo depicts a photo of a {c}."]
    assert cell.settings["statistics"] == "another split"


def test_authors_captions_are_their_formula(data, encoder, tmp_path):
    found = run_benchmark(
        encoder,
        "builtin",
        data,
        tmp_path,
        tasks=["flickr8k-expert"],
        protocol=Protocol("authors", samples=8, seeds=2),
        check=False,
    )
    judged = datasets.flickr8k_expert(data / "flickr8k", check=False)
    owner = judged.image_of_caption
    folder = data / "flickr8k" / "Flicker8k_Dataset"
    images = rows_of(encoder, [folder / name for name in judged.images])[owner]
    captions = encoder.encode_texts([AUTHORS_PREFIX + text for text in judged.captions])
    references = [
        encoder.encode_texts([AUTHORS_PREFIX + text for text in judged.references[row]])
        for row in owner
    ]
    best = np.array([(r @ c).max() for r, c in zip(references, captions, strict=True)])
    cosine = (images * captions).sum(axis=1)
    image_mean, text_mean = images.mean(axis=0), captions.mean(axis=0)
    test_mean = np.concatenate(references).mean(axis=0)
    clip = 2.5 * np.maximum(cosine, 0)
    oracle = {
        ("dot", False): clip,
        ("dot", True): 2 * clip * best / (clip + best),
        ("dn", False): ((images - image_mean / 2) * (captions - test_mean / 2)).sum(axis=1),
        ("dn", True): ((images - image_mean / 2) * (captions - text_mean / 2)).sum(axis=1)
        + 0.25 * best,
    }
    for (method, with_references), scores in oracle.items():
        cell = next(c for c in found.cells if (c.method, c.references) == (method, with_references))
        tau = kendall_tau(scores, judged.human, "c")
        assert cell.metrics["kendall_tau_c"].mean == pytest.approx(tau, abs=0.02)
        assert cell.settings["transductive"] is (method != "dot")
    assert "references" in next(c for c in found.cells if c.method == "dn").settings["statistics"]


def test_clean_retrieval_by_hand(data, encoder, tmp_path):
    protocol = Protocol("clean", samples=8, seeds=2)
    found = run_benchmark(
        encoder, "builtin", data, tmp_path, tasks=["coco"], protocol=protocol, check=False
    )
    test, pool = (datasets.karpathy(data / "coco", "coco", s, check=False) for s in ("test", "val"))
    images, others = (rows_of(encoder, [data / "coco" / n for n in s.images]) for s in (test, pool))
    texts, words = encoder.encode_texts(test.texts), encoder.encode_texts(pool.texts)
    recall = []
    for fit_images, fit_texts in draw_pool(protocol, len(pool.images), pool.image_of_text):
        assert not set(fit_images) & set(pool.image_of_text[fit_texts])
        norm = make("dn").fit(images=others[fit_images], texts=words[fit_texts])
        ranked = (norm.shift_queries(texts, "text") @ images.T).argmax(axis=1)
        recall.append((ranked == test.image_of_text).mean())
    cell = next(c for c in found.cells if (c.dataset, c.method) == ("coco", "dn"))
    assert cell.metrics["image_retrieval_recall@1"].mean == pytest.approx(np.mean(recall), abs=0.01)
    assert cell.settings["prefix"] == ""
    low, high = cell.metrics["image_retrieval_recall@1"].delta_ci95
    assert low <= cell.metrics["image_retrieval_recall@1"].delta <= high


def test_clean_captions_read_no_reference_and_hold_out(data, encoder, tmp_path):
    options = {"protocol": Protocol("clean", samples=4, seeds=2), "check": False}
    found = run_benchmark(
        encoder,
        "builtin",
        data,
        tmp_path,
        tasks=["flickr8k-expert", "flickr8k-cf", "pascal50s"],
        methods=["dot", "dn", "dn-renorm", "qbnorm"],
        **options,
    )
    plain = [c for c in found.cells if c.rule == "plain"]
    assert {c.settings["statistics"] for c in plain} == {
        "another split",
        "held out of the evaluated data",
    }
    assert not any(c.settings["transductive"] for c in plain)
    assert {c.rule for c in found.cells if c.dataset == "flickr8k-cf"} >= {"harmonic", "additive"}
    # The gated method has no two-sided score, dn-renorm takes raw rows: both are said, not filled.
    failed = {(m.dataset, m.method) for m in found.missing}
    assert ("pascal50s", "qbnorm") in failed
    assert ("flickr8k-cf", "dn-renorm") in failed
    pairs = next(c for c in found.cells if c.dataset == "pascal50s" and c.method == "dn")
    assert {"accuracy", "accuracy_HC", "accuracy_MM", "accuracy_mean"} <= set(pairs.metrics)
    assert pairs.settings["references_a_pair"] == 5
    text = markdown_page(found)
    assert "flickr8k-cf, with references" in text
    assert "qbnorm" in text


def test_both_variants_of_dn_under_clean(data, encoder, tmp_path):
    found = run_benchmark(
        encoder,
        "builtin",
        data,
        tmp_path,
        tasks=["folder:mine"],
        methods=["dot", "dn", "dn-renorm", "dn2", "is", "nnn:k=4"],
        protocol=Protocol("clean", samples=8, seeds=2, templates=("a {c}", "the {c}")),
    )
    assert not found.missing
    used = {c.method: c.settings["normalization"] for c in found.cells}
    assert used["dn"] == "dn"
    assert used["dn-renorm"] == "dn-renorm"
    assert found.cells[0].settings["n_evaluated_images"] < found.cells[0].settings["n_images"]
    assert found.cells[0].paper is None
    assert "held out" in html_page(found)


def test_dn_is_the_paper_s_by_its_coefficient(data, encoder, tmp_path):
    found = run_benchmark(
        encoder,
        "builtin",
        data,
        tmp_path,
        tasks=["cifar100"],
        methods=["dot", "dn@0.25", "dn-renorm", "dn@0.3"],
        protocol=Protocol("clean", samples=8, seeds=1),
        check=False,
    )
    theirs = {c.method: c.paper and c.paper.metrics["acc1"] for c in found.cells}
    assert theirs == {
        "dot": pytest.approx(0.639),
        "dn@0.25": pytest.approx(0.651),
        "dn-renorm": pytest.approx(0.655),
        "dn@0.3": None,
    }


def test_data_sets_with_common_pictures_share_their_rows(data, tmp_path):
    options = {"protocol": Protocol("clean", samples=3, seeds=1), "check": False}
    counting = Interrupted()
    run_benchmark(counting, "builtin", data, tmp_path, tasks=["flickr8k-expert"], **options)
    once = counting.seen
    found = run_benchmark(counting, "builtin", data, tmp_path, tasks=["flickr8k-cf"], **options)
    assert counting.seen == once
    assert {c.dataset for c in found.cells} == {"flickr8k-cf"}


def test_what_is_missing_is_said_and_never_filled(data, encoder, tmp_path):
    result = invoke(
        *("--model", "builtin", "--data", tmp_path, "--out", tmp_path / "out", "--json", "-")
    )
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["cells"] == []
    assert {m["dataset"] for m in found["missing"]} == set(SOURCES)
    assert "no cell can be evaluated" in result.stderr
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "dataset_coco.json").write_bytes(
        (data / "coco" / "dataset_coco.json").read_bytes()
    )
    options = {"tasks": ["coco"], "protocol": Protocol(samples=8, seeds=1)}
    counted = run_benchmark(encoder, "builtin", tmp_path, tmp_path / "s", **options)
    assert "30 images in coco test; expected 5000" in counted.missing[0].reason
    lacking = run_benchmark(encoder, "builtin", tmp_path, tmp_path / "s", check=False, **options)
    assert "no picture val2014" in lacking.missing[0].reason


def test_a_damaged_picture_costs_its_data_set_alone(encoder, tmp_path):
    miniature.class_folders(tmp_path / "good", each=2)
    miniature.class_folders(tmp_path / "bad", each=2)
    (tmp_path / "bad" / "red_star" / "image_0001.jpg").write_bytes(b"no picture")
    found = run_benchmark(
        encoder,
        "builtin",
        tmp_path,
        tmp_path / "stores",
        tasks=["folder:bad", "folder:good"],
        protocol=Protocol(samples=4, seeds=1),
    )
    assert {c.dataset for c in found.cells} == {"folder:good"}
    assert "image_0001.jpg, which cannot be embedded" in found.missing[0].reason
    small = run_benchmark(
        encoder,
        "builtin",
        tmp_path,
        tmp_path / "stores",
        tasks=["folder:good"],
        protocol=Protocol(samples=100),
    )
    assert "lower --samples" in small.missing[0].reason


def test_cells_of_an_earlier_run_do_not_linger(data, encoder, tmp_path):
    options = {"tasks": ["folder:mine"], "protocol": Protocol("clean", samples=8, seeds=1)}
    both = run_benchmark(encoder, "builtin", data, tmp_path / "s", **options)
    write_results(both, tmp_path / "out")
    fewer = run_benchmark(encoder, "builtin", data, tmp_path / "s", methods=["dot"], **options)
    write_results(fewer, tmp_path / "out")
    assert len(list((tmp_path / "out" / "cells").glob("*.json"))) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(DistnormError, match="cannot be made"):
        write_results(both, tmp_path / "file")


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("--tasks", "mnist"), 1, "data set 'mnist'"),
        (("--augment", "spin"), 1, "augmentation 'spin'"),
        (("--methods", "dnn"), 1, "did you mean"),
        (("--protocol", "best"), 2, "best"),
        (("--class-names", "coco=x"), 2, "imagenet=FILE"),
        (("--templates", "/none"), 1, "no file /none"),
        (("--data", "/none"), 1, "no folder /none"),
        (("--model", "nothing"), 1, "model 'nothing'"),
    ],
)
def test_wrong_arguments(data, tmp_path, arguments, code, part):
    given = {"--model": "builtin", "--data": data, "--out": tmp_path / "out"}
    given |= dict([arguments])
    result = invoke(*(word for pair in given.items() for word in pair))
    assert result.exit_code == code, result.output
    assert part in result.stderr


def test_own_tables_and_clip_benchmark_s_names(encoder, tmp_path):
    save_scenes(tmp_path / "photos", 20)
    found = run_benchmark(
        encoder,
        "builtin",
        tmp_path,
        tmp_path / "stores",
        tasks=["table:photos"],
        protocol=Protocol("clean", samples=4, seeds=2),
    )
    assert [c.method for c in found.cells] == ["dot", "dn", "dn*"]
    assert found.cells[0].settings["n_evaluated_images"] == 12
    assert model_names("open_clip:ViT-B-32/openai") == ("ViT-B-32", "openai")
    assert chosen_sources(["captions", "coco"])[0].name == "coco"
    with pytest.raises(DistnormError, match="folder:NAME"):
        find_source("folder:")


def test_the_paper_s_table():
    names = ("open_clip:ViT-B-32/openai", "open_clip:ViT-B-32/openai")
    coco = published(names, "retrieval", "coco", "none", "dn")
    assert coco.same_model
    assert coco.metrics["image_retrieval_recall@1"] == pytest.approx(0.334)
    assert published(("x:albef-base",), "retrieval", "coco", "none", "dn").metrics == {
        "text_retrieval_recall@1": pytest.approx(0.63),
        "image_retrieval_recall@1": pytest.approx(0.448),
    }
    other = published(("open_clip:ViT-B-32/laion2b",), "classification", "imagenet", "tpt", "dot")
    assert not other.same_model
    assert published(names, "classification", "imagenet", "tta", "dn") is None
    overlap = published(("any",), "captions", "thumb", "none", "cider", references=True)
    assert overlap.same_model
    known = {source.name for source in SOURCES.values()}
    assert {entry["dataset"] for entry in table()["cells"]} <= known
    values = [v for entry in table()["cells"] for v in entry["metrics"].values()]
    assert len(values) > 200
    assert 0 < min(values) <= max(values) < 100


def test_protocols_state_what_they_need(rng):
    with pytest.raises(DistnormError, match="authors-later, clean"):
        Protocol("best")
    with pytest.raises(DistnormError, match="seeds = 0"):
        Protocol(seeds=0)
    with pytest.raises(DistnormError, match=r"'\{c\}' in it"):
        Protocol(templates=("a photo",))
    assert tuple(PROTOCOLS) == ("authors", "authors-first", "authors-later", "clean")
    owner = np.repeat(np.arange(10), 5)
    with pytest.raises(DistnormError, match="lower --samples"):
        list(draw_pool(Protocol(samples=6), 10, owner))
    for draw in held_out(Protocol(samples=3, seeds=4), 10, owner):
        fit = set(draw.fit_images) | set(owner[draw.fit_texts])
        assert not fit & set(draw.images)
        assert len(fit) == 6
    for draw in held_out(Protocol(samples=3, seeds=4), 10):
        assert not set(draw.fit_images) & set(draw.images)
    with pytest.raises(DistnormError, match="2 left to evaluate"):
        list(held_out(Protocol(samples=9), 10))


def test_stores_give_raw_rows_and_views_back(encoder):
    images = [scene.image() for scene in miniature.scenes(5)]
    pixels = np.stack([encoder.preprocess(image) for image in images])
    raw = encoder.encode_pixels(pixels)
    stored = normalize(RawEncoder(encoder).encode_pixels(pixels)).astype(np.float16)
    np.testing.assert_allclose(raw_rows(stored), raw, rtol=0.01, atol=0.01 * np.abs(raw).max())
    views = ViewEncoder(encoder, ("identity", "flip"))
    stack = np.stack([views.preprocess(image) for image in images])
    both = encoder.encode_images([i.transpose(0) for i in images])
    mean = normalize((normalize(raw) + both) / 2)
    np.testing.assert_allclose(normalize(views.encode_pixels(stack)), mean, atol=1e-5)
    texts = ["a red star", "a blue circle"]
    raw_texts = RawEncoder(views).encode_texts(texts)
    np.testing.assert_allclose(
        raw_rows(raw_texts), encoder.encode_texts(texts, normalize=False), rtol=1e-4, atol=1e-4
    )


def test_imagenet_changes_as_measured(real_data):
    """Changes of top-1 against the dot product within two standard errors of what is on record."""
    folder = real_data / "imagenet4shot-clip-vit-b32"
    images, classes = (
        normalize(np.load(folder / name).astype(np.float32))
        for name in ("image.npy", "class_text_raw.npy")
    )
    found = distnorm.compare_classification(
        images,
        classes,
        np.load(folder / "label.npy"),
        methods=["dot", "dn@0.25", "centered@0.5", "is:beta=50", "dn2", "nnn:k=8"],
        repeats=4,
    )
    # 60.0 on one half; halves differ by 0.64 (standard deviation over splits).
    assert found["dot"].metrics["acc1"].mean == pytest.approx(0.60, abs=2 * 0.0064)
    for method, change in (("dn", 0.003), ("centered", 0.009), ("is", 0.016)):
        delta = found[method].metrics["acc1"].delta
        assert delta == pytest.approx(change, abs=2 * 0.004), method
    # The other bank method does as well as inverted softmax, order 2 lies between it and dot.
    assert found["nnn"].metrics["acc1"].significant
    assert found["nnn"].metrics["acc1"].delta == pytest.approx(0.016, abs=2 * 0.004)
    assert -0.004 < found["dn2"].metrics["acc1"].delta < found["is"].metrics["acc1"].delta


def test_a_damaged_data_set_is_a_missing_cell(encoder, tmp_path):
    """The others are evaluated."""
    miniature.thumb(tmp_path / "thumb", tmp_path / "coco" / "val2014", images=4)
    path = tmp_path / "thumb" / "mscoco_THumB-1.0.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    del lines[3]["SYS"]
    path.write_text("\n".join(map(json.dumps, lines)))
    miniature.class_folders(tmp_path / "mine", each=2)
    protocol = Protocol("clean", samples=4, seeds=1)
    found = run_benchmark(
        encoder, "builtin", tmp_path, tmp_path / "stores", tasks=["thumb", "folder:mine"],
        methods=["dot"], protocol=protocol, check=False,
    )  # fmt: skip
    assert [cell.dataset for cell in found.cells] == ["folder:mine"]
    (missing,) = found.missing
    assert missing.dataset == "thumb"
    assert "line 4 of" in missing.reason


def test_what_nobody_foresaw_is_a_missing_cell_too(encoder, tmp_path, monkeypatch):
    miniature.class_folders(tmp_path / "mine", each=2)
    monkeypatch.setattr("distnorm.paper.run.classification_results", lambda _: {}["n"])
    protocol = Protocol("clean", samples=4, seeds=1)
    found = run_benchmark(
        encoder, "builtin", tmp_path, tmp_path / "stores", tasks=["folder:mine"],
        methods=["dot"], protocol=protocol,
    )  # fmt: skip
    assert found.missing[0].reason == "its files led to KeyError: no 'n'"
