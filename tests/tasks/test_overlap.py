"""BLEU and CIDEr against counting by hand and against published correlations."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner

from distnorm import DistnormError
from distnorm.cli.main import cli

pytest.importorskip("pycocoevalcap", reason="BLEU and CIDEr come from pycocoevalcap")

from distnorm.datasets import thumb
from distnorm.tasks.captioning import agreement
from distnorm.tasks.overlap import overlap_baselines, overlap_scores

CAPTIONS = ["A dog runs on the grass.", "Two men, sitting!"]
REFERENCES = [["a dog runs on grass", "the dog is running"], ["two men sit on a bench"]]

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="the tokenizer needs Java")


def bleu1(words, references):
    """Clipped unigram precision times the brevity penalty of the closest length."""
    most = Counter()
    for reference in references:
        most |= Counter(reference)
    right = sum(min(n, most[word]) for word, n in Counter(words).items())
    closest = min((abs(len(r) - len(words)), len(r)) for r in references)[1]
    return right / len(words) * min(1, math.exp(1 - closest / len(words)))


@pytest.mark.parametrize("tokenizer", ["words", pytest.param("ptb", marks=needs_java)])
def test_bleu1_is_its_formula(tokenizer):
    found = overlap_scores(CAPTIONS, REFERENCES, tokenizer=tokenizer)
    assert found.tokenizer == tokenizer
    words = [["a", "dog", "runs", "on", "the", "grass"], ["two", "men", "sitting"]]
    wanted = [
        bleu1(own, [reference.split() for reference in references])
        for own, references in zip(words, REFERENCES, strict=True)
    ]
    np.testing.assert_allclose(found.scores["bleu1"], wanted, rtol=1e-6)
    assert set(found.scores) == {"bleu1", "bleu4", "cider"}


def test_without_java_words_are_taken_and_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert overlap_scores(CAPTIONS, REFERENCES, ("bleu1",)).tokenizer == "words"
    with pytest.raises(DistnormError, match="no Java"):
        overlap_scores(CAPTIONS, REFERENCES, tokenizer="ptb")


@needs_java
def test_a_tokenizer_that_fails_is_said(monkeypatch, tmp_path):
    (tmp_path / "java").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DistnormError, match="broken"):
        overlap_scores(CAPTIONS, REFERENCES)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"references": [["a"], []]}, "none of them empty"),
        ({"metrics": ("spice",)}, "bleu1, bleu4, cider"),
        ({"tokenizer": "moses"}, "'moses'"),
    ],
)
def test_what_cannot_be_counted_is_said(change, part):
    arguments = {"references": REFERENCES, "tokenizer": "words", **change}
    with pytest.raises(DistnormError, match=part):
        overlap_scores(CAPTIONS, arguments.pop("references"), **arguments)
    with pytest.raises(DistnormError, match="an image row for each text"):
        overlap_baselines(CAPTIONS, ["a"], [1, 2], [0, 1], [0, 1])


@needs_java
def test_thumb_as_published(real_data):
    found = thumb(real_data / "thumb-mscoco")
    references = [found.references[row] for row in found.image_of_caption]
    scores = overlap_scores(found.captions, references, tokenizer="ptb").scores
    # Zhou et al. 2023: tau_c times 100.
    for name, published in (("bleu1", 11.1), ("bleu4", 6.9), ("cider", 13.8)):
        tau = agreement(scores[name], found.human)["kendall_tau_c"]
        assert 100 * tau == pytest.approx(published, abs=0.06)


def test_from_files_beside_a_score(tmp_path, rng):
    rows = rng.normal(size=(4, 6)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.savetxt(tmp_path / "images.csv", rows[:2], delimiter=",")
    np.save(tmp_path / "captions.npy", rows)
    (tmp_path / "human.csv").write_text("id,score\n0,1\n1,4\n2,2\n3,3\n")
    (tmp_path / "owner.csv").write_text("row\n0\n0\n1\n1\n")
    lines = ["a dog runs", "a cat sits", "two men", "two women on a bench"]
    (tmp_path / "captions.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "references.txt").write_text("a cat sits there\nmen on a bench\n")
    files = {
        "--images": "images.csv",
        "--captions": "captions.npy",
        "--human": "human.csv",
        "--image-of-caption": "owner.csv",
        "--caption-texts": "captions.txt",
        "--reference-texts": "references.txt",
    }
    arguments = [part for key, name in files.items() for part in (key, str(tmp_path / name))]
    result = CliRunner().invoke(cli, ["evaluate", "captions", *arguments, "--json", "-"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["overlap"]
    owner = [0, 0, 1, 1]
    wanted = overlap_baselines(lines, ["a cat sits there", "men on a bench"], [1, 4, 2, 3], owner)
    assert found == wanted
    assert "cider" in result.stderr
    half = CliRunner().invoke(cli, ["evaluate", "captions", *arguments[:-2]])
    assert half.exit_code == 2
