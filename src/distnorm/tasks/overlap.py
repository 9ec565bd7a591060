"""BLEU and CIDEr of captions against their references, as baselines that look at no image.

BLEU-n is the geometric mean of the clipped precisions of 1- to n-grams times a brevity penalty
(Papineni et al. 2002); CIDEr-D the mean cosine of TF-IDF weighted n-grams, frequencies taken from
all references (Vedantam et al. 2015). Both as pycocoevalcap computes them, caption by caption.

Tokens are those of the Penn Treebank tokenizer that pycocoevalcap brings, which needs Java; where
there is none, words: lower case, punctuation apart and then dropped. The result says which.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.arrays import Float64
from distnorm.errors import DistnormError, require
from distnorm.tasks.captioning import agreement

__all__ = ["OVERLAPS", "OverlapScores", "default_tokenizer", "overlap_baselines", "overlap_scores"]

OVERLAPS = ("bleu1", "bleu4", "cider")
TOKENIZERS = ("auto", "ptb", "words")


@dataclass(frozen=True)
class OverlapScores:
    """Scores by metric, one per caption, each (n,)."""

    scores: dict[str, Float64] = field(repr=False)
    tokenizer: str  # ptb or words


def default_tokenizer() -> str:
    """What "auto" takes here."""
    return "ptb" if shutil.which("java") else "words"


def overlap_scores(
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = OVERLAPS,
    *,
    tokenizer: str = "auto",
) -> OverlapScores:
    """Word overlap of each caption with its references.

    Parameters
    ----------
    captions : sequence of str, n
    references : sequence of sequences of str, n
        At least one each.
    metrics : sequence of str
        Of `OVERLAPS`.
    tokenizer : {"auto", "ptb", "words"}
        "auto" takes "ptb" where there is Java.

    Raises
    ------
    DistnormError
        For captions without references, an unknown metric, or "ptb" without Java.
    MissingExtraError
        Without pycocoevalcap.
    """
    bleu = require("pycocoevalcap.bleu.bleu", "captions")
    cider = require("pycocoevalcap.cider.cider", "captions")
    unknown = next((name for name in metrics if name not in OVERLAPS), None)
    if unknown is not None or isinstance(metrics, str):
        raise DistnormError(f"metrics {metrics!r}", f"some of {', '.join(OVERLAPS)}", "rename it")
    if len(captions) != len(references) or not captions or not all(map(len, references)):
        raise DistnormError(
            f"{len(captions)} captions and {len(references)} lists of references",
            "as many, none of them empty",
            "leave such captions out",
        )
    if tokenizer not in TOKENIZERS:
        raise DistnormError(f"tokenizer {tokenizer!r}", f"one of {TOKENIZERS}", "pick one")
    if tokenizer == "auto":
        tokenizer = default_tokenizer()
    flat = [text for texts in references for text in texts]
    tokens = (_treebank if tokenizer == "ptb" else _words)([*captions, *flat])
    own, others = tokens[: len(captions)], iter(tokens[len(captions) :])
    results = {row: [text] for row, text in enumerate(own)}
    truths = {row: [next(others) for _ in texts] for row, texts in enumerate(references)}
    found: dict[str, Float64] = {}
    if "bleu1" in metrics or "bleu4" in metrics:
        _, by_order = bleu.Bleu(4).compute_score(truths, results, verbose=0)
        found["bleu1"], found["bleu4"] = (np.array(by_order[n], np.float64) for n in (0, 3))
    if "cider" in metrics:
        found["cider"] = np.array(cider.Cider().compute_score(truths, results)[1], np.float64)
    return OverlapScores({name: found[name] for name in metrics}, tokenizer)


def overlap_baselines(
    captions: Sequence[str],
    references: Sequence[str],
    human: Any,
    image_of_caption: Any = None,
    image_of_reference: Any = None,
    *,
    tokenizer: str = "auto",
) -> dict[str, Any]:
    """Agreement of BLEU-1, BLEU-4 and CIDEr with judgements."""
    owner, belongs = (
        np.arange(len(texts)) if rows is None else np.asarray(rows)
        for texts, rows in ((captions, image_of_caption), (references, image_of_reference))
    )
    if len(owner) != len(captions) or len(belongs) != len(references):
        raise DistnormError(
            f"{len(captions)} captions of {len(owner)} image rows and {len(references)} references "
            f"of {len(belongs)}",
            "an image row for each text",
            "give as many lines as rows",
        )
    by_image: dict[int, list[str]] = {}
    for image, text in zip(belongs.tolist(), references, strict=True):
        by_image.setdefault(image, []).append(text)
    own = [by_image.get(image, []) for image in owner.tolist()]
    found = overlap_scores(captions, own, tokenizer=tokenizer)
    return {
        "tokenizer": found.tokenizer,
        "metrics": {name: agreement(scores, human) for name, scores in found.scores.items()},
    }


def _words(texts: Sequence[str]) -> list[str]:
    """Words and clitics in lower case, without punctuation."""
    return [" ".join(re.findall(r"\w+|'\w+", text.lower())) for text in texts]


def _treebank(texts: Sequence[str]) -> list[str]:
    """Penn Treebank tokens in lower case, without punctuation."""
    wrapper: Any = require("pycocoevalcap.tokenizer.ptbtokenizer", "captions")
    java = shutil.which("java")
    if java is None:
        raise DistnormError("no Java for the Treebank tokenizer", "java on the PATH", "use 'words'")
    # Called here, since the wrapper writes its input into the installed package.
    archive = Path(wrapper.__file__).parent / wrapper.STANFORD_CORENLP_3_4_1_JAR
    command = [java, "-cp", str(archive), "edu.stanford.nlp.process.PTBTokenizer"]
    lines = "\n".join(" ".join(text.split()) for text in texts) + "\n"
    done = subprocess.run(
        [*command, "-preserveLines", "-lowerCase"],
        input=lines.encode(),
        capture_output=True,
        check=False,
    )
    found = done.stdout.decode("utf-8", "replace").split("\n")[: len(texts)]
    if done.returncode or len(found) != len(texts):
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise DistnormError(
            f"no tokens from Java ({reason[-1] if reason else 'no message'})",
            "a tokenizer that runs",
            "use tokenizer='words'",
        )
    dropped = set(wrapper.PUNCTUATIONS)
    return [" ".join(w for w in line.split() if w not in dropped) for line in found]
