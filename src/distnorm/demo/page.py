"""The demo as a page and as a summary for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from distnorm import __version__
from distnorm.comparison import Comparison
from distnorm.demo.experiment import METHODS, REPEATS, SAMPLES, Demo, cost
from distnorm.report.html.figures import curves
from distnorm.report.html.page import Cell, Example, Figure, Picture, Report, Section, Table
from distnorm.report.html.sections import (
    change_cell,
    comparison_section,
    hubness_section,
    ladder_section,
    similarity_section,
)
from distnorm.report.html.titles import metric_title
from distnorm.report.tables import PlainTable
from distnorm.scenes import WORLDS, Scene

__all__ = ["demo_page", "demo_report", "kept_words", "summary_table", "verdict", "whole_percents"]

_FIRST = ("text_retrieval_recall@1", "image_retrieval_recall@1")
_KINDS = {
    "helped": "DN ranks the picture higher",
    "hurt": "DN ranks the picture lower",
    "neither": "other pictures move, this one does not",
}


def demo_page(demo: Demo) -> str:
    """The whole page, HTML."""
    return demo_report(demo).html()


def demo_report(demo: Demo) -> Report:
    """Pictures first: queries side by side, hubs; then every task's table."""
    diagnostics = demo.retrieval.diagnostics
    assert diagnostics is not None
    world = WORLDS[demo.world]
    sections = [
        _examples(demo),
        _hubs(demo, diagnostics),
        comparison_section(
            "Retrieval",
            _without_prefix(demo.retrieval),
            text=f"{demo.size} pictures, one caption each. The {demo.world} world: "
            f"{world.description}. Green lies above the dot product, red below, grey is noise.",
        ),
        _worlds(demo),
        comparison_section(
            "Zero-shot classification",
            _without_prefix(demo.classification),
            text="Pictures of one object; the class is its colour and shape, a row from four "
            "prompts. Statistics of unlabelled pictures are all that ranking classes needs.",
            main=["acc1"],
        ),
        comparison_section(
            "Caption scoring",
            _without_prefix(demo.captions),
            text="Captions with 0 to 4 details replaced by false ones: how well does a score "
            "order them? Kendall's τ against the known damage, times 100.",
            main=["kendall_tau_b", "kendall_tau_c"],
        ),
        _augmentation(demo),
        similarity_section(demo.histograms, diagnostics["modality_gap"]),
        hubness_section(diagnostics, demo.occurrences),
        _samples(demo),
        ladder_section(diagnostics),
    ]
    facts = [
        f"distnorm {__version__}, model {demo.model} (drawn scenes only, not photographs)",
        f"world {demo.world}, {demo.size} pictures, seed {demo.seed}",
        f"statistics from {SAMPLES} pictures and {SAMPLES} captions of other scenes, drawn "
        f"{REPEATS} times; nothing evaluated is among them",
        "texts have no prefix; rows have unit length before the shift and are not normalized again",
    ]
    if demo.kept:
        facts.append(f"{kept_words(demo)}; all else was computed for this page")
    return Report("What distribution normalization does", _lead(demo), sections, facts)


def _lead(demo: Demo) -> str:
    """One sentence of verdict, and where it comes from."""
    recalls = {
        method: 100 * demo.retrieval[method].metrics[_FIRST[0]].mean for method in ("dot", "dn")
    }
    return (
        f"{verdict(demo)} For one: {recalls['dn']:.0f} % of pictures find their own caption first "
        f"with DN, {recalls['dot']:.0f} % by the plain dot product. All it takes is the means of "
        f"{SAMPLES} unlabelled pictures and {SAMPLES} unlabelled captions."
    )


def _without_prefix(comparison: Comparison) -> dict[str, Any]:
    found = comparison.to_dict()
    return {**found, "protocol": {**found["protocol"], "prompt": ""}}


