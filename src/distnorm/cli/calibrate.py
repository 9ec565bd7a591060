"""``distnorm calibrate``: thresholds for false-alarm rates, and P(match), into the saved file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distnorm.cli.output import console, json_option, write_json

__all__ = ["calibrate"]


@click.command()
@click.argument("path", metavar="NORMALIZATION", type=click.Path())
@click.option("--images", required=True, type=click.Path(), help="Rows of the first side.")
@click.option("--texts", required=True, type=click.Path(), help="Rows of the second side.")
@click.option(
    "--pairs",
    help="none, rows, best (texts are classes), or a file with each text's image row; "
    "looked for if left out.",
)
@click.option("--labels", type=click.Path(), help="0 or 1 a row: also P(match), from pairs by row.")
@click.option("--matches", is_flag=True, help="All rows are matches: also P(match).")
@click.option("--prior", type=float, help="Share of matches among pairs to be asked about.")
@click.option("--curve", type=click.Choice(["isotonic", "platt"]), default="isotonic")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(), help="Write here, not into NORMALIZATION.")
@click.option("--report", type=click.Path(), help="Write an HTML page to this file.")
@json_option
def calibrate(
    path: str,
    images: str,
    texts: str,
    pairs: str | None,
    labels: str | None,
    matches: bool,
    prior: float | None,
    curve: str,
    seed: int,
    out: str | None,
    report: str | None,
    json_path: str | None,
) -> None:
    """Learn what non-matching pairs score, from unlabelled rows, and keep it in the file."""
    from distnorm.report.trust_tables import calibration_table
    from distnorm.storage import load
    from distnorm.store.vectors import read_embeddings
    from distnorm.tasks.files import read_rows

    if labels is not None and matches:
        raise click.UsageError("--labels excludes --matches")
    norm = load(path)
    one, two = norm.sides
    rows: dict[str, Any] = {one: read_embeddings(images, one), two: read_embeddings(texts, two)}
    known = pairs if pairs in (None, "none", "rows", "best") else read_rows(str(pairs))
    norm.calibrate(pairs=known, seed=seed, **rows)
    if labels is not None or matches:
        given = None if labels is None else read_rows(labels)
        norm.calibrate_probability(labels=given, prior=prior, method=curve, seed=seed, **rows)
    target = out or path
    norm.save(target)
    console().print(calibration_table(norm))
    if report is not None:
        from distnorm.report.html.calibration import calibration_page
        from distnorm.report.html.page import write_page

        write_page(Path(report), calibration_page(norm, Path(path).name))
        console().print(f"report: {report}", soft_wrap=True, highlight=False)
    console().print(f"saved to {target}", soft_wrap=True, highlight=False)
    found = {key: norm.notes.get(key) for key in ("calibration", "probability")}
    write_json({"schema": 1, "out": target, **found}, json_path)
