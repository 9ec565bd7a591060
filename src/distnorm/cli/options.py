"""``classification`` and ``captions`` under ``distnorm compare`` and ``distnorm evaluate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from distnorm.cli.compare import compare
from distnorm.cli.evaluate import evaluate, given_normalization
from distnorm.cli.output import (
    console,
    json_option,
    parse_strength,
    progress_bar,
    split_methods,
    write_json,
)

__all__ = ["classification", "captions"]  # noqa: RUF022 - in the order of the paper

_CLASSES = (
    click.option("--images", required=True, type=click.Path(), help="Image embeddings."),
    click.option("--classes", required=True, type=click.Path(), help="One text row a class."),
    click.option(
        "--labels", required=True, type=click.Path(), help="Class row of each image, from 0."
    ),
    click.option(
        "--class-names", type=click.Path(), help="One name a line: shared ones are reported."
    ),
)
_CAPTIONS = (
    click.option("--images", required=True, type=click.Path(), help="Image embeddings."),
    click.option("--captions", required=True, type=click.Path(), help="Caption embeddings."),
    click.option("--human", required=True, type=click.Path(), help="Judgement of each caption."),
    click.option("--image-of-caption", type=click.Path(), help="Image row of each caption."),
    click.option("--references", type=click.Path(), help="Embeddings of reference captions."),
    click.option("--image-of-reference", type=click.Path(), help="Image row of each reference."),
    click.option("--rule", help="plain, clipscore, refclipscore, additive or harmonic."),
)
_OVERLAP = (
    click.option("--caption-texts", type=click.Path(), help="The captions: adds BLEU and CIDEr."),
    click.option("--reference-texts", type=click.Path(), help="The references, for the same."),
)
_PROTOCOL = (
    click.option("--methods", default="dot,dn,dn*,dn2,is,nnn", show_default=True),
    click.option("--strength", help="For every method: a number, or image=0.25,text=0.5."),
    click.option(
        "--protocol",
        type=click.Choice(["held-out", "paper", "reference", "transductive"]),
        default="held-out",
        show_default=True,
        help="Where statistics come from.",
    ),
    click.option("--fit-fraction", default=0.5, show_default=True),
    click.option("--samples", default=100, show_default=True, help="Rows a side (paper)."),
    click.option("--fit-images", type=click.Path(), help="Images that give the statistics."),
    click.option("--fit-texts", type=click.Path(), help="Texts that give the statistics."),
    click.option("--repeats", type=int, help="Splits: 20 held-out, 5 paper if left out."),
    click.option("--seed", default=0, show_default=True),
    click.option("--prompt", help="Prefix or template of the texts, printed with the results."),
    click.option("--input", type=click.Choice(["unit", "raw", "any"])),
    click.option("--report", type=click.Path(), help="Write an HTML page to this file."),
    json_option,
)
_ONE_METHOD = (
    click.option("--normalization", type=click.Path(), help="A file of `distnorm fit`."),
    click.option("--method", default="dot", show_default=True, help="To fit if none is given."),
    click.option("--strength", help="A number, or image=0.25,text=0.5."),
    click.option("--fit-images", type=click.Path(), help="Images that give the statistics."),
    click.option("--fit-texts", type=click.Path(), help="Texts that give the statistics."),
    click.option("--input", type=click.Choice(["unit", "raw", "any"])),
    json_option,
)


def _with(*groups: tuple[Callable[..., Any], ...]) -> Callable[..., Any]:
    """Several groups of options, in their order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return add


@compare.command()
@_with(_CLASSES, _PROTOCOL)
def classification(
    images: str,
    classes: str,
    labels: str,
    class_names: str | None,
    prompt: str | None,
    report: str | None,
    **options: Any,
) -> None:
    """Zero-shot classification, every method against the dot product."""
    from distnorm.comparison import compare_classification
    from distnorm.store.vectors import read_embeddings
    from distnorm.tasks.files import read_rows

    _agree(None, images, classes, options)
    given = read_embeddings(images, "image"), read_embeddings(classes, "text"), read_rows(labels)
    about = _repeated(class_names, len(given[1]))
    _compare(compare_classification, given, prompt, report, images, options, about)


