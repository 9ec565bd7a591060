"""Plots as SVG that takes its colours from the page, so that light and dark both work.

matplotlib draws with stand-in colours; in the SVG they become ``currentColor`` and the page's
``--series-N`` variables. Text stays text. Needs the ``report`` extra.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from distnorm.errors import require
from distnorm.text import plain

__all__ = ["bars", "curves", "densities", "intervals", "occurrence_plot"]

_INK, _GRID = "#010101", "#020202"
_SERIES = ("#030301", "#030302", "#030303", "#030304", "#030305", "#030306", "#030307")
_WIDTH = 4.8


def curves(
    x: Sequence[float],
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    label: str,
    logarithmic: bool = False,
) -> str:
    """Lines with a band of one standard deviation: name -> (mean, std)."""
    figure, (axes,) = _axes(2.7)
    for color, (name, (mean, std)) in zip(_SERIES, lines.items(), strict=False):
        low = [m - s for m, s in zip(mean, std, strict=True)]
        high = [m + s for m, s in zip(mean, std, strict=True)]
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(x, mean, color=color, label=name, linewidth=1.8)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xticks(list(x), [f"{value:g}" for value in x])
        axes.minorticks_off()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend(frameon=False, ncols=3, fontsize=7)
    return _svg(figure, label)


def densities(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    *,
    x_label: str,
    label: str,
) -> str:
    """Filled histograms, one panel under the other: panel -> series -> (edges, density)."""
    figure, rows = _axes(1.7 * len(panels), rows=len(panels))
    for axes, (title, series) in zip(rows, panels.items(), strict=True):
        for color, (name, (edges, density)) in zip(_SERIES, series.items(), strict=False):
            axes.stairs(density, edges, fill=True, color=color, alpha=0.25, linewidth=0)
            axes.stairs(density, edges, color=color, label=name, linewidth=1.3)
        axes.set_title(title, loc="left", fontsize=8)
        axes.set_yticks([])
        axes.grid(False)
    rows[0].legend(frameon=False, fontsize=7)
    rows[-1].set_xlabel(x_label)
    return _svg(figure, label)


def bars(
    x: Sequence[str],
    groups: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    y_label: str,
    label: str,
) -> str:
    """Groups of bars side by side, on a logarithmic axis of counts."""
    figure, (axes,) = _axes(2.4)
    width = 0.8 / len(groups)
    for index, (color, (name, values)) in enumerate(zip(_SERIES, groups.items(), strict=False)):
        places = [at + (index - (len(groups) - 1) / 2) * width for at in range(len(x))]
        axes.bar(places, values, width=width, color=color, label=name)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(len(x)), list(x))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend(frameon=False, fontsize=7)
    return _svg(figure, label)


def intervals(
    panels: Mapping[str, Sequence[tuple[str, float, float, float]]], *, x_label: str, label: str
) -> str:
    """Differences with their intervals around 0: panel -> rows of (name, low, middle, high)."""
    most = max(len(rows) for rows in panels.values())
    # What ``auto`` chose is a long name: on one line it would leave the panels no room.
    names = {name: fill(name, 24) for rows in panels.values() for name, *_ in rows}
    lines = sum(name.count("\n") for name in names.values())
    figure, all_axes = _axes(0.7 + 0.24 * most + 0.1 * lines, columns=len(panels))
    for axes, (title, rows) in zip(all_axes, panels.items(), strict=True):
        for at, (_, low, middle, high) in enumerate(rows):
            color = _SERIES[1] if low > 0 else _SERIES[2] if high < 0 else _GRID
            axes.plot([low, high], [at, at], color=color, linewidth=2)
            axes.plot([middle], [at], "o", color=color, markersize=4.5)
        axes.axvline(0, color=_INK, linewidth=0.8)
        axes.set_yticks(range(len(rows)), [names[name] for name, *_ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_title(title, loc="left", fontsize=8)
    figure.supxlabel(x_label, color=_INK, fontsize=8)
    return _svg(figure, label)


def occurrence_plot(counts: Mapping[str, Sequence[int]], title: str, k: int = 10) -> str:
    """How many items are among the first ``k`` of how many queries, by name."""
    edges = [0, 1, 5, 10, 20, 40, 80, 160]
    labels = ["0", "1-4", "5-9", "10-19", "20-39", "40-79", "80-159", "160+"]
    upper = [*edges[1:], float("inf")]
    groups = {
        name: [
            float(sum(low <= count < high for count in values))
            for low, high in zip(edges, upper, strict=True)
        ]
        for name, values in counts.items()
    }
    return bars(
        labels,
        groups,
        x_label=f"queries that find an item among their first {k}",
        y_label="items",
        label=f"occurrences, {title}",
    )


def _axes(height: float, *, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    figures = require("matplotlib.figure", "report")
    require("matplotlib.backends.backend_svg", "report")
    figure = figures.Figure(figsize=(_WIDTH, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey="row").ravel()
    for axes in grid:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(_GRID)
        axes.tick_params(colors=_INK, labelsize=7)
        axes.grid(True, color=_GRID, alpha=0.35, linewidth=0.6)
        axes.set_axisbelow(True)
        for text in (axes.xaxis.label, axes.yaxis.label):
            text.set_color(_INK)
            text.set_fontsize(8)
    return figure, grid


def _svg(figure: Any, label: str) -> str:
    """The figure as an inline element whose colours are the page's."""
    matplotlib = require("matplotlib", "report")
    for text in figure.findobj(require("matplotlib.text", "report").Text):
        text.set_color(_INK)
    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = svg.replace(_INK, "currentColor").replace(_GRID, "var(--grid)")
    for number, color in enumerate(_SERIES, start=1):
        svg = svg.replace(color, f"var(--series-{number})")
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    svg = re.sub(r' style="([^"]*)"', _attributes, svg)
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    opening = re.match(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', svg)
    assert opening is not None
    head = (
        f'<svg role="img" aria-label="{html.escape(plain(label))}" viewBox="{opening.group(1)}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return head + svg[opening.end() :]


def _attributes(style: re.Match[str]) -> str:
    """A style as attributes of its own, which strict content security policies let pass."""
    pairs = (part.partition(":") for part in style.group(1).split(";") if part.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)