def summary_table(demo: Demo) -> PlainTable:
    """All three tasks on one screen: the dot product, and what each method changes."""
    columns = _columns(demo)
    table = PlainTable(
        f"{demo.world} world, {demo.size} pictures, seed {demo.seed}",
        ["method", *(title for _, _, title in columns)],
        left=("method",),
    )
    for method in METHODS:
        table.add_row(method, *[_words(result, method, name) for result, name, _ in columns])
    for label, method in (("TTA", "dot"), ("TTA + dn", "dn")):
        cells = [f"{100 * demo.retrieval_tta[method].metrics[name].mean:.1f}" for name in _FIRST]
        cells.append(f"{100 * demo.classification_tta[method].metrics['acc1'].mean:.1f}")
        table.add_row(label, *cells, "")
    table.caption = (
        "in %; change against dot in points, ± half its 95 % interval, ~ within noise. Statistics: "
        f"{SAMPLES} + {SAMPLES} unlabelled samples that are not evaluated, {REPEATS} draws; "
        f"no prefix; TTA takes {cost()} encodings per picture"
    )
    return table


def _words(comparison: Comparison, method: str, name: str) -> Text:
    summary = comparison[method].metrics[name]
    if method == "dot" or summary.delta_ci95 is None:
        return Text(f"{100 * summary.mean:.1f}")
    low, high = summary.delta_ci95
    noise = low <= 0 <= high
    color = "dim" if noise else "green" if low > 0 else "red"
    half = 100 * (high - low) / 2
    return Text(f"{'~' if noise else ''}{100 * summary.delta:+.1f} ± {half:.1f}", style=color)


def kept_words(demo: Demo) -> str:
    """What was not computed anew."""
    augmented = any(name.endswith("_tta") for name in demo.kept)
    what = "test-time augmentation and the other worlds" if augmented else "the other worlds"
    return f"figures of {what} were computed before by this model and kept (--fresh: anew)"


def verdict(demo: Demo) -> str:
    """How many of the methods' changes are certain, and which way, in one sentence."""
    certain = [
        summary.delta > 0
        for comparison, name, _ in _columns(demo)
        for result in comparison.results[1:]
        for summary in [result.metrics[name]]
        if summary.significant
    ]
    total = len(_columns(demo)) * (len(METHODS) - 1)
    better = sum(certain)
    return (
        f"Of {total} changes (methods times tasks), {better} help and {len(certain) - better} hurt "
        f"beyond noise in the {demo.world} world."
    )


def _columns(demo: Demo) -> list[tuple[Comparison, str, str]]:
    return [
        (demo.retrieval, _FIRST[0], "image → text R@1"),
        (demo.retrieval, _FIRST[1], "text → image R@1"),
        (demo.classification, "acc1", "zero-shot top-1"),
        (demo.captions, "kendall_tau_c", "captions τ-c"),
    ]


def _worlds(demo: Demo) -> Section:
    """Recall@1 of every world, the shifted ones and the one like the training data."""
    tables = []
    for name in _FIRST:
        rows: list[list[Cell | str]] = []
        for world, comparison in demo.worlds.items():
            changes = [
                change_cell(method, comparison[method].metrics[name].to_dict())
                for method in METHODS[1:]
            ]
            dot = comparison["dot"].metrics[name]
            rows.append([world, f"{100 * dot.mean:.1f}", *changes])
        tables.append(Table(["world", *METHODS], rows, metric_title(name)))
    lines = [
        f"{world}: {WORLDS[world].description}; {comparison.sizes['n_images']} pictures"
        for world, comparison in demo.worlds.items()
    ]
    return Section(
        "Every world",
        "A model that is perfect for its pictures needs no correction: its dot product ranks best, "
        "and subtracting adds noise. Corrections pay where a model is used on what it was not "
        "trained on. Dot in %; changes in points, below them their 95 % intervals, ~ within noise.",
        tables,
        lines=lines,
    )


def _augmentation(demo: Demo) -> Section:
    tables = []
    for title, plain, augmented, names in (
        ("Retrieval", demo.retrieval, demo.retrieval_tta, _FIRST),
        ("Zero-shot classification", demo.classification, demo.classification_tta, ("acc1",)),
    ):
        rows: list[list[Cell | str]] = []
        for method in METHODS:
            label = "TTA alone" if method == "dot" else f"TTA + {method}"
            cells: list[Cell | str] = [label]
            for name in names:
                summary = augmented[method].metrics[name]
                cells += [
                    Cell(f"{100 * summary.mean:.1f}", "", f"± {100 * summary.std:.1f}"),
                    change_cell(method, summary.to_dict()),
                ]
            rows.append(cells)
        columns = ["method"]
        for name in names:
            columns += [metric_title(name), "against TTA alone"]
        dots = ", ".join(
            f"{metric_title(name)} {100 * plain['dot'].metrics[name].mean:.1f}" for name in names
        )
        tables.append(Table(columns, rows, title, f"Dot product without TTA: {dots}."))
    return Section(
        "Test-time augmentation, and normalization on top",
        f"Each picture, its mirror image and five crops, averaged: {cost()} encodings instead of "
        "one. Mirroring turns left into right, which these captions mention.",
        tables,
    )