@compare.command()
@_with(_CAPTIONS, _PROTOCOL)
def captions(
    images: str,
    captions: str,
    human: str,
    image_of_caption: str | None,
    references: str | None,
    image_of_reference: str | None,
    rule: str | None,
    prompt: str | None,
    report: str | None,
    **options: Any,
) -> None:
    """Agreement of caption scores with judgements, every method against the dot product."""
    from distnorm.comparison import compare_captions
    from distnorm.store.vectors import read_embeddings
    from distnorm.tasks.files import read_numbers, read_rows

    _agree(None, images, captions, options)
    given = (
        read_embeddings(images, "image"),
        read_embeddings(captions, "text"),
        read_numbers(human),
        None if image_of_caption is None else read_rows(image_of_caption),
    )
    options |= _reference_options(references, image_of_reference, rule)
    _compare(compare_captions, given, prompt, report, images, options)


@evaluate.command("classification")
@_with(_CLASSES, _ONE_METHOD)
@click.option("--threshold", type=float, help="Accept images whose best class is above this.")
@click.option("--false-alarm-rate", type=float, help="The same at a calibrated rate an image.")
def evaluate_classes(
    images: str,
    classes: str,
    labels: str,
    class_names: str | None,
    threshold: float | None,
    false_alarm_rate: float | None,
    json_path: str | None,
    **options: Any,
) -> None:
    """Zero-shot classification with given statistics."""
    from distnorm.store.vectors import read_embeddings
    from distnorm.tasks.classification import evaluate_classification
    from distnorm.tasks.detection import chosen_threshold, evaluate_rejection
    from distnorm.tasks.files import read_rows

    norm = given_normalization(**options)
    _agree(norm, images, classes, options)
    rows = read_embeddings(images, "image"), read_embeddings(classes, "text"), read_rows(labels)
    about = _repeated(class_names, len(rows[1]))
    bar = chosen_threshold(norm, threshold, false_alarm_rate, tries=len(rows[1]))
    with progress_bar("ranking", "images") as show:
        result = evaluate_classification(norm, *rows, progress=show)
    extra: dict[str, Any] = {**about}
    if bar is not None:
        extra["at_threshold"] = decided = evaluate_rejection(norm, *rows, bar)
        right = decided["accepted_acc1"]
        console().print(
            f"{decided['accepted']:.1%} of the images accepted above {decided['score']['label']} "
            f"{bar:.4f}" + ("" if right is None else f", of them {right:.1%} right")
        )
    _show("classification", norm, result, json_path, extra)


@evaluate.command("captions")
@_with(_CAPTIONS, _OVERLAP, _ONE_METHOD)
def evaluate_caption_scores(
    images: str,
    captions: str,
    human: str,
    image_of_caption: str | None,
    references: str | None,
    image_of_reference: str | None,
    rule: str | None,
    caption_texts: str | None,
    reference_texts: str | None,
    json_path: str | None,
    **options: Any,
) -> None:
    """Agreement of caption scores with judgements, with given statistics."""
    from distnorm.calibration.score_kinds import score_kind
    from distnorm.store.vectors import read_embeddings
    from distnorm.tasks.captioning import evaluate_captions
    from distnorm.tasks.files import read_numbers, read_rows

    if (caption_texts is None) != (reference_texts is None):
        raise click.UsageError("--caption-texts and --reference-texts go together")
    norm = given_normalization(**options)
    _agree(norm, images, captions, options)
    judged = read_numbers(human)
    owner = None if image_of_caption is None else read_rows(image_of_caption)
    given = _reference_options(references, image_of_reference, rule)
    result = evaluate_captions(
        norm,
        read_embeddings(images, "image"),
        read_embeddings(captions, "text"),
        judged,
        owner,
        **given,
    )
    named = rule or ("plain" if references is None else "additive")
    kind = score_kind(norm, rule=named).to_dict()
    about: dict[str, Any] = {}
    if caption_texts is not None and reference_texts is not None:
        places = given["image_of_reference"]
        about = _baselines(caption_texts, reference_texts, judged, owner, places)
    _show("captions", norm, result, json_path, {"score": kind, **about})


