"""``distnorm calibrate``: thresholds for false-alarm rates, and P(match), into the saved file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distnorm.cli.groups import options_of
from distnorm.cli.output import (
    NewFile,
    console,
    json_option,
    report_option,
    require_report,
    say,
    write_json,
    write_report,
)
from distnorm.cli.progress import progress_bar
from distnorm.cli.vectors import VectorOptions, check_lines

__all__ = ["calibrate"]


@click.command()
@click.argument("path", metavar="NORMALIZATION", type=click.Path())
@click.option(
    "--images", "--first", required=True, type=click.Path(), help="Rows of the first side."
)
@click.option(
    "--texts", "--second", required=True, type=click.Path(), help="Rows of the second side."
)
@click.option(
    "--pairs",
    help="none, rows, best (texts are classes), or a file with each text's image row; "
    "looked for if left out.",
)
@click.option(
    "--labels",
    type=click.Path(),
    help="0 or 1 per row: the matches among pairs by row; also P(match).",
)
@click.option("--matches", is_flag=True, help="All rows are matches: also P(match).")
@click.option("--prior", type=float, help="Share of matches among pairs to be asked about.")
@click.option(
    "--curve",
    type=click.Choice(["isotonic", "platt"]),
    default="isotonic",
    show_default=True,
    help="Of P(match): isotonic needs some hundred matches, platt some dozen.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--out",
    type=NewFile("a normalization", ".safetensors"),
    help="Write here, not into NORMALIZATION.",
)
@options_of(VectorOptions, "vectors")
@report_option
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
    vectors: VectorOptions,
    report: str | None,
    json_path: str | None,
) -> None:
    """Learn what non-matching pairs score, from unlabelled rows, and keep it in the file."""
    from distnorm.calibration.sample import calibration_warnings, labelled_pairs, without_wrong
    from distnorm.normalization import load
    from distnorm.report.normalizations import calibration_table
    from distnorm.system.files import check_writable
    from distnorm.tasks.files import MATCHES, read_rows

    if labels is not None and matches:
        raise click.UsageError("--labels excludes --matches")
    if pairs == "none" and (labels is not None or matches):
        raise click.UsageError("--pairs none says that nothing matches: it excludes --labels")
    require_report(report)
    norm, target = load(path), out or path
    check_writable(target)
    one, two = norm.sides
    probability = labels is not None or matches
    if images != texts and (probability or pairs not in (None, "none", "best")):
        check_lines(texts)
    rows = vectors.fitting(norm, {one: images, two: texts})
    given = None if labels is None else read_rows(str(labels), MATCHES)
    known: Any = pairs if pairs in (None, "none", "rows", "best") else read_rows(str(pairs))
    if known is None and matches:
        known = "rows"
    elif given is not None and pairs in (None, "rows"):
        known = labelled_pairs(given, *(len(x) for x in rows.values()))
    elif given is not None and pairs != "best":
        known = without_wrong(known, given)
    with progress_bar("calibrating", "steps") as bar:
        names = _names({one: images, two: texts}, rows)
        norm.calibrate(pairs=known, seed=seed, names=names, **rows)
        if probability:
            bar.step("P(match)", 1, 2)
            how: dict[str, Any] = {"prior": prior, "method": curve, "seed": seed, "names": names}
            norm.calibrate_probability(labels=given, **how, **rows)
    norm.save(target)
    console().print(calibration_table(norm))
    for line in calibration_warnings(norm.notes.calibration or {}):
        say(line)
    say(f"saved to {target}")
    found = {key: getattr(norm.notes, key) for key in ("calibration", "probability")}
    write_json({"schema": 1, "out": target, **found}, json_path)

    def page() -> str:
        from distnorm.report.html.calibration import calibration_page

        return calibration_page(norm, Path(path).name)

    write_report(report, page)


def _names(places: dict[str, str], rows: dict[str, Any]) -> dict[str, list[str]]:
    """What stores among the places call their pictures and texts, by side."""
    from distnorm.store.catalog import Catalog
    from distnorm.store.layout import METADATA, PARTS, Commit

    found = {}
    for side, place in places.items():
        commit = Commit.read(place)
        if side in PARTS and commit.folder.is_dir() and commit.files(METADATA):
            names = Catalog.read(commit, side).places
            if len(names) == len(rows[side]):
                found[side] = names
    return found
