"""What ``distnorm fit`` does beyond fitting when the method is ``auto``: selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.options import option
from distnorm.cli.output import NewFile, console, require_report, say, write_report
from distnorm.errors import DistnormError

if TYPE_CHECKING:
    from distnorm.fitting import Inputs
    from distnorm.normalization import ScoreNormalization

__all__ = ["SelectionOptions"]

_ROWS = 5000


@dataclass(frozen=True)
class SelectionOptions:
    """Options that only ``--method auto`` has."""

    labelled: bool = option(
        "--labelled", is_flag=True, help="auto: row i of --texts belongs to image row i."
    )
    explain: bool = option(
        "--explain", is_flag=True, help="auto: print the candidates and the reasons."
    )
    report: str | None = option(
        "--report",
        type=NewFile("a page", ".html", ".htm"),
        help="auto: write the reasons to this HTML page.",
    )

    def check(self, method: str) -> None:
        """Refuse them for another method, and a page that cannot be drawn, before the work."""
        named = [name for name, value in vars(self).items() if value]
        if named and method != "auto":
            raise click.UsageError(f"--{named[0]} needs --method auto, got {method}")
        require_report(self.report)

    def select(self, norm: ScoreNormalization, inputs: Inputs) -> None:
        """Select with all vectors of the inputs as galleries; print and draw the reasons.

        Sources that had to be embedded count by their fitted rows.
        """
        from distnorm.report.html.choices import choice_page, choice_tables

        samples = {side: _thinned(sources) for side, sources in inputs.sides.items()}
        rows = {side: x for side, x in samples.items() if x is not None}
        norm.choose(pairs=self._pairs(norm, inputs, rows), **rows)
        selection = norm.notes.selection
        assert selection is not None
        if self.explain:
            for table in choice_tables(selection):
                console().print(table)
        else:
            for line in selection["warnings"]:
                say(f"note: {line}", style="yellow")
        write_report(self.report, lambda: choice_page(selection, "the choice of method"))

    def _pairs(
        self, norm: ScoreNormalization, inputs: Inputs, rows: dict[str, Any]
    ) -> tuple[Any, Any] | None:
        if not self.labelled:
            return None
        sizes = [
            [len(source) for source in inputs.sides[side]] if side in inputs.sides else None
            for side in norm.sides
        ]
        if sizes[0] is None or sizes[0] != sizes[1] or len(rows) != 2:
            raise DistnormError(
                f"--labelled with {sizes[0]} and {sizes[1]} rows",
                "vectors of both sides, row i belonging to row i",
                "give --images and --texts of the same length, or drop --labelled",
            )
        one, two = norm.sides
        return rows[one], rows[two]


def _thinned(sources: Any) -> Any:
    """Evenly spaced rows of what is embedded, at most about 5,000; None for others."""
    import numpy as np

    if not all(source.embedded for source in sources):
        return None
    step = -(-sum(map(len, sources)) // _ROWS) or 1
    parts = [part for source in sources for part in source.take(np.arange(0, len(source), step))]
    return np.concatenate(parts)