def _repeated(path: str | None, n_classes: int) -> dict[str, Any]:
    """Names that several classes share, said on standard error and kept in the JSON."""
    from distnorm.errors import DistnormError
    from distnorm.tasks.classification import repeated_names
    from distnorm.tasks.files import read_lines

    if path is None:
        return {}
    names = read_lines(path)
    if len(names) != n_classes:
        raise DistnormError(
            f"{len(names)} names of {n_classes} classes", "one each", f"mend {path}"
        )
    repeated = repeated_names(names)
    if repeated:
        console().print(
            f"several classes share a name, which nothing can tell apart: {', '.join(repeated)}",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
    return {"repeated_names": repeated}


def _baselines(
    captions: str, references: str, human: Any, owner: Any, places: Any
) -> dict[str, Any]:
    """BLEU and CIDEr of the same captions against the same judgements."""
    from distnorm.tasks.files import read_lines
    from distnorm.tasks.overlap import overlap_baselines

    found = overlap_baselines(read_lines(captions), read_lines(references), human, owner, places)
    for name, metrics in found["metrics"].items():
        values = ", ".join(f"{key} {100 * value:.1f}" for key, value in metrics.items())
        console().print(f"{name} ({found['tokenizer']} tokens): {values}", highlight=False)
    return {"overlap": found}


def _agree(norm: Any, images: str, texts: str, options: dict[str, Any]) -> None:
    """All vectors, and the normalization, are of one model."""
    from distnorm.store.models import check_models

    check_models(norm, images, texts, options["fit_images"], options["fit_texts"])


def _reference_options(
    references: str | None, image_of_reference: str | None, rule: str | None
) -> dict[str, Any]:
    from distnorm.store.vectors import read_embeddings
    from distnorm.tasks.files import read_rows

    return {
        "references": None if references is None else read_embeddings(references, "text"),
        "image_of_reference": None if image_of_reference is None else read_rows(image_of_reference),
        "rule": rule,
    }


def _compare(
    function: Callable[..., Any],
    given: tuple[Any, ...],
    prompt: str | None,
    report: str | None,
    source: str,
    options: dict[str, Any],
    about: dict[str, Any] | None = None,
) -> None:
    from distnorm.report.terminal import comparison_tables
    from distnorm.store.vectors import read_embeddings

    json_path = options.pop("json_path")
    options["methods"] = split_methods(options["methods"])
    options["strength"] = parse_strength(options["strength"])
    for name, side in (("fit_images", "image"), ("fit_texts", "text")):
        if options[name] is not None:
            options[name] = read_embeddings(options[name], side)
    with progress_bar("comparing", "evaluations") as show:
        comparison = function(*given, **options, progress=show)
    comparison.protocol["prompt"] = prompt
    for table in comparison_tables(comparison):
        console().print(table)
    if report is not None:
        from distnorm.report.html.page import write_page
        from distnorm.report.html.sections import comparison_page

        write_page(Path(report), comparison_page(comparison.to_dict(), source))
        console().print(f"report: {report}", soft_wrap=True, highlight=False)
    write_json({**comparison.to_dict(), **(about or {})}, json_path)


def _show(
    task: str,
    norm: Any,
    result: Any,
    json_path: str | None,
    extra: dict[str, Any] | None = None,
) -> None:
    from distnorm.calibration.score_kinds import score_kind
    from distnorm.report.terminal import metrics_table

    console().print(metrics_table(norm, result.metrics))
    found = {
        "schema": 1,
        "task": task,
        "normalization": norm.to_dict(),
        "score": score_kind(norm, query=norm.sides[0]).to_dict(),
        **result.to_dict(),
        **(extra or {}),
    }
    write_json(found, json_path)
