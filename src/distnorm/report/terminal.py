"""Rich tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from distnorm.methods.sides import Sides
from distnorm.report.html.titles import (
    IMAGE_TEXT,
    chosen_text,
    counts_text,
    direction_title,
    metric_title,
    prior_text,
    samples_lines,
    strength_text,
)
from distnorm.report.normalizations import strength_in_force
from distnorm.report.tables import PlainTable, words
from distnorm.tasks.retrieval import DIRECTIONS
from distnorm.tasks.shared_rows import SharedRows, shared_text
from distnorm.text import plain

if TYPE_CHECKING:
    from distnorm.comparison import Comparison, MethodResult, MetricSummary
    from distnorm.moments import Overlap
    from distnorm.monitoring.drift import Difference
    from distnorm.normalization import ScoreNormalization
    from distnorm.tasks.captioning import CaptionResult
    from distnorm.tasks.classification import ClassificationResult
    from distnorm.tasks.detection import DetectionResult
    from distnorm.tasks.retrieval import RetrievalResult

__all__ = [
    "comparison_tables",
    "detection_table",
    "difference_table",
    "metrics_table",
    "rank_change",
    "retrieval_table",
    "score_matrix_table",
    "search_table",
]


def retrieval_table(
    norm: ScoreNormalization, result: RetrievalResult, prompt: str | None = None
) -> Table:
    """One method's figures, one row per direction."""
    table = score_matrix_table(_named(norm), result, norm.sides)
    table.caption = f"recall in %; {_source(norm, prompt)}{_shared(result.shared_rows)}"
    return table


def score_matrix_table(
    name: str, result: RetrievalResult, sides: Sequence[str] = ("image", "text")
) -> Table:
    """Figures of a matrix of scores, one row per direction."""
    word = ", transductive" if result.transductive else ""
    one, two = map(Sides.plural, sides)
    title = f"{name}{word}, {result.n_images} {one}, {result.n_texts} {two}"
    names = [n.partition("_retrieval_")[2] for n in result.metrics if n.startswith(DIRECTIONS[0])]
    heads = [name.replace("_", " ") for name in names]
    table = PlainTable(title, ("direction", *heads), left=("direction",))
    for direction in DIRECTIONS:
        values = [(name, result.metrics[f"{direction}_{name}"]) for name in names]
        table.add_row(
            direction_title(direction, sides),
            *[f"{v:.1f}" if name == "median_rank" else f"{100 * v:.1f}" for name, v in values],
        )
    table.caption = "recall in %"
    return table


def metrics_table(
    norm: ScoreNormalization, result: ClassificationResult | CaptionResult, prompt: str | None
) -> Table:
    """One method's figures, one column each."""
    word = ", transductive" if result.transductive else ""
    table = PlainTable(_named(norm) + word, map(metric_title, result.metrics))
    table.add_row(*[f"{100 * value:.1f}" for value in result.metrics.values()])
    table.caption = f"times 100; {_source(norm, prompt)}{_shared(result.shared_rows)}"
    return table


def comparison_tables(comparison: Comparison) -> list[RenderableType]:
    """Every method's metrics, retrieval by direction, then hubness and the ladder."""
    tables: list[RenderableType]
    if comparison.task == "retrieval":
        tables = [_recall(comparison, direction) for direction in DIRECTIONS]
    else:
        tables = [_metrics(comparison)]
    tables.append(words(_footer(comparison), style="dim"))
    if comparison.diagnostics is not None:
        hubs = _hubness(comparison.diagnostics, _sides(comparison))
        tables += [*hubs, _ladder(comparison.diagnostics)]
    return tables


def search_table(found: dict[str, Any]) -> Table:
    """The first items with their scores, and their places by the dot product."""
    normalized = found["method"] != "dot"
    ranked = normalized and all("rank_by_dot" in entry for entry in found["results"])
    columns = ["rank", *(["side"] if found.get("side") == "both" else []), "item", "score"]
    columns += ["rank by dot", "change"] if ranked else []
    calibrated = any("false_alarm_rate" in entry for entry in found["results"])
    columns += ["false alarms"] if calibrated else []
    columns += ["dot product's list"] if "dot" in found else []
    title = f"{found['query']!r} in {found['n_items']} items"
    table = PlainTable(title, columns, left=("side", "item", "dot product's list"))
    for column in table.columns:
        column.overflow = "fold"
    lists = zip_longest(found["results"], found.get("dot", []))
    for entry, dot in lists:
        cells = [""] * (len(columns) - ("dot" in found))
        if entry is not None:
            cells = [str(entry["rank"]), entry["name"], f"{entry['value']:.4f}"]
            if found.get("side") == "both":
                cells.insert(1, entry["side"])
            if ranked:
                cells += list(rank_change(entry, found))
            if calibrated:
                cells.append(f"{entry['false_alarm_rate']:.1e}")
        if "dot" in found:
            cells.append("" if dot is None else dot["name"])
        table.add_row(*cells)
    method = f"{found['method']}, strength {found['strength']:g}" if normalized else "dot product"
    table.caption = f"{method}; score: {found['score']}; model {plain(found['model'])}"
    if "threshold" in found:
        table.caption += (
            f"\n{found['rejected']} below {found['judged_by']['label']} {found['threshold']:.4f}"
            + (": nothing fits" if found["nothing_fits"] else "")
        )
    return table


