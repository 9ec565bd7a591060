"""Many queries as tables for the terminal: their hubs, their lists; from the commands' JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distnorm.report.tables import PlainTable, words

__all__ = ["alert_words", "hub_facts", "hubs_table", "lists_table", "summary_rows"]

_ROWS = 20


def hubs_table(found: Mapping[str, Any]) -> PlainTable:
    """The items that come up most, with their counts before and after."""
    after = found["after"] is not None
    title = (
        f"hubs of {found['n_queries']} queries among {found['n_items']} items, "
        f"first {found['k']} of each"
    )
    columns = ["item", "queries, dot product"]
    columns += [f"queries, {found['after']['method']}"] if after else []
    table = PlainTable(title, [*columns, ""], left=("item", ""))
    table.columns[0].overflow = "fold"
    for hub in found["hubs"][:_ROWS] + [h for h in found["hubs"][_ROWS:] if alert_words(h)]:
        cells = [str(hub.get("name") or hub["id"]), str(hub["before"])]
        cells += [str(hub["after"])] * after
        table.add_row(*cells, words(alert_words(hub), style="red"))
    lines = ["; ".join((name, *values)) for name, *values in summary_rows(found)]
    table.caption = "\n".join((*lines, *hub_facts(found)))
    table.caption_justify = "left"
    return table


def lists_table(found: Mapping[str, Any]) -> PlainTable:
    """The first items of the first queries, of a search for many."""
    title = f"{found['n_queries']} queries in {found['n_items']} items"
    table = PlainTable(title, ("query", "items"), left=("items",))
    table.columns[1].overflow = "fold"
    for query, results in enumerate(found["results"][:_ROWS]):
        table.add_row(str(query), ", ".join(str(entry["name"] or entry["id"]) for entry in results))
    method = f"{found['method']}, strength {found['strength']:g}; score: {found['score']}"
    more = found["n_queries"] - _ROWS
    table.caption = method + (f"\n{more} more queries: see --json or --csv" if more > 0 else "")
    return table


def summary_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """For each ranking its name, effective items, items never found, skewness, largest hub."""
    rows = []
    for figures in filter(None, (found["before"], found["after"])):
        name = figures["method"]
        share = figures["largest"] / max(1, found["n_queries"])
        rows.append(
            [
                "dot product" if name == "dot" else f"{name}@{figures['strength']:g}",
                f"effective items {figures['effective_items']:.1f}",
                f"{found['n_items'] - figures['items_found']} never found"
                if found["counted"]
                else f"{figures['items_found']} found",
                f"skewness {figures['skewness']:.2f}",
                f"largest hub in {figures['largest']} lists ({100 * share:.0f} %)",
            ]
        )
    return rows


def hub_facts(found: Mapping[str, Any]) -> list[str]:
    """What the numbers rest on, and what the audit says, a line each."""
    facts = []
    if not found["audited"]:
        facts.append("audit of single items: too few items come up to know")
    else:
        facts.append(
            f"audit of single items: {found['alerts'] or 'none'} found implausibly often; "
            f"{found['alert_rate']:g} expected in a collection without such items"
        )
    if found["repeated_queries"]:
        facts.append(f"{found['repeated_queries']} repeated queries count once")
    if not found["counted"]:
        facts.append("the index does not say how many items it has: those never found are left out")
    if not found["exact"]:
        facts.append("approximate: the index may miss items of a list")
    if found["without_bias"]:
        facts.append(f"{found['without_bias']} items have no stored bias: run distnorm index bias")
    return facts


def alert_words(hub: Mapping[str, Any]) -> str:
    """Where an item is found implausibly often; empty for the others."""
    before, after = hub["alert_before"], hub["alert_after"]
    if before is None and after is None:
        return ""
    where = {(True, False): ", mended", (False, True): " when normalized"}
    mended = where.get((before is not None, after is not None), "")
    return f"implausibly often{mended if hub['after'] is not None else ''}"
