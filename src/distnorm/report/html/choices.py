"""How ``auto`` chose: tables for the terminal, sections and a page of their own.

Input is what `Selection.to_dict` gives and a saved normalization carries, so that a choice made
elsewhere can be drawn as well. No number is computed here beyond a change of unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from distnorm.report.html.figures import curves
from distnorm.report.html.page import Cell, Figure, Section, Table, render
from distnorm.report.tables import PlainTable, words

__all__ = ["choice_page", "choice_sections", "choice_tables"]

_COLUMNS = ("method", "gain", "95 %", "net", "folds", "mutual", "occupied")
_EVIDENCE = {
    "planted": "gain: points of recall@1 of planted matches against the dot product, ± its "
    "standard error; it compares candidates and is no forecast. net: less the strength's price. "
    "folds: in how many it gains. mutual: queries that are their best item's best query. "
    "occupied: items that are some query's best",
    "labelled": "gain: points of mean reciprocal rank of held-out labelled pairs against the dot "
    "product, ± its standard error",
    "none": "",
}


def choice_tables(selection: Mapping[str, Any]) -> list[RenderableType]:
    """A table per query side, and what looks wrong with the samples."""
    found: list[RenderableType] = []
    for side, choice in selection["sides"].items():
        table = PlainTable(_title(side, choice), _COLUMNS, left=("method",))
        for entry in choice["candidates"]:
            style = "bold" if entry["method"] == choice["method"] else ""
            table.add_row(*_cells(entry, choice), style=style)
        table.caption = ". ".join(filter(None, [*_remarks(choice), _outweighed(choice)]))
        table.caption_justify = "left"
        found.append(table if choice["candidates"] else words(f"{table.title}: {table.caption}"))
    found += [words(f"note: {line}", style="yellow") for line in selection["warnings"]]
    return found


def choice_sections(selection: Mapping[str, Any]) -> list[Section]:
    """A section a query side: candidates, their curves, and the reason."""
    sections = []
    for side, choice in selection["sides"].items():
        lines = [*_remarks(choice)[:2], _outweighed(choice)]
        text = " ".join(f"{line[:1].upper()}{line[1:]}." for line in lines if line)
        tables, figures = [], []
        if choice["candidates"]:
            rows: list[list[Cell | str]] = [
                [
                    Cell(cell, "better") if entry["method"] == choice["method"] else cell
                    for cell in _cells(entry, choice)
                ]
                for entry in choice["candidates"]
            ]
            tables = [Table(_COLUMNS, rows, caption=_EVIDENCE[choice["evidence"]])]
            figures = [_figure(side, choice)]
        sections.append(Section(_title(side, choice), text, tables, figures))
    if selection["warnings"]:
        sections.append(Section("What looks wrong", " ".join(selection["warnings"])))
    return sections


def choice_page(selection: Mapping[str, Any], source: str) -> str:
    """A whole page about one choice; ``source`` names the samples."""
    lead = "Which method and strength the samples speak for, for queries of each side by itself."
    facts = [f"Rule: {selection['rule']}; seed {selection['seed']}."]
    return render(f"distnorm: {source}", lead, choice_sections(selection), facts)


def _title(side: str, choice: Mapping[str, Any]) -> str:
    strength = f" at strength {choice['strength']:.2f}" if choice["method"] != "dot" else ""
    return f"queries of the {side} side: {choice['method']}{strength}"


def _remarks(choice: Mapping[str, Any]) -> list[str]:
    basis = ""
    if choice["candidates"]:
        kind = "labelled pairs" if choice["evidence"] == "labelled" else "distinct samples"
        worth = choice.get("effective_samples")
        words = "" if worth is None else f" worth {worth:.0f}"
        basis = f"; {choice['samples']} {kind}{words}, {choice['gallery']} items"
        basis += f"{_covered(choice)}, {choice['folds']} folds"
    return [choice["why"] + basis, choice["more"], _EVIDENCE[choice["evidence"]]]


def _covered(choice: Mapping[str, Any]) -> str:
    if choice.get("coverage") is None:
        return ""
    kinds = "" if choice["kinds"] is None else f", kinds {100 * choice['kinds']:.0f} %"
    return (
        f" ({choice['effective_items']:.0f} in effect, coverage {100 * choice['coverage']:.0f} %"
        f"{kinds})"
    )


def _outweighed(choice: Mapping[str, Any]) -> str:
    """What spoke against each method that was not chosen, at its best gain."""
    told = []
    for entry in choice["candidates"]:
        if entry.get("outweighed"):
            best = max(entry["gains"], default=entry["gain"])
            told.append(f"{entry['method']} (best gain {100 * best:+.1f}) {entry['outweighed']}")
    return "Not taken: " + "; ".join(told) if told else ""


def _cells(entry: Mapping[str, Any], choice: Mapping[str, Any]) -> list[str]:
    name = (
        entry["method"] if entry["method"] == "dot" else "{method}@{strength:.2f}".format(**entry)
    )
    name += " ◀" * (entry["method"] == choice["method"])
    shares = [f"{100 * entry[key]:.0f} %" for key in ("mutual_agreement", "occupancy")]
    if entry["method"] == "dot":
        return [name, "", "", "", "", *shares]
    low, high = (100 * value for value in entry["interval"])
    return [
        name,
        f"{100 * entry['gain']:+.1f} ± {100 * entry['error']:.1f}",
        f"[{low:+.1f}, {high:+.1f}]",
        f"{100 * entry['net']:+.1f}",
        f"{entry['folds']}/{choice['folds']}",
        *shares,
    ]


def _figure(side: str, choice: Mapping[str, Any]) -> Figure:
    tried = [entry for entry in choice["candidates"] if entry["method"] != "dot"]
    strengths = [0.0, *tried[0]["strengths"]]
    lines = {
        entry["method"]: ([0.0, *(100 * v for v in entry["gains"])], [0.0] * len(strengths))
        for entry in tried
    }
    svg = curves(
        strengths,
        lines,
        x_label="strength",
        y_label="gain in points",
        label=f"gain by strength, queries of the {side} side",
    )
    return Figure(
        svg, "Gain of each method at the strengths that were tried; 0 is the dot product."
    )