def detection_table(result: DetectionResult) -> Table:
    """Recall and false alarms at a threshold."""
    title = f"{result.score['label']} above {result.threshold:.4f}"
    table = PlainTable(title, [name.replace("_", " ") for name in result.metrics])
    table.add_row(*["-" if value is None else f"{value:.3g}" for value in result.metrics.values()])
    expected = result.expected_false_alarm_rate
    if expected is not None:
        table.caption = (
            f"expected false-alarm rate {expected['value']:.3g} "
            f"[{expected['low']:.3g}, {expected['high']:.3g}]"
        )
    return table


def difference_table(found: Difference) -> Table:
    """Distances of means, changes in ranking, and the verdict."""
    word = "interchangeable" if found.interchangeable else "different"
    table = PlainTable(word, ("what", "found"), left=("what",))
    for key, (one, two) in found.settings.items():
        table.add_row(key, f"{one} / {two}")
    for side, test in found.means.items():
        assumed = ", dimensions assumed" if test.assumed else ""
        table.add_row(
            f"{side} means",
            f"{test.distance:.4f} apart, {test.expected:.4f} expected, "
            f"p = {test.p_value:.2g}{assumed}",
        )
    for side, change in (found.ranking or {}).items():
        figures = ", ".join(
            f"{name.replace('_', ' ')} {value:.3f}"
            for name, value in change.items()
            if name != "queries"
        )
        table.add_row(f"{change['queries']} {side} queries", figures)
    table.caption = found.why
    return table


def rank_change(entry: dict[str, Any], found: dict[str, Any]) -> tuple[str, str]:
    """Place by the dot product and how far an item rose (+) or fell; "new" from beyond a list."""
    before = entry.get("rank_by_dot")
    if before is None:
        return f">{found['fetched']}", "new"
    change = before - entry["rank"]
    return str(before), f"{change:+d}" if change else "="


def _metrics(comparison: Comparison) -> Table:
    title = f"{comparison.task}, times 100{_transductive(comparison)}"
    table = PlainTable(title, ("method", "strength"), left=("method",))
    base = comparison.results[0].metrics
    for name in base:
        table.add_column(metric_title(name, _sides(comparison)), justify="right")
        if base[name].delta_ci95 is not None:
            table.add_column("against dot [95 %]", justify="right")
    for result in comparison.results:
        cells: list[str | Text] = [_name(result), strength_text(result.strength, result.params)]
        for name in base:
            cells.append(_spread(result.metrics[name]))
            if base[name].delta_ci95 is not None:
                cells.append(_change(result, result.metrics[name]))
        table.add_row(*cells)
    return table


def _recall(comparison: Comparison, direction: str) -> Table:
    prefix = f"{direction}_recall@"
    names = [name for name in comparison.results[0].metrics if name.startswith(prefix)]
    recalls = [f"R@{name.removeprefix(prefix)}" for name in names]
    columns = ("method", "strength", *recalls, f"{recalls[0]} against dot [95 %]")
    words = direction_title(direction, _sides(comparison))
    title = f"{words}, recall in %{_transductive(comparison)}"
    table = PlainTable(title, columns, left=("method",))
    for result in comparison.results:
        table.add_row(
            _name(result),
            strength_text(result.strength, result.params),
            *[_spread(result.metrics[name]) for name in names],
            _change(result, result.metrics[names[0]]),
        )
    return table


def _transductive(comparison: Comparison) -> str:
    return ", transductive" if comparison.protocol["statistics"] == "transductive" else ""


def _spread(summary: MetricSummary) -> str:
    return f"{100 * summary.mean:.1f} ± {100 * summary.std:.1f}"


