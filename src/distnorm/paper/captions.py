"""Caption cells: agreement with judgements, with and without references; preferred captions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.comparison import MetricSummary
from distnorm.comparison.captions import tau_shares
from distnorm.datasets.base import CaptionJudgements, PreferredCaptions
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.paper.evaluation import Outcome, Results, run_methods
from distnorm.paper.prepared import JudgedData
from distnorm.paper.protocols import Draw, Protocol
from distnorm.paper.retrieval import Fitted, paired_draws
from distnorm.paper.rows import RowCache
from distnorm.system.files import atomic_write
from distnorm.tasks.captioning import agreement, evaluate_captions, pair_accuracy, score_captions
from distnorm.tasks.overlap import OVERLAPS, OverlapScores, default_tokenizer, overlap_scores

__all__ = ["PLAIN_RULES", "Ruled", "caption_results", "overlap_results", "pair_results"]

PLAIN_RULES = {"plain": "clipscore", "additive": "refclipscore", "harmonic": "refclipscore"}
"""What the dot product is scored by under each rule of the other methods."""

REFERENCES = 5
"""Of the 48 of a pair of Pascal-50S."""

Rows = npt.NDArray[np.intp]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Ruled:
    """Results under one rule."""

    rule: str
    references: bool
    results: Results
    statistics: str


def caption_results(
    cache: RowCache,
    protocol: Protocol,
    dataset: str,
    data: JudgedData,
    norms: Mapping[str, ScoreNormalization],
    *,
    augment: str = "none",
    progress: Progress | None = None,
) -> tuple[list[Ruled], dict[str, Any]]:
    """Kendall's tau and Spearman's rho of every method under every rule."""
    judged: CaptionJudgements = data.judged
    owner = judged.image_of_caption
    prefix = protocol.text_prefix("captions")
    images = cache.images(dataset, data.pictures(), augment=augment)
    captions = cache.texts(dataset, [prefix + text for text in judged.captions])
    written = [prefix + text for texts in judged.references for text in texts]
    references = cache.texts(dataset, written)
    belongs = np.repeat(np.arange(len(images)), [len(texts) for texts in judged.references])
    sampled: tuple[list[Fitted], str] | None = None
    if not protocol.authors:
        sampled = paired_draws(
            cache,
            protocol,
            dataset,
            data.pool(),
            owner,
            images,
            captions,
            prefix=prefix,
            augment=augment,
        )
    found = []
    rules = ("plain", "additive") if protocol.authors else ("plain", "additive", "harmonic")
    for rule in rules:
        if sampled is not None:
            draws, source = sampled
        elif rule == "plain":
            repeats = np.concatenate([np.flatnonzero(belongs == image) for image in owner])
            draws, source = _all_of_it(images[owner], references[repeats], owner)
            source = "the judged images and the test references"
        else:
            draws, source = _all_of_it(images[owner], captions, owner)
        options = {} if rule == "plain" else {"references": references}
        options |= {} if rule == "plain" else {"image_of_reference": belongs}

        def evaluate(
            label: str,
            number: int,
            rule: str = rule,
            draws: list[Fitted] = draws,
            options: dict[str, Any] = options,
        ) -> Outcome:
            draw, rows = draws[number]
            norm = norms[label].clone().fit(**rows)
            human = judged.human[draw.texts]
            own = PLAIN_RULES[rule] if label == "dot" else rule
            result = evaluate_captions(
                norm,
                images,
                captions[draw.texts],
                human,
                owner[draw.texts],
                rule=own,
                **options,
            )
            shares = tau_shares(result, human)
            values = {name: ("caption", draw.texts, share) for name, share in shares.items()}
            return Outcome(norm, result.metrics, values, protocol.authors and label != "dot")

        results = run_methods(
            norms, len(draws), evaluate, {"caption": owner}, len(images), protocol, progress
        )
        found.append(Ruled(rule, rule != "plain", results, source))
    settings = {
        "prefix": prefix,
        "n_images": len(images),
        "n_judgements": len(judged.human),
        "n_references": len(references),
    }
    return found, settings


def _all_of_it(images: Any, texts: Any, owner: Rows) -> tuple[list[Fitted], str]:
    """One draw: statistics from these rows, everything evaluated."""
    every = np.arange(len(owner))
    draw = Draw(every, every, np.arange(int(owner.max()) + 1), every, owner)
    return [(draw, {"images": images, "texts": texts})], "the judged images and captions"


def overlap_results(
    judged: CaptionJudgements, folder: Path | None = None
) -> tuple[dict[str, dict[str, MetricSummary]], dict[str, Any]]:
    """BLEU-1, BLEU-4 and CIDEr against judgements; deterministic, so without spread.

    Parameters
    ----------
    judged : CaptionJudgements
    folder : Path, optional
        Where scores are kept: counting takes minutes for tens of thousands of captions.
    """
    found = _overlap(judged, folder)
    summaries = {
        name: {
            key: MetricSummary(value, 0.0, 0.0, None)
            for key, value in agreement(found.scores[name], judged.human).items()
        }
        for name in OVERLAPS
    }
    settings = {"tokenizer": found.tokenizer, "n_judgements": len(judged.human), "prefix": ""}
    return summaries, settings


def _overlap(judged: CaptionJudgements, folder: Path | None) -> OverlapScores:
    references = [judged.references[image] for image in judged.image_of_caption]
    tokenizer = default_tokenizer()
    words = json.dumps([tokenizer, judged.captions, references])
    digest = hashlib.sha256(words.encode()).hexdigest()[:16]
    kept = None if folder is None else folder / f"overlap-{digest}.npy"
    if kept is not None and kept.is_file():
        stored = np.load(kept, allow_pickle=False)
        return OverlapScores(dict(zip(OVERLAPS, stored, strict=True)), tokenizer)
    found = overlap_scores(judged.captions, references, tokenizer=tokenizer)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(kept) as file:
            np.save(file, np.stack([found.scores[name] for name in OVERLAPS]))
    return found


def pair_results(
    cache: RowCache,
    protocol: Protocol,
    dataset: str,
    data: JudgedData,
    norms: Mapping[str, ScoreNormalization],
    *,
    augment: str = "none",
    progress: Progress | None = None,
) -> tuple[list[Ruled], dict[str, Any]]:
    """Accuracy on preferred captions by category, 5 of the 48 references drawn for each seed.

    Pairs whose votes are equal are left out under ``clean`` and decided at random under
    ``authors``.
    """
    pairs: PreferredCaptions = data.judged
    prefix = protocol.text_prefix("captions")
    images = cache.images(dataset, data.pictures(), augment=augment)
    n = len(pairs.first)
    captions = cache.texts(dataset, [prefix + text for text in (*pairs.first, *pairs.second)])
    owner = np.concatenate([pairs.image_of_pair, pairs.image_of_pair])
    chosen = []
    for child in protocol.children():
        rng = np.random.default_rng(child)
        drawn = [rng.permutation(len(texts))[:REFERENCES] for texts in pairs.references]
        first = np.where(
            pairs.votes[:, 0] == pairs.votes[:, 1],
            rng.random(n) < 0.5,
            pairs.votes[:, 0] > pairs.votes[:, 1],
        )
        chosen.append((drawn, first))
    if protocol.authors:
        whole, source = _all_of_it(images[owner], captions, owner)
        draws = whole * protocol.seeds
    else:
        draws, source = paired_draws(
            cache, protocol, dataset, data.pool(), owner, images, captions, prefix=prefix
        )
    categories = np.array(pairs.categories)
    tied = pairs.votes[:, 0] == pairs.votes[:, 1]
    found = []
    for rule in ("plain", "additive"):
        said: dict[int, Any] = {}
        if rule == "additive":
            for number, (drawn, _) in enumerate(chosen):
                texts = [
                    prefix + pairs.references[pair][at]
                    for pair, places in enumerate(drawn)
                    for at in places
                ]
                belongs = np.repeat(np.arange(n), [len(places) for places in drawn])
                said[number] = (cache.texts(dataset, texts), belongs)

        def evaluate(
            label: str, number: int, rule: str = rule, said: dict[int, Any] = said
        ) -> Outcome:
            draw, rows = draws[number]
            norm = norms[label].clone().fit(**rows)
            kept = np.isin(pairs.image_of_pair, draw.images)
            kept &= protocol.authors | ~tied
            if not kept.any():
                raise DistnormError("no pair to evaluate", "one at least", "lower --samples")
            scores = []
            for side in (0, 1):
                options = {}
                if number in said:
                    options = dict(
                        zip(("references", "image_of_reference"), said[number], strict=True)
                    )
                # One picture row a pair, so that each pair has references of its own.
                scores.append(
                    score_captions(
                        norm,
                        images[pairs.image_of_pair],
                        captions[side * n : (side + 1) * n],
                        rule=PLAIN_RULES[rule] if label == "dot" else rule,
                        **options,
                    )[kept]
                )
            first = chosen[number][1][kept]
            one, two = scores
            by_category = pair_accuracy(one, two, first, categories[kept].tolist())
            right = np.where(one == two, 0.5, (one > two) == first)
            metrics = {"accuracy": float(right.mean())}
            metrics |= {f"accuracy_{name}": value for name, value in by_category.items()}
            values = {"accuracy": ("pair", np.flatnonzero(kept), right)}
            return Outcome(norm, metrics, values, protocol.authors and label != "dot")

        results = run_methods(
            norms,
            len(draws),
            evaluate,
            {"pair": pairs.image_of_pair},
            len(images),
            protocol,
            progress,
        )
        found.append(Ruled(rule, rule != "plain", results, source))
    settings = {
        "prefix": prefix,
        "n_images": len(images),
        "n_pairs": n,
        "n_tied": int(tied.sum()),
        "references_a_pair": REFERENCES,
    }
    return found, settings
