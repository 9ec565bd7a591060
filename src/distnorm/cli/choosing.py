"""What ``distnorm fit`` does beyond fitting when the method is ``auto``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distnorm.cli.output import console, require_report
from distnorm.errors import DistnormError

__all__ = ["check_choice_options", "choose_and_explain"]

_ROWS = 5000


def check_choice_options(method: str, **given: Any) -> None:
    """Options that only ``auto`` has.

    Raises
    ------
    UsageError
        If another method is given one of them.
    MissingExtraError
        If there is to be a page and nothing to draw it with: said before the work, not after.
    """
    named = [name for name, value in given.items() if value]
    if named and method != "auto":
        raise click.UsageError(f"--{named[0]} needs --method auto, got {method}")
    if given.get("report"):
        require_report()


def choose_and_explain(
    norm: Any,
    inputs: Any,
    *,
    labelled: bool = False,
    explain: bool = False,
    report: str | None = None,
) -> None:
    """Choose with all vectors of the inputs as galleries; print and draw the reasons.

    Parameters
    ----------
    norm : ScoreNormalization
        Fitted, perhaps on some of the rows.
    inputs : Inputs
        What it was fitted on. Sources that had to be embedded count by their fitted rows.
    labelled : bool
        Row i of one side belongs to row i of the other.
    explain : bool
    report : path, optional
    """
    from distnorm.report.html.choices import choice_page, choice_tables

    sizes = {side: [len(x) for x in given] for side, given in inputs.sides.items()}
    rows = {side: _thinned(given) for side, given in inputs.sides.items()}
    at_hand = {side: x for side, x in rows.items() if x is not None}
    pairs = None
    if labelled:
        one, two = (sizes.get(side) for side in norm.sides)
        if one is None or one != two or len(at_hand) != 2:
            raise DistnormError(
                f"--labelled with {one} and {two} rows",
                "vectors of both sides, row i belonging to row i",
                "give --images and --texts of the same length, or drop --labelled",
            )
        pairs = tuple(at_hand[side] for side in norm.sides)
    norm.choose(pairs=pairs, **at_hand)
    found = norm.notes["selection"]
    if explain:
        for table in choice_tables(found):
            console().print(table)
    else:
        for line in found["warnings"]:
            console().print(f"note: {line}", style="yellow", highlight=False)
    if report is not None:
        from distnorm.report.html.page import write_page

        write_page(Path(report), choice_page(found, "the choice of method"))
        console().print(f"report: {report}", soft_wrap=True, highlight=False)


def _thinned(given: Any) -> Any:
    """Evenly spaced rows of what is embedded, at most about 5,000; None for others."""
    import numpy as np

    if not all(x.embedded for x in given):
        return None
    step = -(-sum(map(len, given)) // _ROWS) or 1
    parts = [part for x in given for part in x.take(np.arange(0, len(x), step))]
    return np.concatenate(parts)
