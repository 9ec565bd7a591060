"""Caption cells: agreement with judgements, with and without references; preferred captions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.comparison import MetricSummary
from distnorm.comparison.captions import tau_shares
from distnorm.comparison.draws import Split
from distnorm.datasets.base import CaptionJudgements, PreferredCaptions
from distnorm.errors import DistnormError
from distnorm.paper.evaluation import Evaluation, Outcome, Results
from distnorm.paper.prepared import JudgedData
from distnorm.paper.retrieval import Fitted, paired_draws
from distnorm.system.files import atomic_write, save_array
from distnorm.tasks.captioning import agreement, evaluate_captions, pair_accuracy, score_captions
from distnorm.tasks.overlap import OVERLAPS, OverlapScores, default_tokenizer, overlap_scores

__all__ = ["PLAIN_RULES", "Ruled", "caption_results", "overlap_results", "pair_results"]

PLAIN_RULES = {
    "plain": "clipscore",
    "exponential": "clipscore",
    "additive": "refclipscore",
    "exponential-additive": "refclipscore",
    "harmonic": "refclipscore",
}
"""What the dot product is scored by under each rule of the other methods."""

REFERENCES = 5
"""How many of the 48 of each pair of Pascal-50S are drawn."""

_JUDGED = "the judged images and captions"

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Ruled:
    """Results under one rule."""

    rule: str
    references: bool
    results: Results
    statistics: str


def caption_results(evaluation: Evaluation) -> tuple[list[Ruled], dict[str, Any]]:
    """Kendall's tau and Spearman's rho of every method under every rule."""
    data: JudgedData = evaluation.data
    judged: CaptionJudgements = data.judged
    protocol, owner = evaluation.protocol, judged.image_of_caption
    prefix = protocol.text_prefix("captions")
    images = evaluation.images(data.pictures())
    captions = evaluation.texts([prefix + text for text in judged.captions])
    references = evaluation.texts([prefix + t for texts in judged.references for t in texts])
    image_of_reference = np.repeat(
        np.arange(len(images)), [len(texts) for texts in judged.references]
    )
    sampled: tuple[list[Fitted], str] | None = None
    if not protocol.authors:
        sampled = paired_draws(evaluation, data.pool(), owner, images, captions, prefix)
    parts = []
    without, _ = protocol.caption_rules
    for rule in (*protocol.caption_rules, *(() if protocol.authors else ("harmonic",))):
        options: dict[str, Any] = {}
        if rule != without:
            weight = protocol.reference_weight()
            options = {"references": references, "image_of_reference": image_of_reference}
            options["reference_weight"] = weight
        if sampled is not None:
            draws, origin = sampled
        elif rule == without:
            rows = [np.flatnonzero(image_of_reference == image) for image in owner]
            texts = references[np.concatenate(rows)]
            draws = _one_draw(images[owner], texts, owner)
            origin = "the judged images and the test references"
        else:
            draws, origin = _one_draw(images[owner], captions, owner), _JUDGED

        def evaluate(
            label: str,
            number: int,
            rule: str = rule,
            draws: list[Fitted] = draws,
            options: dict[str, Any] = options,
        ) -> Outcome:
            draw, rows = draws[number]
            norm = evaluation.norms[label].clone().fit(**rows)
            human = judged.human[draw.texts]
            result = evaluate_captions(
                norm,
                images,
                captions[draw.texts],
                human,
                owner[draw.texts],
                rule=PLAIN_RULES[rule] if label == "dot" else rule,
                **options,
            )
            shares = tau_shares(result, human)
            values = {name: ("caption", draw.texts, share) for name, share in shares.items()}
            return Outcome(norm, result.metrics, values, protocol.authors and label != "dot")

        results = evaluation.run(evaluate, len(draws), {"caption": owner}, len(images))
        parts.append(Ruled(rule, rule != without, results, origin))
    settings = {
        "prefix": prefix,
        "n_images": len(images),
        "n_judgements": len(judged.human),
        "n_references": len(references),
    }
    return parts, settings


def _one_draw(images: Any, texts: Any, owner: Rows) -> list[Fitted]:
    """One draw: statistics from these rows, everything evaluated."""
    every = np.arange(len(owner))
    draw = Split(every, every, np.arange(int(owner.max()) + 1), every, owner)
    return [(draw, {"images": images, "texts": texts})]


def overlap_results(
    judged: CaptionJudgements, folder: Path | None = None
) -> tuple[dict[str, dict[str, MetricSummary]], dict[str, Any]]:
    """BLEU-1, BLEU-4 and CIDEr against judgements; deterministic, so without spread.

    They are kept in ``folder``: counting takes minutes for tens of thousands of captions.
    """
    overlap = _overlap(judged, folder)
    summaries = {
        name: {
            key: MetricSummary(value, 0.0, 0.0, None)
            for key, value in agreement(overlap.scores[name], judged.human).items()
        }
        for name in OVERLAPS
    }
    settings = {"tokenizer": overlap.tokenizer, "n_judgements": len(judged.human), "prefix": ""}
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
    overlap = overlap_scores(judged.captions, references, tokenizer=tokenizer)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(kept) as file:
            save_array(file, np.stack([overlap.scores[name] for name in OVERLAPS]))
    return overlap


def pair_results(evaluation: Evaluation) -> tuple[list[Ruled], dict[str, Any]]:
    """Accuracy on preferred captions by category, 5 of the 48 references drawn for each seed.

    Equal votes are left out under ``clean`` and decided at random under ``authors``.
    """
    data: JudgedData = evaluation.data
    pairs: PreferredCaptions = data.judged
    protocol = evaluation.protocol
    prefix = protocol.text_prefix("captions")
    images = evaluation.images(data.pictures())
    n = len(pairs.first)
    captions = evaluation.texts([prefix + text for text in (*pairs.first, *pairs.second)])
    owner = np.concatenate([pairs.image_of_pair, pairs.image_of_pair])
    tied = pairs.votes[:, 0] == pairs.votes[:, 1]
    samples = []
    for child in protocol.children():
        rng = np.random.default_rng(child)
        drawn = [rng.permutation(len(texts))[:REFERENCES] for texts in pairs.references]
        first = np.where(tied, rng.random(n) < 0.5, pairs.votes[:, 0] > pairs.votes[:, 1])
        samples.append((drawn, first))
    if protocol.authors:
        # One draw for each seed of ties and references; the statistics are the same.
        draws, origin = _one_draw(images[owner], captions, owner) * protocol.seeds, _JUDGED
    else:
        draws, origin = paired_draws(evaluation, data.pool(), owner, images, captions, prefix)
    categories = np.array(pairs.categories)
    parts = []
    without, _ = protocol.caption_rules
    for rule in protocol.caption_rules:
        options: list[dict[str, Any]] = [{} for _ in draws]
        if rule != without:
            options = [_drawn_references(evaluation, pairs, drawn) for drawn, _ in samples]

        def evaluate(
            label: str, number: int, rule: str = rule, options: list[dict[str, Any]] = options
        ) -> Outcome:
            draw, rows = draws[number]
            norm = evaluation.norms[label].clone().fit(**rows)
            kept = np.isin(pairs.image_of_pair, draw.images)
            kept &= protocol.authors | ~tied
            if not kept.any():
                raise DistnormError("no pair to evaluate", "one at least", "lower --samples")
            one, two = (
                # One picture row per pair, so that each pair has references of its own.
                score_captions(
                    norm,
                    images[pairs.image_of_pair],
                    texts,
                    rule=PLAIN_RULES[rule] if label == "dot" else rule,
                    **options[number],
                )[kept]
                for texts in (captions[:n], captions[n:])
            )
            first = samples[number][1][kept]
            by_category = pair_accuracy(one, two, first, categories[kept].tolist())
            right = np.where(one == two, 0.5, (one > two) == first)
            metrics = {"accuracy": float(right.mean())}
            metrics |= {f"accuracy_{name}": value for name, value in by_category.items()}
            values = {"accuracy": ("pair", np.flatnonzero(kept), right)}
            return Outcome(norm, metrics, values, protocol.authors and label != "dot")

        owners = {"pair": pairs.image_of_pair}
        results = evaluation.run(evaluate, len(draws), owners, len(images))
        parts.append(Ruled(rule, rule != without, results, origin))
    settings = {
        "prefix": prefix,
        "n_images": len(images),
        "n_pairs": n,
        "n_tied": int(tied.sum()),
        "references_a_pair": REFERENCES,
    }
    return parts, settings


def _drawn_references(
    evaluation: Evaluation, pairs: PreferredCaptions, drawn: list[Rows]
) -> dict[str, Any]:
    """Rows of the references drawn for each pair, as `score_captions` takes them."""
    prefix = evaluation.protocol.text_prefix("captions")
    texts = [
        prefix + references[at]
        for references, numbers in zip(pairs.references, drawn, strict=True)
        for at in numbers
    ]
    owner = np.repeat(np.arange(len(drawn)), [len(numbers) for numbers in drawn])
    return {
        "references": evaluation.texts(texts),
        "image_of_reference": owner,
        "reference_weight": evaluation.protocol.reference_weight(pairs=True),
    }
