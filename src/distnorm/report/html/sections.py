"""Sections of a page from a comparison's JSON; the same for every task.

Input is what ``distnorm compare --json`` prints (schema 1), so that a saved file can be drawn
as well as a result at hand. No number is computed here beyond a change of unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distnorm.methods.sides import Sides
from distnorm.report.html.choices import choice_sections
from distnorm.report.html.figures import densities, intervals, occurrence_plot
from distnorm.report.html.page import Cell, Figure, Report, Section, Table
from distnorm.report.html.titles import (
    IMAGE_TEXT,
    chosen_text,
    counts_text,
    direction_title,
    metric_note,
    metric_title,
    prior_text,
    strength_text,
)
from distnorm.report.verdict import verdict_lines, verdict_sentence
from distnorm.tasks.retrieval import DIRECTIONS

__all__ = [
    "change_cell",
    "comparison_page",
    "comparison_report",
    "comparison_section",
    "hubness_section",
    "ladder_section",
    "protocol_line",
    "similarity_section",
]


def protocol_line(result: Mapping[str, Any]) -> str:
    """Where statistics came from, how many, which seed and prefix."""
    protocol = result["protocol"]
    fitted = ", ".join(f"{n} {side}" for side, n in result["results"][-1]["n_fit"].items())
    sizes = counts_text({n: x for n, x in result.items() if n.startswith("n_")}, _sides(result))
    return (
        f"{sizes}. Statistics: {protocol['statistics']}, {fitted} rows; "
        f"{protocol['repeats']} draws, seed {protocol['seed']}; "
        f"{_prefix(protocol.get('prompt'))}. ± is the standard deviation over draws; below a "
        "change stands the 95 % interval of a paired bootstrap, ~ marks changes within noise."
    )


def _sides(result: Mapping[str, Any]) -> Sequence[str]:
    """What the two sides are called."""
    sides: Sequence[str] = result["protocol"].get("sides", IMAGE_TEXT)
    return sides


def _prefix(prompt: str | None) -> str:
    """What stood before every text when it was embedded; vectors in files do not say."""
    meaning = "the words before every text, as in “a photo of”"
    if prompt:
        return f"prefix, {meaning}: {prompt!r}"
    if prompt is None:
        return f"no prefix stated ({meaning}; --prompt states it)"
    return f"no prefix ({meaning})"


def comparison_page(result: Mapping[str, Any], source: str) -> str:
    """A whole page out of a comparison's JSON."""
    return comparison_report(result, source).html()


def comparison_report(result: Mapping[str, Any], source: str) -> Report:
    """One sentence of verdict, the tables, and what explains them."""
    sides = _sides(result)
    lines = verdict_lines(result.get("verdict"), sides)
    sections = [comparison_section(result["task"].capitalize(), result)]
    sections += [Section("What each kind of method gains", lines=lines)] if lines else []
    diagnostics = result.get("diagnostics")
    if diagnostics is not None:
        if diagnostics.get("histograms") is not None:
            sections.append(
                similarity_section(diagnostics["histograms"], diagnostics["modality_gap"], sides)
            )
        sections += [hubness_section(diagnostics, sides=sides), ladder_section(diagnostics)]
        if diagnostics.get("selection") is not None:
            sections += choice_sections(diagnostics["selection"])
    lead = verdict_sentence(result.get("verdict"), sides) or "Every method against the dot product."
    return Report(f"distnorm: {source}", lead, sections, [protocol_line(result)])


def comparison_section(
    title: str, result: Mapping[str, Any], *, text: str = "", main: Sequence[str] | None = None
) -> Section:
    """Table of every metric and a plot of the differences to the dot product."""
    entries, sides = result["results"], _sides(result)
    names = [n for n in entries[0]["metrics"] if entries[0]["metrics"][n] is not None]
    if main is None:
        main = [
            name
            for name in names
            if entries[-1]["metrics"][name]["delta_ci95"] is not None
            and not name.endswith(("@5", "@10"))
        ]
    tables = [_table(entries, group, main, sides) for group in _groups(names)]
    last = tables[-1]
    note = f"{protocol_line(result)} {metric_note(names)}"
    tables[-1] = Table(last.columns, last.rows, last.title, note)
    panels = {
        metric_title(name, sides): [
            (_method(entry), *_points(entry["metrics"][name])) for entry in entries[1:]
        ]
        for name in main
    }
    figures = []
    if len(entries) > 1 and panels:
        svg = intervals(panels, x_label="points against the dot product", label=title)
        caption = "Difference to the dot product with its 95 % interval; grey crosses 0."
        figures.append(Figure(svg, caption))
    return Section(title, text, tables, figures)


def similarity_section(
    histograms: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    gap: float | None,
    sides: Sequence[str] = IMAGE_TEXT,
) -> Section:
    """Histograms of similarities before and after; see `diagnostics.similarity_histograms`."""
    panels = {
        panel: {name: (h["edges"], h["density"]) for name, h in series.items()}
        for panel, series in histograms.items()
    }
    first, second = map(Sides.plural, sides)
    said = "" if gap is None else f" The means of the two sides lie {gap:.3f} apart."
    return Section(
        "The modality gap",
        f"Two {first}, or two {second}, resemble each other far more than a pair of both: "
        "the two sides sit in different corners of the sphere." + said + " Subtracting a part "
        "of each side's mean draws them together.",
        figures=[Figure(densities(panels, x_label="similarity", label="similarities"))],
    )


