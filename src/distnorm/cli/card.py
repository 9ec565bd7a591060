"""``distnorm card``: what a saved normalization is, for people and machines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from distnorm.cli.groups import options_of
from distnorm.cli.output import NewFile, json_option, say, write_json
from distnorm.cli.progress import progress_bar
from distnorm.cli.vectors import VectorOptions

__all__ = ["card"]


@click.command()
@click.argument("path", metavar="NORMALIZATION", type=click.Path())
@click.option(
    "--images", "--first", type=click.Path(), help="Rows to count hubs on, before and after."
)
@click.option("--texts", "--second", type=click.Path(), help="The other side's rows.")
@click.option("--describe", metavar="SENTENCE", help="What data the statistics come from.")
@click.option("--keep", is_flag=True, help="Keep sentence and hubs in NORMALIZATION.")
@click.option(
    "--out", type=NewFile("Markdown", ".md", ".txt"), help="Write the Markdown here, not to stdout."
)
@click.option(
    "--beside", is_flag=True, help="Write NORMALIZATION.card.md and .card.json beside the file."
)
@options_of(VectorOptions, "vectors")
@json_option
def card(
    path: str,
    images: str | None,
    texts: str | None,
    describe: str | None,
    keep: bool,
    out: str | None,
    beside: bool,
    vectors: VectorOptions,
    json_path: str | None,
) -> None:
    """Print a card: model, data, counts, uncertainty, hubs, selection, thresholds."""
    from distnorm.monitoring.card import build_card, card_markdown, hubs_before_and_after
    from distnorm.normalization import load
    from distnorm.storage import read
    from distnorm.system.files import check_writable, write_text

    if (images is None) != (texts is None):
        raise click.UsageError("hubs take both --images and --texts")
    vectors.check_used("--images and --texts", images is not None)
    norm = load(path)
    for target in [path] * keep + [f"{path}.card.md", f"{path}.card.json"] * beside:
        check_writable(target)
    hubs = None
    if images is not None and texts is not None:
        one, two = norm.sides
        rows = vectors.fitting(norm, {one: images, two: texts})
        with progress_bar("counting hubs", "steps"):
            hubs = hubs_before_and_after(norm, rows[one], rows[two])
    if keep:
        notes = norm.notes
        norm.notes = replace(notes, data=describe or notes.data, hubs=hubs or notes.hubs)
        norm.save(path)
    _, _, checksum = read(path)
    found = build_card(norm, name=Path(path).name, checksum=checksum, data=describe, hubs=hubs)
    text = card_markdown(found)
    if beside:
        out = f"{path}.card.md"
        write_json(found, f"{path}.card.json")
    if out is not None:
        write_text(out, text)
        say(f"card: {out}")
    elif json_path != "-":
        click.echo(text, nl=False)
    write_json(found, json_path)
