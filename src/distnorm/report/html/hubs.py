"""Hubs of a query log as a page, with the pictures that come up most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distnorm.report.html.figures import occurrence_plot
from distnorm.report.html.page import Cell, Example, Figure, Picture, Section, Table, render
from distnorm.report.html.thumbnails import Thumbnails, is_picture
from distnorm.report.many import alert_words, hub_facts, summary_rows

__all__ = ["hubs_page"]

_SHOWN, _EDGE = 10, 192


def hubs_page(
    found: Mapping[str, Any],
    counts: Mapping[str, Sequence[int]] | None = None,
    pictures: Path | None = None,
) -> tuple[str, int]:
    """The page of the JSON of ``distnorm index hubs``, and how many pictures are missing in it.

    ``counts`` holds the queries that find each item, by ranking; ``pictures`` is the folder that
    names begin from.
    """
    thumbnails = Thumbnails(pictures, _EDGE)
    after = found["after"]
    rankings = {"dot product": "before"}
    if after is not None:
        rankings[f"{after['method']}@{after['strength']:g}"] = "after"
    rows = [
        (
            name,
            [
                _shown(hub, hub[key], found["n_queries"], thumbnails)
                for hub in sorted(found["hubs"], key=lambda hub: -hub[key])[:_SHOWN]
            ],
        )
        for name, key in rankings.items()
    ]
    figures = []
    if counts:
        svg = occurrence_plot(counts, "items", found["k"])
        figures.append(Figure(svg, "How many items come up for how many queries."))
    sections = [
        Section(
            "Hubs",
            "A hub is an item that many queries find whatever they ask for. Effective items are "
            "so many as would crowd the lists as much if all came up equally often.",
            [Table(["ranking", "", "", "", ""], summary_rows(found))],
            figures,
            [
                Example(
                    f"What {found['n_queries']} queries find most",
                    rows,
                    tag="implausibly often",
                    mark="alarm",
                )
            ],
        ),
        Section("Items", tables=[_table(found)]),
    ]
    lead = "From queries alone, without pairs: which items come up for how many of them."
    facts = [f"first {found['k']} items of each query", *hub_facts(found)]
    return render(f"distnorm: hubs of {found['index']}", lead, sections, facts), len(
        thumbnails.missing
    )


def _shown(
    hub: Mapping[str, Any], count: int, queries: int, thumbnails: Thumbnails
) -> Picture | Cell:
    name = str(hub.get("name") or hub["id"])
    place = str(hub.get("picture") or name)
    source = thumbnails.of(place) if is_picture(place) else None
    words = f"{name}: {count} of {queries}"
    odd = bool(alert_words(hub))
    if source is None:
        return Cell(words, "hit" if odd else "")
    return Picture(source, words, odd)


def _table(found: Mapping[str, Any]) -> Table:
    after = found["after"] is not None
    rows: list[list[Cell | str]] = []
    for hub in found["hubs"]:
        cells: list[Cell | str] = [str(hub["id"]), str(hub.get("name") or "")]
        cells.append(str(hub["before"]))
        if after:
            kind = "better" if hub["after"] < hub["before"] else ""
            cells.append(Cell(str(hub["after"]), kind))
        cells.append(Cell(alert_words(hub), "worse"))
        rows.append(cells)
    columns = ["id", "name", "queries, dot product"]
    return Table([*columns, *([f"queries, {found['after']['method']}"] if after else []), ""], rows)