def _name(result: MethodResult) -> str:
    chosen = "; ".join(filter(None, (chosen_text(result.params), prior_text(result.params))))
    if chosen:
        return f"{result.method} ({chosen})"
    params = ",".join(f"{k}={v}" for k, v in result.params.items() if v is not None)
    name = f"{result.method} ({params})" if params else result.method
    return f"{name}, transductive" if result.transductive else name


def _change(result: MethodResult, summary: MetricSummary) -> Text:
    if (result.method == "dot" and not result.params) or summary.delta_ci95 is None:
        return Text("")
    low, high = summary.delta_ci95
    words = f"{100 * summary.delta:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    if not summary.significant:
        return Text(words + " within noise", style="dim")
    return Text(words + (" hurts" if high < 0 else ""), style="red" if high < 0 else "green")


def _sides(comparison: Comparison) -> Sequence[str]:
    sides: Sequence[str] = comparison.protocol.get("sides", IMAGE_TEXT)
    return sides


def _footer(comparison: Comparison) -> str:
    protocol = comparison.protocol
    fitted = ", ".join(f"{n} {side}" for side, n in comparison.results[0].n_fit.items())
    sides = _sides(comparison)
    return (
        f"{counts_text(comparison.sizes, sides)}; statistics: "
        f"{protocol['statistics']}, {fitted} rows; {protocol['repeats']} splits, seed "
        f"{protocol['seed']}; prefix: {plain(protocol.get('prompt') or 'not stated')}; "
        "± is the standard deviation over splits, the interval a paired bootstrap over "
        f"{Sides.plural(sides[0])}"
        f"{_most_shared(comparison)}{samples_lines(r.params for r in comparison.results)}"
    )


def _most_shared(comparison: Comparison) -> str:
    """Lines on evaluated rows that were fitted, of the method with most of them."""
    found: dict[str, Overlap] = {}
    for result in comparison.results:
        for side, each in result.shared_rows.items():
            if side not in found or each.fitted > found[side].fitted:
                found[side] = each
    said = shared_text(found)
    equal = "; equal rows of other items" if comparison.protocol["statistics"] == "held-out" else ""
    return f"\n{said}{equal} (of all splits the one with most)" if said else ""


def _hubness(diagnostics: dict[str, Any], sides: Sequence[str]) -> Sequence[Table]:
    tables = []
    for direction in DIRECTIONS:
        title = f"hubs, {direction_title(direction, sides)} (first split)"
        table = PlainTable(
            title, ("method", "skewness", "occupancy %", "top hub"), left=("method",)
        )
        for entry in diagnostics["hubness"]:
            found = entry[direction]
            hub = found["hubs"][0]
            table.add_row(
                entry["method"],
                f"{found['k_occurrence_skewness']:.2f}",
                f"{100 * found['occupancy']:.0f}",
                f"#{hub['item']} x{hub['count']}",
            )
        tables.append(table)
    norms = ", ".join(f"|mean {s}| {v:.3f}" for s, v in diagnostics["mean_norm"].items() if v)
    gap = diagnostics["modality_gap"]
    table.caption = f"modality gap {gap:.3f}, {norms}" if gap is not None else norms
    return tables


def _ladder(diagnostics: dict[str, Any]) -> Table:
    title = "share of the exact log-partition's variance explained"
    columns = ("bias of", "1/tau", *(f"order {order}" for order in range(3)))
    table = PlainTable(title, columns, left=("bias of",))
    for name, rungs in diagnostics["ladder"].items():
        for start in range(0, len(rungs), 3):
            three = rungs[start : start + 3]
            table.add_row(
                Sides.plural(name.removesuffix("_bias")),
                f"{three[0]['inverse_temperature']:g}",
                *[f"{rung['explained_variance']:.2f}" for rung in three],
            )
    return table


def _named(norm: ScoreNormalization) -> str:
    """Method and strength for queries of each side; under auto what was chosen for each."""
    if norm.spec.chooses:
        return (
            f"{norm.method} ({', '.join(f'{s} {strength_in_force(norm, s)}' for s in norm.sides)})"
        )
    return f"{norm.method} ({strength_text(norm.strength)})"


def _shared(shared: SharedRows) -> str:
    """A line on evaluated rows that were fitted, or nothing."""
    said = shared_text(shared)
    return f"\n{said}" if said else ""


def _source(norm: ScoreNormalization, prompt: str | None) -> str:
    fitted = ", ".join(f"{n} {side}" for side, n in norm.counts.items())
    return f"statistics from {fitted} rows; prefix: {plain(prompt or norm.prompt or 'not stated')}"