def _hubs(demo: Demo, diagnostics: dict[str, Any]) -> Section:
    entries = {entry["method"]: entry["image_retrieval"] for entry in diagnostics["hubness"]}
    pictures = [
        _picture(demo.scenes[hub["item"]], f"{hub['count_before']} → {hub['count']} captions")
        for hub in entries["dn"]["hubs_before"]
    ]
    return Section(
        "Pictures that come up for everything",
        "A hub is a picture that many captions find, whatever they ask for. Below it: how many of "
        f"{demo.size} captions have it among their first ten, by the dot product → with DN. Ten "
        "would be equal shares.",
        examples=[Example("The largest hubs of the dot product", [("", pictures)])],
    )


def _examples(demo: Demo) -> Section:
    shown = []
    for entry in demo.examples:
        before = {row: place for place, row in enumerate(entry["dot"], start=1)}
        rows = [
            (
                name,
                [
                    _picture(
                        demo.scenes[row],
                        f"{place}" if key == "dot" else _moved(place, before.get(row)),
                        hit=row == entry["own"],
                    )
                    for place, row in enumerate(entry[key], start=1)
                ],
            )
            for key, name in (("dot", "dot product"), ("dn", "DN"))
        ]
        own = _picture(demo.scenes[entry["own"]], "")
        shown.append(
            Example(f"“{entry['query']}”", rows, own, text=_KINDS[entry["kind"]], tag="✓ its own")
        )
    shares = dict.fromkeys(_KINDS, 0.0)
    shares.update({entry["kind"]: entry["share"] for entry in demo.examples})
    shares["unchanged"] = 1 - sum(shares.values())
    words = {
        "helped": "rank their own picture higher with DN",
        "hurt": "lower",
        "neither": "as before, among other neighbours",
        "unchanged": "find the same five pictures in the same order",
    }
    parts = [
        f"{percent} % {words[kind]}"
        for kind, percent in zip(shares, whole_percents(list(shares.values())), strict=True)
    ]
    return Section(
        "Queries, side by side",
        "The small picture is the caption's own. Two captions of each kind, the first in the order "
        f"of the data. Of all {demo.size} captions, by their first five pictures: "
        f"{', '.join(parts)}.",
        examples=shown,
    )


def whole_percents(shares: Sequence[float]) -> list[int]:
    """Shares of a whole as whole percents that add up to 100: largest remainders go up."""
    exact = [100 * share for share in shares]
    whole = [math.floor(value) for value in exact]
    order = sorted(range(len(exact)), key=lambda at: (whole[at] - exact[at], at))
    for at in order[: 100 - sum(whole)]:
        whole[at] += 1
    return whole


def _moved(place: int, before: int | None) -> str:
    """A place with how it came about: ``1, was 3``, ``2, new``, ``5``."""
    if before is None:
        return f"{place}, new"
    return f"{place}" if place == before else f"{place}, was {before}"


def _samples(demo: Demo) -> Section:
    counts = demo.curves["counts"]
    figures = []
    for name in _FIRST:
        base = 100 * demo.curves["dot"][name]
        lines = {"dot": ([base] * len(counts), [0.0] * len(counts))}
        for method in ("dn", "dn2", "nnn"):
            curve = demo.curves[method][name]
            lines[method] = (
                [100 * value for value in curve["mean"]],
                [100 * value for value in curve["std"]],
            )
        svg = curves(
            counts,
            lines,
            x_label="unlabelled samples of the queries' side",
            y_label=f"{metric_title(name)}, %",
            label=f"samples, {name}",
            logarithmic=True,
        )
        figures.append(
            Figure(svg, f"Mean and standard deviation over {demo.curves['draws']} draws.")
        )
    return Section("How many samples does the mean need?", figures=figures)


def _picture(scene: Scene, caption: str, *, hit: bool = False) -> Picture:
    return Picture.of(scene.image(), caption, hit=hit, alt=scene.captions(1)[0])
