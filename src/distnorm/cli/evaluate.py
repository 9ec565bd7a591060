"""``distnorm evaluate``: one method on three tasks, statistics given or fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.inputs import ClassInput, RetrievalInput, ScoredCaptionInput
from distnorm.cli.options import (
    MethodOptions,
    options_of,
    parse_ks,
    prior_option,
    threshold_options,
)
from distnorm.cli.output import console, json_option, say, write_json
from distnorm.cli.progress import progress_bar

if TYPE_CHECKING:
    from rich.table import Table

    from distnorm.normalization import ScoreNormalization

__all__ = ["evaluate", "report_shared_names", "say_chance", "say_left_out"]

_FEW = 20  # items, among which a median is no evidence


@click.group()
def evaluate() -> None:
    """Evaluate one method."""


@evaluate.command()
@options_of(RetrievalInput, "pairs")
@options_of(MethodOptions, "method")
@click.option("--k", default="1,5,10", show_default=True)
@click.option("--r-precision", is_flag=True, help="Also R-precision and mAP@R.")
@threshold_options
@json_option
def retrieval(
    pairs: RetrievalInput,
    method: MethodOptions,
    k: str,
    r_precision: bool,
    threshold: float | None,
    false_alarm_rate: float | None,
    json_path: str | None,
) -> None:
    """Retrieval in both directions with given statistics, or from a matrix of scores."""
    from distnorm.calibration.score_kinds import score_kind
    from distnorm.report.terminal import detection_table, retrieval_table
    from distnorm.store.models import prompt_of
    from distnorm.tasks.detection import chosen_threshold, evaluate_detection
    from distnorm.tasks.retrieval import evaluate_retrieval, pairing

    if pairs.scores is not None:
        if threshold is not None or false_alarm_rate is not None:
            raise click.UsageError("--scores excludes --threshold and --false-alarm-rate")
        _of_scores(pairs, method, parse_ks(k), r_precision, json_path)
        return
    images, texts, owner, positives = pairs.read()
    norm = method.norm(pairs)
    bar = chosen_threshold(norm, threshold, false_alarm_rate)
    with progress_bar("ranking", "queries") as show:
        result = evaluate_retrieval(
            norm,
            images,
            texts,
            owner,
            positives=positives,
            k=parse_ks(k),
            with_r_precision=r_precision or positives is not None,
            progress=show,
        )
    say_left_out(result.to_dict(), norm.sides)
    say_chance(result.metrics, {"n_images": len(images), "n_texts": len(texts)})
    extra: dict[str, Any] = {
        "score": {side: score_kind(norm, query=side).to_dict() for side in norm.sides}
    }
    prompt = prompt_of(pairs.texts)
    tables = [retrieval_table(norm, result, prompt)]
    if bar is not None:
        truth = pairing(owner, len(images), len(texts), positives)
        with progress_bar("scoring", "texts") as show:
            decided = evaluate_detection(norm, images, texts, truth, bar, progress=show)
        tables.append(detection_table(decided))
        extra["at_threshold"] = decided.to_dict()
    _finish("retrieval", norm, result, prompt, tables, extra, json_path)


@evaluate.command()
@options_of(ClassInput, "data")
@options_of(MethodOptions, "method")
@prior_option
@threshold_options
@json_option
def classification(
    data: ClassInput,
    method: MethodOptions,
    prior: str | None,
    threshold: float | None,
    false_alarm_rate: float | None,
    json_path: str | None,
) -> None:
    """Zero-shot classification with given statistics."""
    from distnorm.calibration.score_kinds import score_kind
    from distnorm.report.terminal import metrics_table
    from distnorm.store.models import prompt_of
    from distnorm.tasks.class_prior import class_prior_facts, class_prior_text
    from distnorm.tasks.classification import evaluate_classification
    from distnorm.tasks.detection import chosen_threshold, evaluate_rejection

    rows = data.read()
    norm = method.classifying(data, rows[1], prior)
    extra = report_shared_names(data)
    bar = chosen_threshold(norm, threshold, false_alarm_rate, tries=len(rows[1]))
    with progress_bar("ranking", "images") as show:
        result = evaluate_classification(norm, *rows, progress=show)
    say_chance(result.metrics, {"n_images": len(rows[0]), "n_classes": len(rows[1])})
    if norm.prior != "none" and norm.notes.class_prior is not None:
        say(class_prior_text(norm.notes.class_prior))
        extra["class_prior"] = class_prior_facts(norm.notes.class_prior)
    if bar is not None:
        extra["at_threshold"] = decided = evaluate_rejection(norm, *rows, bar)
        right = decided["accepted_acc1"]
        say(
            f"{decided['accepted']:.1%} of the images accepted above {decided['score']['label']} "
            f"{bar:.4f}" + ("" if right is None else f", of them {right:.1%} right")
        )
    extra["score"] = score_kind(norm, query=norm.sides[0]).to_dict()
    prompt = prompt_of(data.texts)
    tables = [metrics_table(norm, result, prompt)]
    _finish("classification", norm, result, prompt, tables, extra, json_path)


@evaluate.command()
@options_of(ScoredCaptionInput, "data")
@click.option("--caption-texts", type=click.Path(), help="The captions: adds BLEU and CIDEr.")
@click.option("--reference-texts", type=click.Path(), help="The references, for the same.")
@options_of(MethodOptions, "method")
@json_option
def captions(
    data: ScoredCaptionInput,
    caption_texts: str | None,
    reference_texts: str | None,
    method: MethodOptions,
    json_path: str | None,
) -> None:
    """Caption scores with given statistics: their agreement with judgements or preferences.

    Without --human and --pairs, the score of each caption and their mean.
    """
    from distnorm.calibration.score_kinds import score_kind
    from distnorm.report.terminal import metrics_table
    from distnorm.store.models import prompt_of
    from distnorm.tasks.caption_files import read_caption_pairs
    from distnorm.tasks.captioning import (
        CaptionResult,
        evaluate_captions,
        score_captions,
        shared_captions,
    )

    if (caption_texts is None) != (reference_texts is None):
        raise click.UsageError("--caption-texts and --reference-texts go together")
    if caption_texts is not None and data.human is None:
        raise click.UsageError("--caption-texts and --reference-texts need --human")
    norm = method.norm(data)
    images, texts, owner, ids = data.read_scored(norm)
    scoring = data.scoring()
    rule = data.rule or ("plain" if data.references is None else "additive")
    extra: dict[str, Any] = {"score": score_kind(norm, rule=rule).to_dict()}
    if data.human is not None:
        human = data.judgements(len(texts))
        result = evaluate_captions(norm, images, texts, human, owner, **scoring)
        if caption_texts is not None and reference_texts is not None:
            places = scoring["image_of_reference"]
            extra["overlap"] = _overlap(caption_texts, reference_texts, human, owner, places)
    else:
        scores = score_captions(norm, images, texts, owner, **scoring)
        metrics = {"mean": float(scores.mean())}
        if data.pairs is not None:
            pairs = read_caption_pairs(data.pairs, len(scores))
            found = pairs.accuracy(scores, owner)
            metrics = {f"accuracy_{name}": value for name, value in found.items()}
            extra["n_pairs"] = len(pairs.first)
        else:
            extra["scores"] = scores.tolist()
            if ids is not None:
                extra["image_ids"] = ids
        result = CaptionResult(metrics, scores, shared_captions(norm, images, texts))
    prompt = prompt_of(data.texts)
    tables = [metrics_table(norm, result, prompt)]
    _finish("captions", norm, result, prompt, tables, extra, json_path)


def _of_scores(
    pairs: RetrievalInput,
    method: MethodOptions,
    ks: tuple[int, ...],
    r_precision: bool,
    json_path: str | None,
) -> None:
    """Retrieval from a matrix of scores."""
    from distnorm.report.terminal import score_matrix_table
    from distnorm.tasks.retrieval import DIRECTIONS
    from distnorm.tasks.score_matrix import evaluate_scores

    pairs.check()
    settings, matrices = method.of_scores(), pairs.matrices()
    owner, positives = pairs.truth(*matrices["scores"].shape)
    result = evaluate_scores(
        image_of_text=owner,
        positives=positives,
        k=ks,
        with_r_precision=r_precision or positives is not None,
        **matrices,
        **settings,
    )
    say_left_out(result.to_dict(), pairs.names)
    last = [
        result.metrics[f"{direction}_median_rank"] > 0.75 * n
        for direction, n in zip(DIRECTIONS, matrices["scores"].shape[::-1], strict=True)
    ]
    if all(last):
        say(
            "note: most matches are among the last of their lists: higher scores are taken for "
            "better; of distances pass the negative"
        )
    name = settings["method"] or "scores as they are"
    console().print(score_matrix_table(name, result, pairs.names))
    about = {"schema": 1, "task": "retrieval", "scores": pairs.scores, **settings}
    write_json({**about, **result.to_dict()}, json_path)


def say_left_out(sizes: dict[str, Any], sides: Sequence[str] = ("image", "text")) -> None:
    """Rows without a partner, which are found and not asked, on standard error."""
    from distnorm.methods.sides import Sides

    for side, others, (one, two) in (("image", "text", sides), ("text", "image", sides[::-1])):
        n = sizes.get(f"n_{side}s_without_{others}")
        if n:
            rows = f"{n} of {sizes[f'n_{side}s']} {Sides.plural(one)}"
            say(f"{rows} belong to no {two}: they are no queries")


def say_chance(
    metrics: Mapping[str, float], sizes: Mapping[str, int], evaluated: float = 1
) -> None:
    """Say that matches, or classes, are found no better than by chance, on standard error.

    ``evaluated`` is the share of the rows that is. Of several matches the best rank counts, so that
    one direction alone says nothing.
    """
    from distnorm.tasks.retrieval import DIRECTIONS

    n = [evaluated * sizes.get(f"n_{side}", 0) for side in ("texts", "images")]
    found = [metrics.get(f"{way}_median_rank", 0.0) for way in DIRECTIONS]
    why = "rows of two models, or in another order?"
    if all(items >= _FEW and rank > 0.4 * items for rank, items in zip(found, n, strict=True)):
        shown = " and ".join(f"{rank:g} of {m:.0f}" for rank, m in zip(found, n, strict=True))
        say(f"note: matches rank about as by chance (at the median {shown}): {why}")
    if "acc1" in metrics:
        chance, images = 1 / sizes["n_classes"], sizes["n_images"]
        if (
            images >= _FEW
            and metrics["acc1"] < chance + 2 * (chance * (1 - chance) / images) ** 0.5
        ):
            say(f"note: {metrics['acc1']:.1%} of the images are right, about as by chance: {why}")


def report_shared_names(data: ClassInput) -> dict[str, Any]:
    """`ClassInput.repeated_names`, which are also said on standard error."""
    names = data.repeated_names()
    if names.get("repeated_names"):
        shared = ", ".join(names["repeated_names"])
        say(f"several classes share a name, which nothing can tell apart: {shared}")
    return names


def _overlap(captions: str, references: str, human: Any, owner: Any, places: Any) -> dict[str, Any]:
    """BLEU and CIDEr of the same captions against the same judgements."""
    from distnorm.tasks.files import read_lines
    from distnorm.tasks.overlap import overlap_baselines

    found = overlap_baselines(read_lines(captions), read_lines(references), human, owner, places)
    for name, metrics in found["metrics"].items():
        values = ", ".join(f"{key} {100 * value:.1f}" for key, value in metrics.items())
        say(f"{name} ({found['tokenizer']} tokens): {values}")
    return found


def _finish(
    task: str,
    norm: ScoreNormalization,
    result: Any,
    prompt: str | None,
    tables: list[Table],
    extra: dict[str, Any],
    json_path: str | None,
) -> None:
    """Print the tables, write the JSON."""
    for table in tables:
        console().print(table)
    found = {
        "schema": 1,
        "task": task,
        "prompt": prompt,
        "normalization": norm.to_dict(),
        **result.to_dict(),
        **extra,
    }
    write_json(found, json_path)
