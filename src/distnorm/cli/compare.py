"""``distnorm compare``: every method side by side, on three tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.evaluate import report_shared_names, say_chance, say_left_out
from distnorm.cli.inputs import CaptionInput, ClassInput, PairInput
from distnorm.cli.options import ProtocolOptions, options_of, parse_ks, prior_option
from distnorm.cli.output import (
    console,
    json_option,
    report_option,
    require_report,
    say,
    write_json,
    write_report,
)
from distnorm.cli.progress import Bar, progress_bar

if TYPE_CHECKING:
    from distnorm.comparison import Comparison

__all__ = ["compare"]


@click.group()
def compare() -> None:
    """Compare all methods with statistics from data that is not evaluated."""


@compare.command()
@options_of(PairInput, "pairs")
@options_of(ProtocolOptions, "options")
@click.option("--k", default="1,5,10", show_default=True)
@click.option("--r-precision", is_flag=True, help="Also R-precision and mAP@R.")
@click.option("--no-diagnostics", is_flag=True, help="Leave out hubness and the ladder.")
@report_option
@json_option
def retrieval(
    pairs: PairInput,
    options: ProtocolOptions,
    k: str,
    r_precision: bool,
    no_diagnostics: bool,
    report: str | None,
    json_path: str | None,
) -> None:
    """Retrieval in both directions, every method against the dot product."""
    require_report(report)
    from distnorm.comparison import compare_retrieval

    protocol = options.read(pairs)
    images, texts, owner, positives = pairs.read()
    _run(
        lambda show: compare_retrieval(
            images,
            texts,
            owner,
            positives=positives,
            protocol=protocol,
            k=parse_ks(k),
            with_r_precision=r_precision or positives is not None,
            diagnostics=not no_diagnostics,
            progress=show,
        ),
        f"{pairs.images} and {pairs.texts}",
        options.sources(pairs),
        options.fitting(pairs),
        report,
        json_path,
    )


@compare.command()
@options_of(ClassInput, "data")
@options_of(ProtocolOptions, "options")
@prior_option
@report_option
@json_option
def classification(
    data: ClassInput,
    options: ProtocolOptions,
    prior: str | None,
    report: str | None,
    json_path: str | None,
) -> None:
    """Zero-shot classification, every method against the dot product."""
    require_report(report)
    from distnorm.comparison import compare_classification

    protocol = options.read(data, prior)
    rows = data.read()
    names = report_shared_names(data)
    _run(
        lambda show: compare_classification(*rows, protocol=protocol, progress=show),
        data.images,
        options.sources(data),
        options.fitting(data),
        report,
        json_path,
        names,
    )


@compare.command()
@options_of(CaptionInput, "data")
@options_of(ProtocolOptions, "options")
@report_option
@json_option
def captions(
    data: CaptionInput, options: ProtocolOptions, report: str | None, json_path: str | None
) -> None:
    """Agreement of caption scores with judgements, every method against the dot product."""
    require_report(report)
    from distnorm.comparison import compare_captions

    protocol = options.read(data)
    rows, scoring = data.read(), data.scoring()
    _run(
        lambda show: compare_captions(*rows, **scoring, protocol=protocol, progress=show),
        data.images,
        options.sources(data),
        options.fitting(data),
        report,
        json_path,
    )


def _run(
    work: Callable[[Bar], Comparison],
    title: str,
    sources: tuple[str, str],
    fitting: str,
    report: str | None,
    json_path: str | None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Compare, then print tables and the verdict, write the JSON and the page, in this order."""
    from distnorm.report.terminal import comparison_tables
    from distnorm.report.verdict import verdict_lines, verdict_sentence

    with progress_bar("comparing", "evaluations") as show:
        comparison = work(show)
    comparison.protocol.setdefault("prompt", None)
    sides = comparison.protocol.get("sides", ("image", "text"))
    say_left_out(comparison.sizes, sides)
    held = comparison.protocol.get("fit_fraction") or 0.0
    dot = {name: each.mean for name, each in comparison.results[0].metrics.items()}
    say_chance(dot, comparison.sizes, evaluated=1 - held)
    for table in comparison_tables(comparison):
        console().print(table)
    result = comparison.to_dict()
    found = comparison.verdict(*sources)
    if found is not None:
        after = [x + fitting if x.startswith("distnorm fit ") else x for x in found.next]
        result["verdict"] = {**found.to_dict(), "next": after}
    lines = verdict_lines(result["verdict"], sides)
    commands = [line for line in lines if line.startswith("run: ")]
    sentence = [verdict_sentence(result["verdict"], sides)] if commands else []
    for line in [*lines[: len(lines) - len(commands)], *sentence, *commands]:
        say(line, style="bold")
    write_json({**result, **(extra or {})}, json_path)

    def page() -> str:
        from distnorm.report.html.sections import comparison_page

        return comparison_page(result, title)

    write_report(report, page)
