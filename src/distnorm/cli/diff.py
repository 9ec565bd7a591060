"""``distnorm diff``: whether two normalizations are interchangeable, by exit code like diff(1)."""

from __future__ import annotations

import click

from distnorm.cli.groups import options_of
from distnorm.cli.output import complain, console, json_option, write_json
from distnorm.cli.vectors import VectorOptions
from distnorm.errors import DistnormError

__all__ = ["diff"]


@click.command()
@click.argument("first", type=click.Path())
@click.argument("second", type=click.Path())
@click.option(
    "--images", "--first", type=click.Path(), help="A probe: rows of the first side to rank."
)
@click.option("--texts", "--second", type=click.Path(), help="A probe: rows of the second side.")
@click.option(
    "--level",
    default=0.01,
    show_default=True,
    help="Two samples of one population differ so often.",
)
@click.option(
    "--tolerance",
    type=float,
    help="Share of the probe's queries that may get another best item in spite of a difference.",
)
@options_of(VectorOptions, "vectors")
@json_option
@click.pass_context
def diff(
    ctx: click.Context,
    first: str,
    second: str,
    images: str | None,
    texts: str | None,
    level: float,
    tolerance: float | None,
    vectors: VectorOptions,
    json_path: str | None,
) -> None:
    """Compare two saved normalizations.

    Exit code 0: interchangeable; 1: different; 2: trouble.
    """
    from distnorm.monitoring.drift import difference
    from distnorm.normalization import load
    from distnorm.report.terminal import difference_table

    if (images is None) != (texts is None):
        raise click.UsageError("a probe takes both --images and --texts")
    vectors.check_used("--images and --texts", images is not None)
    try:
        norms = load(first), load(second)
        probe = None
        if images is not None and texts is not None:
            one, two = norms[0].sides
            probe = vectors.fitting(norms[0], {one: images, two: texts})
        found = difference(*norms, probe, level=level, tolerance=tolerance)
    except DistnormError as error:
        complain(str(error))
        ctx.exit(2)
    console().print(difference_table(found))
    write_json({"schema": 1, "first": first, "second": second, **found.to_dict()}, json_path)
    if not found.interchangeable:
        ctx.exit(1)
