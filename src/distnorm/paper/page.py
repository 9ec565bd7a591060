"""The benchmark's results as Markdown and as one HTML page; no number is computed here.

Every cell reads "ours ± spread (paper, difference)", times 100. Where the paper's number is of
another model, the sentence above the table says so: such a difference tells little.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from distnorm.errors import DistnormError
from distnorm.paper.cells import Benchmark, Cell, table
from distnorm.report.html.page import Cell as PageCell
from distnorm.report.html.page import Section, Table, render
from distnorm.report.html.sections import change_cell
from distnorm.report.html.titles import metric_title
from distnorm.system.files import atomic_write
from distnorm.text import markdown

__all__ = ["facts", "html_page", "main_metric", "markdown_page", "value_text", "write_results"]

_MAIN = {
    "retrieval": ("image_retrieval_recall@1", "text_retrieval_recall@1"),
    "classification": ("acc1",),
}
_SHOWN = {
    "retrieval": tuple(
        f"{direction}_{k}"
        for direction in ("text_retrieval", "image_retrieval")
        for k in ("recall@1", "recall@5", "recall@10", "r_precision", "map@r")
    ),
    "classification": ("acc1", "acc5", "mean_per_class_recall"),
}
_LEAD = (
    "Ours ± standard deviation over seeds (the paper's number, the difference), times 100. "
    "No number of the paper stands in for one of ours."
)


def main_metric(cell: Cell) -> tuple[str, ...]:
    """The metrics whose difference to the dot product is shown."""
    if cell.task in _MAIN:
        return _MAIN[cell.task]
    return (next(name for name in ("accuracy", *_tau(cell)) if name in cell.metrics),)


def value_text(cell: Cell, name: str, *, with_model: bool = False) -> str:
    """One metric of a cell: ours, its spread, the paper's (of which model), the difference."""
    summary = cell.metrics.get(name)
    if summary is None:
        return "-"
    ours = f"{100 * summary.mean:.1f}"
    if summary.std or cell.settings.get("transductive") is False:
        ours += f" ± {100 * summary.std:.1f}"
    if cell.paper is None or name not in cell.paper.metrics:
        return ours
    theirs, difference = 100 * cell.paper.metrics[name], 100 * cell.differences[name]
    other = f"{cell.paper.model} " if with_model and not cell.paper.same_model else ""
    return f"{ours} ({other}{theirs:.1f}, {difference:+.1f})"


def facts(benchmark: Benchmark) -> list[str]:
    """What all numbers rest on."""
    protocol = benchmark.protocol
    return [
        f"model {benchmark.model} ({benchmark.model_id})",
        f"protocol {protocol['name']}, {protocol['version']}: {protocol['statistics']}",
        f"methods {', '.join(protocol['methods'])}; augmentation {', '.join(protocol['augments'])}",
        f"the paper: {table()['source']}",
    ]


def markdown_page(benchmark: Benchmark) -> str:
    """The page as Markdown."""
    lines = [f"# The paper's tables with {markdown(benchmark.model)}", "", _LEAD, ""]
    lines += [f"- {markdown(fact)}" for fact in facts(benchmark)]
    for title, text, columns, rows in _tables(benchmark, _worded):
        lines += ["", f"## {markdown(title)}", "", markdown(text), ""]
        lines.append("| " + " | ".join(map(markdown, columns)) + " |")
        lines.append("|" + "---|" * len(columns))
        lines += ["| " + " | ".join(map(markdown, row)) + " |" for row in rows]
    lines += ["", "## Missing", ""]
    lines += [
        f"- {markdown(f'{entry.dataset}, {entry.augment}, {entry.method}: {entry.reason}')}"
        for entry in benchmark.missing
    ] or ["Nothing."]
    return "\n".join(lines) + "\n"


def html_page(benchmark: Benchmark) -> str:
    """The page as HTML, self-contained; needs the ``report`` extra."""
    sections = [
        Section(title, text, [Table(columns, rows)])
        for title, text, columns, rows in _tables(benchmark, lambda cell: cell)
    ]
    reasons = [
        [entry.dataset, entry.augment, entry.method, entry.reason] for entry in benchmark.missing
    ]
    if reasons:
        columns = ["data set", "augmentation", "method", "why"]
        sections.append(Section("Missing", "", [Table(columns, reasons)]))
    return render(f"The paper's tables with {benchmark.model}", _LEAD, sections, facts(benchmark))


