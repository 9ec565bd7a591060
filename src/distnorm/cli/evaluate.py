"""``distnorm evaluate retrieval``: one method, statistics given or fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distnorm.cli.output import (
    console,
    json_option,
    parse_ks,
    parse_strength,
    progress_bar,
    write_json,
)
from distnorm.errors import DistnormError

if TYPE_CHECKING:
    from distnorm.normalization import ScoreNormalization

__all__ = ["evaluate", "given_normalization"]


@click.group()
def evaluate() -> None:
    """Evaluate one method."""


@evaluate.command()
@click.option("--images", required=True, type=click.Path(), help="Image embeddings.")
@click.option("--texts", required=True, type=click.Path(), help="Text embeddings.")
@click.option("--image-of-text", type=click.Path(), help="Image row of each text (.npy, .txt).")
@click.option("--normalization", type=click.Path(), help="A file of `distnorm fit`.")
@click.option("--method", default="dot", show_default=True, help="Method to fit if none is given.")
@click.option("--strength", help="A number, or image=0.25,text=0.5.")
@click.option("--fit-images", type=click.Path(), help="Images that give the statistics.")
@click.option("--fit-texts", type=click.Path(), help="Texts that give the statistics.")
@click.option("--input", "requirement", type=click.Choice(["unit", "raw", "any"]))
@click.option("--k", default="1,5,10", show_default=True)
@click.option("--r-precision", is_flag=True, help="Also R-precision and mAP@R.")
@click.option("--threshold", type=float, help="Also recall and false alarms above this.")
@click.option("--false-alarm-rate", type=float, help="The same at a calibrated rate, e.g. 0.001.")
@json_option
def retrieval(
    images: str,
    texts: str,
    image_of_text: str | None,
    normalization: str | None,
    method: str,
    strength: str | None,
    fit_images: str | None,
    fit_texts: str | None,
    requirement: str | None,
    k: str,
    r_precision: bool,
    threshold: float | None,
    false_alarm_rate: float | None,
    json_path: str | None,
) -> None:
    """Retrieval in both directions with given statistics."""
    from distnorm.calibration.score_kinds import score_kind
    from distnorm.report.terminal import retrieval_table
    from distnorm.report.trust_tables import detection_table
    from distnorm.store.models import check_models
    from distnorm.store.vectors import read_embeddings
    from distnorm.tasks.detection import chosen_threshold, evaluate_detection
    from distnorm.tasks.files import read_rows
    from distnorm.tasks.retrieval import evaluate_retrieval, pairing

    left = read_embeddings(images, "image")
    right = read_embeddings(texts, "text")
    owner = None if image_of_text is None else read_rows(image_of_text)
    norm = given_normalization(normalization, method, strength, fit_images, fit_texts, requirement)
    check_models(norm, images, texts, fit_images, fit_texts)
    bar = chosen_threshold(norm, threshold, false_alarm_rate)
    with progress_bar("ranking", "queries") as show:
        result = evaluate_retrieval(
            norm, left, right, owner, k=parse_ks(k), with_r_precision=r_precision, progress=show
        )
    console().print(retrieval_table(norm, result))
    found = {
        "schema": 1,
        "task": "retrieval",
        "normalization": norm.to_dict(),
        "score": {side: score_kind(norm, query=side).to_dict() for side in norm.sides},
        **result.to_dict(),
    }
    if bar is not None:
        positives = pairing(owner, len(left), len(right))
        with progress_bar("scoring", "texts") as show:
            decided = evaluate_detection(norm, left, right, positives, bar, progress=show)
        console().print(detection_table(decided))
        found["at_threshold"] = decided.to_dict()
    write_json(found, json_path)


def given_normalization(
    normalization: str | None,
    method: str,
    strength: str | None,
    fit_images: str | None,
    fit_texts: str | None,
    input: str | None,
) -> ScoreNormalization:
    """The normalization of a file, or one fitted on the given rows."""
    from distnorm.methods.registry import parse_method
    from distnorm.normalization.factories import make
    from distnorm.storage import load
    from distnorm.store.vectors import read_embeddings

    if normalization is not None:
        if method != "dot" or fit_images or fit_texts:
            raise click.UsageError("--normalization excludes --method, --fit-images, --fit-texts")
        return load(normalization)
    name, own, params = parse_method(method)
    norm = make(
        name,
        strength=parse_strength(strength) if own is None else own,
        input=input,
        **params,
    )
    reference = {
        "images": fit_images and read_embeddings(fit_images, "image"),
        "texts": fit_texts and read_embeddings(fit_texts, "text"),
    }
    given = {side: x for side, x in reference.items() if x is not None}
    if given:
        norm.fit(**given)
    elif name != "dot":
        raise DistnormError(
            f"method {name!r} without statistics",
            "--fit-images and --fit-texts, or --normalization",
            "or run `distnorm compare retrieval`, which holds out a part of the data",
        )
    return norm
