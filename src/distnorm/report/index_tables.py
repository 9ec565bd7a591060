"""Rich tables about an index."""

from __future__ import annotations

from rich.table import Table

from distnorm.search.indexes.check import Check

__all__ = ["index_check_table"]


def index_check_table(spec: str, found: Check) -> Table:
    """What a look at an index found, a row each."""
    kind = "exact" if found.exact else "approximate"
    table = Table(title=f"{spec.partition('?')[0]}", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("found", justify="right")
    table.add_row("items", f"{found.items} of {found.dimension} dimensions")
    table.add_row("search", f"{kind}, {found.metric}")
    if found.unit_length is not None:
        table.add_row("rows of unit length", "yes" if found.unit_length else "NO")
    if found.mean_cosine is not None:
        note = "" if found.mean_cosine >= 0.5 else ": another model's rows?"
        table.add_row("cosine of their mean and the statistics'", f"{found.mean_cosine:.3f}{note}")
    if found.method is not None:
        table.add_row("method", found.method)
    if found.column is not None:
        table.add_row("biases", f"{found.column}{'' if found.published else ' (not complete)'}")
    elif found.method is not None:
        table.add_row("biases", "none needed: the query changes")
    if found.without_bias is not None:
        table.add_row("items without a bias", str(found.without_bias))
    if found.agreement is not None:
        table.add_row(
            f"agreement with the exact top {found.k}, {found.queries} queries",
            f"{100 * found.agreement:.1f} %",
        )
    if found.mend:
        table.caption, table.caption_justify = found.mend, "left"
    return table
