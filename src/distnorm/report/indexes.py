"""Rich tables of a running index and of the biases stored beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from distnorm.report.tables import PlainTable

if TYPE_CHECKING:
    from rich.table import Table

    from distnorm.search.indexes.check import Check
    from distnorm.search.indexes.stored import StoredBiases

__all__ = ["index_biases_table", "index_check_table"]


def index_check_table(spec: str, found: Check) -> Table:
    """What a look at an index found, one row each."""
    kind = "exact" if found.exact else "approximate"
    table = PlainTable(spec.partition("?")[0], ("what", "found"), left=("what",))
    table.show_header = False
    table.add_row("items", f"{found.items} of {found.dimension} dimensions")
    table.add_row("search", f"{kind}, {found.metric}")
    if found.unit_length is not None:
        table.add_row("rows of unit length", "yes" if found.unit_length else "NO")
    if found.mean_cosine is not None:
        note = "" if found.mean_cosine >= 0.5 else ": another model's rows?"
        if found.swapped:
            note = f": sides swapped? {found.other_cosine:.3f} with the other side's"
        table.add_row("cosine of their mean and the statistics'", f"{found.mean_cosine:.3f}{note}")
    if found.method is not None:
        table.add_row("method", found.method)
    if found.column is not None:
        table.add_row("biases", f"{found.column}{'' if found.published else ' (not complete)'}")
    elif found.method is not None:
        table.add_row("biases", "none needed: the query changes")
    if found.without_bias is not None:
        table.add_row("items without a bias", str(found.without_bias))
    if found.changed is not None and found.recomputed:
        table.add_row(
            "biases of rows that changed", f"{found.changed} of {found.recomputed} computed again"
        )
    if found.agreement is not None:
        table.add_row(
            f"agreement with the exact top {found.k}, {found.queries} queries",
            f"{100 * found.agreement:.1f} %",
        )
    if found.mend:
        table.caption, table.caption_justify = found.mend, "left"
    return table


def index_biases_table(spec: str, found: Sequence[StoredBiases]) -> Table:
    """Stored biases, one normalization per row; the one asked for is marked."""
    columns = ("name", "method", "strength", "items", "lacking", "in", "")
    table = PlainTable(spec.partition("?")[0], columns, left=("name", "method", "in"))
    for each in found:
        notes = ["this normalization"] if each.asked_for else []
        notes += [] if each.unchanged else ["the index changed: run distnorm index bias again"]
        lacking = "-" if each.lacking is None else str(each.lacking)
        asker = next((side for side in each.strength if side != each.side), each.side)
        table.add_row(
            each.column,
            each.method,
            f"{each.strength[asker]:g}",
            str(each.items),
            lacking,
            each.where,
            ", ".join(notes),
        )
    return table