def write_results(benchmark: Benchmark, folder: Path) -> list[Path]:
    """Write ``cells/*.json``, ``results.json``, ``results.md`` and ``results.html``.

    ``clip_benchmark build`` reads a cell's file; files of cells that this run lacks are removed.
    """
    try:
        (folder / "cells").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DistnormError(
            f"{folder}, which cannot be made ({error.strerror})", "a writable place", "rename --out"
        ) from error
    files = {f"cells/{cell.name}.json": _json(cell.to_dict()) for cell in benchmark.cells}
    for old in (folder / "cells").glob("*.json"):
        if f"cells/{old.name}" not in files:
            old.unlink()
    files["results.json"] = _json(benchmark.to_dict())
    files["results.md"] = markdown_page(benchmark)
    files["results.html"] = html_page(benchmark)
    for name, text in files.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    return [folder / name for name in files]


def _tables(
    benchmark: Benchmark, show: Callable[[PageCell], Any]
) -> list[tuple[str, str, list[str], list[list[Any]]]]:
    """Title, sentence, columns and rows of each data set, split by references."""
    groups: dict[tuple[str, str, bool], list[Cell]] = {}
    for cell in benchmark.cells:
        groups.setdefault((cell.task, cell.dataset, cell.references), []).append(cell)
    tables = []
    for (task, dataset, references), cells in groups.items():
        names = [n for n in _SHOWN.get(task, ()) if n in cells[0].metrics]
        names = names or list(cells[0].metrics)
        main = [n for n in main_metric(cells[0]) if n in names]
        columns = ["augmentation", "method", "strength"]
        for name in names:
            columns += [metric_title(name)] + (["against dot"] if name in main else [])
        rows = []
        for cell in cells:
            row: list[Any] = [cell.augment, _method(cell), _strength(cell)]
            for name in names:
                row.append(value_text(cell, name))
                if name in main:
                    row.append(show(_change(cell, name)))
            rows.append(row)
        title = dataset + (", with references" if references else "")
        tables.append((title, _sentence(cells), columns, rows))
    return tables


def _worded(cell: PageCell) -> str:
    return cell.words + (" hurts" if cell.kind == "worse" else "")


def _sentence(cells: Sequence[Cell]) -> str:
    """Sizes, prefix and statistics of a data set's cells."""
    settings = cells[0].settings
    sizes = ", ".join(
        f"{value} {name.removeprefix('n_').replace('_', ' ')}"
        for name, value in settings.items()
        if name.startswith("n_") and isinstance(value, int)
    )
    prefix = settings.get("prefix") or "none"
    words = f"{sizes}. Prefix or prompt: {prefix!r}. Statistics: {settings['statistics']}."
    words += f" Protocol {settings['protocol']}, {settings['version']}."
    if "script_method" in settings:
        words += f" Their DN is the row {settings['script_method']}."
    if settings.get("repeated_names"):
        words += f" Several classes are called {', '.join(settings['repeated_names'])}."
    views = {
        c.settings["encodings_per_image"] for c in cells if "encodings_per_image" in c.settings
    }
    if views:
        words += f" tta encodes each picture {views.pop()} times."
    for augment, cost in {
        c.augment: c.settings["cost"] for c in cells if "cost" in c.settings
    }.items():
        parts = [f"{value} {name.replace('_', ' ')}" for name, value in cost.items() if value]
        words += f" {augment} costs {', '.join(parts)}."
    others = sorted({c.paper.model for c in cells if c.paper and not c.paper.same_model})
    if others:
        words += f" In brackets the paper's {', '.join(others)}: another model than ours."
    tokenizers = {c.settings["tokenizer"] for c in cells if "tokenizer" in c.settings}
    if tokenizers:
        words += f" Word overlap on {tokenizers.pop()} tokens."
    return words


def _change(cell: Cell, name: str) -> PageCell:
    summary = cell.metrics[name].to_dict()
    if cell.method == "dot" or summary["delta_ci95"] is None:
        return PageCell("")
    return change_cell(cell.method, summary)


def _method(cell: Cell) -> str:
    variant = cell.settings.get("normalization", cell.method)
    words = [cell.rule] if cell.rule not in (None, "plain", cell.method) else []
    words += [variant] if variant not in (cell.method.partition("@")[0].partition(":")[0],) else []
    words += ["transductive"] if cell.settings.get("transductive") else []
    return cell.method + (f" ({', '.join(map(str, words))})" if words else "")


def _strength(cell: Cell) -> str:
    values = set(cell.settings.get("strength", {}).values())
    return ", ".join(f"{value:g}" for value in sorted(values)) if values - {0.0} else ""


def _tau(cell: Cell) -> tuple[str, ...]:
    """The variant of tau that the paper reports for this data set, then the other."""
    named = tuple(cell.paper.metrics) if cell.paper is not None else ()
    fallback = ("b", "c") if cell.dataset == "flickr8k-cf" else ("c", "b")
    return (*named, *(f"kendall_tau_{variant}" for variant in fallback))


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
