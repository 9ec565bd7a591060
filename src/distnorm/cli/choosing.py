"""What ``distnorm fit`` does beyond fitting when the method is ``auto``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distnorm.cli.common import console
from distnorm.errors import DistnormError

__all__ = ["check_choice_options", "choose_and_explain"]


def check_choice_options(method: str, **given: Any) -> None:
    """Options that only ``auto`` has.

    Raises
    ------
    UsageError
        If another method is given one of them.
    """
    named = [name for name, value in given.items() if value]
    if named and method != "auto":
        raise click.UsageError(f"--{named[0]} needs --method auto, got {method}")


def choose_and_explain(
    norm: Any,
    rows: dict[str, Any],
    *,
    labelled: bool = False,
    explain: bool = False,
    report: str | None = None,
    source: str = "",
) -> None:
    """Choose with all ``rows`` as the gallery; print and draw the reasons.

    Parameters
    ----------
    norm : ScoreNormalization
        Fitted, perhaps on some of the rows.
    rows : dict from side to array
    labelled : bool
        Row i of one side belongs to row i of the other.
    explain : bool
    report : path, optional
    source : str
    """
    from distnorm.report.choices import choice_page, choice_tables

    pairs = None
    if labelled:
        sizes = [len(x) for x in rows.values()]
        if len(sizes) != 2 or sizes[0] != sizes[1]:
            raise DistnormError(
                f"--labelled with {' and '.join(map(str, sizes))} rows",
                "both sides, row i belonging to row i",
                "give --images and --texts of the same length, or drop --labelled",
            )
        pairs = tuple(rows[side] for side in norm.sides)
    norm.choose(pairs=pairs, **rows)
    found = norm.notes["selection"]
    if explain:
        for table in choice_tables(found):
            console().print(table)
    else:
        for line in found["warnings"]:
            console().print(f"note: {line}", style="yellow", highlight=False)
    if report is not None:
        from distnorm.report.page import write_page

        write_page(Path(report), choice_page(found, source))
        console().print(f"report: {report}", soft_wrap=True, highlight=False)