def hubness_section(
    diagnostics: Mapping[str, Any],
    occurrences: Mapping[str, Mapping[str, Sequence[int]]] | None = None,
    sides: Sequence[str] = IMAGE_TEXT,
) -> Section:
    """Hubs of every method, and how often items are found if ``occurrences`` holds counts.

    ``occurrences`` maps direction to method to the counts of `diagnostics.occurrence_counts`.
    """
    titles = {direction: direction_title(direction, sides) for direction in DIRECTIONS}
    rows = []
    for entry in diagnostics["hubness"]:
        cells: list[Cell | str] = [_method(entry)]
        for direction in DIRECTIONS:
            found = entry[direction]
            hub = found["hubs"][0]
            cells += [
                f"{found['k_occurrence_skewness']:.2f}",
                f"{100 * found['occupancy']:.0f} %",
                f"#{hub['item']}, {hub['count']} times",
            ]
        rows.append(cells)
    columns = ["method"]
    for title in titles.values():
        columns += [f"{title} skewness", "ever found first", "largest hub"]
    figures = [
        Figure(
            occurrence_plot(counts, titles[direction]),
            f"{titles[direction]}: how many items are among the first 10 of how many queries.",
        )
        for direction, counts in (occurrences or {}).items()
    ]
    text = (
        "A hub is an item that many queries find whatever they ask for. Skewness of the "
        "10-occurrence is 0 when all items are found equally often."
    )
    return Section("Hubs", text, [Table(columns, rows)], figures)


def ladder_section(diagnostics: Mapping[str, Any]) -> Section:
    """How much of the exact log-partition each order explains."""
    rows: list[list[Cell | str]] = []
    for name, rungs in diagnostics["ladder"].items():
        for start in range(0, len(rungs), 3):
            three = rungs[start : start + 3]
            rows.append(
                [
                    Sides.plural(name.removesuffix("_bias")),
                    f"{three[0]['inverse_temperature']:g}",
                    *[_explained(rung["explained_variance"]) for rung in three],
                ]
            )
    return Section(
        "Zeroth, first, second order",
        "Share of the variance of the exact log-partition, over held-out items, that each order "
        "of its expansion explains: the dot product is order 0, DN order 1, its second-order "
        "form order 2. 1 is exact, 0 explains nothing. Below 0 the order is worse than nothing: at "
        "that temperature a few items outweigh all others, which no mean and no covariance "
        "describes, and a larger order strays further.",
        [Table(["bias of", "1/τ", "order 0", "order 1", "order 2"], rows)],
    )


def _explained(share: float) -> Cell:
    """A share of variance; a negative one is said to be worse than nothing."""
    return Cell(f"{share:.2f}") if share >= 0 else Cell(f"{share:.1f}", "worse", "worse than none")


def _groups(names: Sequence[str]) -> list[list[str]]:
    """Metrics of one direction go into one table; all others into one."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(next((d for d in DIRECTIONS if name.startswith(d)), ""), []).append(name)
    return list(found.values())


def _table(
    entries: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    main: Sequence[str],
    sides: Sequence[str],
) -> Table:
    direction = next((d for d in DIRECTIONS if names[0].startswith(d)), None)
    heading = direction_title(direction, sides) if direction else ""
    columns = ["method", "strength"]
    for name in names:
        columns.append(metric_title(name, sides).removeprefix(heading).strip())
        if name in main:
            columns.append("against dot")
    rows: list[list[Cell | str]] = []
    for entry in entries:
        applied = strength_text(entry["strength"], entry.get("params", {}))
        cells: list[Cell | str] = [_method(entry), applied]
        for name in names:
            summary = entry["metrics"][name]
            unit = 1 if name.endswith("rank") else 100
            spread = unit * summary["std"]
            cells.append(
                Cell(f"{unit * summary['mean']:.1f}", "", f"± {spread:.1f}" if spread else "")
            )
            if name in main:
                cells.append(change_cell("" if entry.get("params") else entry["method"], summary))
        rows.append(cells)
    return Table(columns, rows, heading)


def change_cell(method: str, summary: Mapping[str, Any]) -> Cell:
    """The change against the dot product with its interval, in points."""
    if method == "dot" or summary["delta_ci95"] is None:
        return Cell("")
    middle, low, high = (100 * value for value in (summary["delta"], *summary["delta_ci95"]))
    interval = f"[{low:+.1f}, {high:+.1f}]"
    if low <= 0 <= high:
        return Cell(f"~ {middle:+.1f}", "noise", interval)
    return Cell(f"{middle:+.1f}", "better" if low > 0 else "worse", interval)


def _points(summary: Mapping[str, Any]) -> tuple[float, float, float]:
    low, high = summary["delta_ci95"]
    return 100 * low, 100 * summary["delta"], 100 * high


def _method(entry: Mapping[str, Any]) -> str:
    word = ", transductive" if entry.get("transductive") else ""
    params = entry.get("params", {})
    chosen = "; ".join(filter(None, (chosen_text(params), prior_text(params))))
    return f"{entry['method']}{word} ({chosen})" if chosen else f"{entry['method']}{word}"
