"""Rich tables for the terminal."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from distnorm.comparison import Comparison, MethodResult, MetricSummary
from distnorm.normalization import ScoreNormalization
from distnorm.report.html.titles import DIRECTION_TITLES, chosen_text, metric_title
from distnorm.tasks.retrieval import DIRECTIONS, RetrievalResult

__all__ = [
    "comparison_tables",
    "metrics_table",
    "normalization_table",
    "rank_change",
    "retrieval_table",
    "search_table",
]


def normalization_table(norm: ScoreNormalization) -> Table:
    """Method, strengths, counts and how sure each mean is."""
    table = Table(title=f"{norm.spec.title} ({norm.method})", title_justify="left")
    for column in ("queries of", "strength", "rows", "|mean|", "standard error", "cos(mean, true)"):
        table.add_column(column, justify="left" if column == "queries of" else "right")
    for side in norm.sides:
        found = norm.moments(side)
        cells = ["-", "-", "-"]
        if found is not None:
            sure = found.uncertainty()
            cells = [f"{sure.norm:.4f}", f"{sure.standard_error:.4f}", f"{sure.cosine:.3f}"]
        table.add_row(side, _in_force(norm, side), str(norm.counts[side]), *cells)
    table.caption = _facts(norm.params, norm.model, norm.prompt)
    return table


def retrieval_table(norm: ScoreNormalization, result: RetrievalResult) -> Table:
    """One method's figures, a row a direction."""
    word = ", transductive" if result.transductive else ""
    strength = _strength(norm.strength)
    table = Table(
        title=f"{norm.method} ({strength}{word}), {result.n_images} images, {result.n_texts} texts",
        title_justify="left",
    )
    names = [n.partition("_retrieval_")[2] for n in result.metrics if n.startswith(DIRECTIONS[0])]
    table.add_column("direction")
    for name in names:
        table.add_column(name, justify="right")
    for direction in DIRECTIONS:
        values = [(name, result.metrics[f"{direction}_{name}"]) for name in names]
        table.add_row(
            DIRECTION_TITLES[direction],
            *[f"{v:.1f}" if name == "median_rank" else f"{100 * v:.1f}" for name, v in values],
        )
    fitted = ", ".join(f"{n} {side}" for side, n in norm.counts.items())
    table.caption = (
        f"recall in %; statistics from {fitted} rows; prefix: {norm.prompt or 'not stated'}"
    )
    return table


def metrics_table(norm: ScoreNormalization, metrics: dict[str, float]) -> Table:
    """One method's figures, a column each."""
    table = Table(title=f"{norm.method} ({_strength(norm.strength)})", title_justify="left")
    for name in metrics:
        table.add_column(metric_title(name), justify="right")
    table.add_row(*[f"{100 * value:.1f}" for value in metrics.values()])
    fitted = ", ".join(f"{n} {side}" for side, n in norm.counts.items())
    prefix = norm.prompt or "not stated"
    table.caption = f"times 100; statistics from {fitted} rows; prefix: {prefix}"
    return table


def comparison_tables(comparison: Comparison) -> list[RenderableType]:
    """Every method's metrics, for retrieval a table a direction, then hubness and the ladder."""
    tables: list[RenderableType]
    if comparison.task == "retrieval":
        tables = [_recall(comparison, direction) for direction in DIRECTIONS]
    else:
        tables = [_metrics(comparison)]
    tables.append(Text(_footer(comparison), style="dim"))
    if comparison.diagnostics is not None:
        tables += [_hubness(comparison.diagnostics), _ladder(comparison.diagnostics)]
    return tables


def search_table(found: dict[str, Any]) -> Table:
    """The first items with their scores, and their places by the dot product."""
    normalized = found["method"] != "dot"
    ranked = normalized and all("rank_by_dot" in entry for entry in found["results"])
    title = f"{found['query']!r} in {found['n_items']} items"
    table = Table(title=title, title_justify="left")
    columns = ["rank", *(["side"] if found.get("side") == "both" else []), "item", "score"]
    columns += ["rank by dot", "change"] if ranked else []
    calibrated = any("false_alarm_rate" in entry for entry in found["results"])
    columns += ["false alarms"] if calibrated else []
    columns += ["dot product's list"] if "dot" in found else []
    for column in columns:
        left = column in ("side", "item", "dot product's list")
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    lists = zip_longest(found["results"], found.get("dot", []))
    for entry, plain in lists:
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
            cells.append("" if plain is None else plain["name"])
        table.add_row(*[Text(cell) for cell in cells])
    method = f"{found['method']}, strength {found['strength']:g}" if normalized else "dot product"
    table.caption = f"{method}; score: {found['score']}; model {found['model']}"
    if "threshold" in found:
        table.caption += (
            f"\n{found['rejected']} below {found['judged_by']['label']} {found['threshold']:.4f}"
            + (": nothing fits" if found["nothing_fits"] else "")
        )
    return table


def rank_change(entry: dict[str, Any], found: dict[str, Any]) -> tuple[str, str]:
    """Place by the dot product and how far an item rose (+) or fell; "new" from beyond a list."""
    before = entry.get("rank_by_dot")
    if before is None:
        return f">{found['fetched']}", "new"
    change = before - entry["rank"]
    return str(before), f"{change:+d}" if change else "="


def _metrics(comparison: Comparison) -> Table:
    word = ", transductive" if comparison.protocol["statistics"] == "transductive" else ""
    table = Table(title=f"{comparison.task}, times 100{word}", title_justify="left")
    table.add_column("method")
    table.add_column("strength", justify="right")
    names = list(comparison.results[0].metrics)
    for name in names:
        table.add_column(metric_title(name), justify="right")
        if comparison.results[0].metrics[name].delta_ci95 is not None:
            table.add_column("against dot [95 %]", justify="right")
    for result in comparison.results:
        cells: list[str | Text] = [_name(result), _strength(result.strength)]
        for name in names:
            summary = result.metrics[name]
            cells.append(f"{100 * summary.mean:.1f} ± {100 * summary.std:.1f}")
            if comparison.results[0].metrics[name].delta_ci95 is not None:
                cells.append(_change(result, summary))
        table.add_row(*cells)
    return table


def _recall(comparison: Comparison, direction: str) -> Table:
    word = ", transductive" if comparison.protocol["statistics"] == "transductive" else ""
    table = Table(title=f"{DIRECTION_TITLES[direction]}, recall in %{word}", title_justify="left")
    table.add_column("method")
    table.add_column("strength", justify="right")
    dot = comparison.results[0]
    prefix = f"{direction}_recall@"
    names = [name for name in dot.metrics if name.startswith(prefix)]
    for name in names:
        table.add_column(f"R@{name.removeprefix(prefix)}", justify="right")
    table.add_column(f"R@{names[0].removeprefix(prefix)} against dot [95 %]", justify="right")
    for result in comparison.results:
        cells = [
            f"{100 * result.metrics[n].mean:.1f} ± {100 * result.metrics[n].std:.1f}" for n in names
        ]
        table.add_row(
            _name(result),
            _strength(result.strength),
            *cells,
            _change(result, result.metrics[names[0]]),
        )
    return table


def _name(result: MethodResult) -> str:
    chosen = chosen_text(result.params)
    if chosen:
        return f"{result.method} ({chosen})"
    params = ",".join(f"{k}={v}" for k, v in result.params.items() if v is not None)
    name = f"{result.method} ({params})" if params and result.method != "dot" else result.method
    return f"{name}, transductive" if result.transductive else name


def _change(result: MethodResult, summary: MetricSummary) -> Text:
    if result.method == "dot" or summary.delta_ci95 is None:
        return Text("")
    low, high = summary.delta_ci95
    words = f"{100 * summary.delta:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    if not summary.significant:
        return Text(words + " within noise", style="dim")
    return Text(words + (" hurts" if high < 0 else ""), style="red" if high < 0 else "green")


def _footer(comparison: Comparison) -> str:
    protocol = comparison.protocol
    fitted = ", ".join(f"{n} {side}" for side, n in comparison.results[0].n_fit.items())
    sizes = ", ".join(f"{n} {what.removeprefix('n_')}" for what, n in comparison.sizes.items())
    return (
        f"{sizes}; statistics: "
        f"{protocol['statistics']}, {fitted} rows; {protocol['repeats']} splits, seed "
        f"{protocol['seed']}; prefix: {protocol.get('prompt') or 'not stated'}; "
        "± is the standard deviation over splits, the interval a paired bootstrap over images"
    )


def _hubness(diagnostics: dict[str, Any]) -> Table:
    table = Table(title="hubs (first split)", title_justify="left")
    table.add_column("method")
    for direction in DIRECTIONS:
        for what in ("skewness", "occupancy %", "top hub"):
            table.add_column(f"{DIRECTION_TITLES[direction]} {what}", justify="right")
    for entry in diagnostics["hubness"]:
        cells = []
        for direction in DIRECTIONS:
            found = entry[direction]
            hub = found["hubs"][0]
            cells += [
                f"{found['k_occurrence_skewness']:.2f}",
                f"{100 * found['occupancy']:.0f}",
                f"#{hub['item']} x{hub['count']}",
            ]
        table.add_row(entry["method"], *cells)
    norms = ", ".join(f"|mean {s}| {v:.3f}" for s, v in diagnostics["mean_norm"].items() if v)
    gap = diagnostics["modality_gap"]
    table.caption = f"modality gap {gap:.3f}, {norms}" if gap is not None else norms
    return table


def _ladder(diagnostics: dict[str, Any]) -> Table:
    table = Table(
        title="share of the exact log-partition's variance explained", title_justify="left"
    )
    table.add_column("bias of")
    table.add_column("1/tau", justify="right")
    for order in range(3):
        table.add_column(f"order {order}", justify="right")
    for name, rungs in diagnostics["ladder"].items():
        for start in range(0, len(rungs), 3):
            three = rungs[start : start + 3]
            table.add_row(
                name.removesuffix("_bias") + "s",
                f"{three[0]['inverse_temperature']:g}",
                *[f"{rung['explained_variance']:.2f}" for rung in three],
            )
    return table


def _in_force(norm: ScoreNormalization, side: str) -> str:
    """Strength for queries of a side; under auto the chosen method as well."""
    if norm.method != "auto":
        return f"{norm.strength[side]:g}"
    applied = norm.applied(side)
    return f"{applied.spec.name} {applied.strength:.2f}"


def _strength(strength: dict[str, float]) -> str:
    values = set(strength.values())
    if len(values) == 1:
        return f"{values.pop():g}"
    return ", ".join(f"{side} {value:g}" for side, value in strength.items())


def _facts(params: dict[str, Any], model: str | None, prompt: str | None) -> str:
    named = ", ".join(f"{k}={v}" for k, v in params.items() if v is not None) or "none"
    return f"parameters: {named}; model: {model or 'not stated'}; prompt: {prompt or 'not stated'}"
