"""``distnorm benchmark paper``: the paper's tables, ours beside theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from distnorm.cli.options import split_methods
from distnorm.cli.output import NewFolder, json_option, say, write_json
from distnorm.cli.progress import Bar, progress_bar
from distnorm.errors import DistnormError

__all__ = ["benchmark"]


@click.group()
def benchmark() -> None:
    """Measure on public data sets."""


@benchmark.command()
@click.option("--model", required=True, help="builtin, or family:model.")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with a folder for each data set; docs/paper.md says what is in them.",
)
@click.option(
    "--tasks",
    default="all",
    show_default=True,
    help="retrieval, classification, captions, or data sets: coco,folder:mine,table:mine.",
)
@click.option("--methods", default="dot,dn,dn*", show_default=True)
@click.option("--augment", default="none", show_default=True, help="Some of none,tta,tpt,calip.")
@click.option("--views", default="identity,flip,five-crop", show_default=True, help="Of tta.")
@click.option(
    "--protocol",
    type=click.Choice(["authors", "authors-first", "authors-later", "clean"]),
    default="authors",
    show_default=True,
    help="The paper's, its authors' scripts of January 2023 or 2024, or ours.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Unlabelled rows that give statistics.",
)
@click.option("--prefix", help="Before every caption, instead of the protocol's.")
@click.option(
    "--templates",
    type=click.Path(path_type=Path),
    help="File of class prompts with {} or {c}, one per line.",
)
@click.option(
    "--class-names",
    multiple=True,
    metavar="DATASET=FILE",
    help="Names of the classes of imagenet or flowers102; may be repeated.",
)
@click.option("--device", help="Of the model; its own default if left out.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--workers", type=click.IntRange(min=0), help="Decoders; default: cores.")
@click.option("--no-check", is_flag=True, help="Accept other counts than the published ones.")
@click.option("--out", required=True, type=NewFolder(path_type=Path), help="Folder of results.")
@click.option("--stores", type=NewFolder(path_type=Path), help="Embeddings; default: OUT/stores.")
@json_option
def paper(
    model: str,
    data: Path,
    tasks: str,
    methods: str,
    augment: str,
    views: str,
    protocol: str,
    seeds: int,
    seed: int,
    samples: int,
    prefix: str | None,
    templates: Path | None,
    class_names: tuple[str, ...],
    device: str | None,
    batch_size: int,
    workers: int | None,
    no_check: bool,
    out: Path,
    stores: Path | None,
    json_path: str | None,
) -> None:
    """The paper's tables on the data at hand, cell by cell, ours beside theirs.

    What has been embedded is kept in stores: a stopped run continues when the same command is
    given again. Cells that cannot be evaluated are listed with the reason and never filled in
    from the paper. Exit code 1 if no cell at all could be evaluated.
    """
    from distnorm.encoders import load_encoder
    from distnorm.errors import require
    from distnorm.paper import Protocol, run_benchmark
    from distnorm.paper.page import write_results

    for module, extra in (("PIL", "embed"), ("pyarrow", "embed"), ("jinja2", "report")):
        require(module, extra)
    settings = Protocol(protocol, samples, seeds, seed, prefix, _lines(templates))
    encoder = load_encoder(model, **({} if device is None else {"device": device}))
    with _resumable(), progress_bar("benchmark", "") as bar:
        found = run_benchmark(
            encoder,
            model,
            data,
            out / "stores" if stores is None else stores,
            tasks=_words(tasks),
            methods=split_methods(methods),
            augments=_words(augment),
            protocol=settings,
            names=_names(class_names),
            views=_words(views),
            check=not no_check,
            options={"batch_size": batch_size, "workers": workers},
            progress=bar.step,
            done=lambda entry: _say(bar, entry),
        )
    files = write_results(found, out)
    say(f"protocol {settings.name}: {settings.version}; {settings.sample_text}")
    say(f"{len(found.cells)} cells, {len(found.missing)} missing; page: {files[-1]}")
    write_json(found.to_dict(), json_path)
    if not found.cells:
        raise DistnormError(
            f"{data}, from which no cell can be evaluated",
            "at least one data set",
            "see above for what each one lacks",
        )


@contextmanager
def _resumable() -> Iterator[None]:
    """An interrupted run is no lost run."""
    try:
        yield
    except KeyboardInterrupt:
        words = "interrupted; what was embedded is kept: the same command goes on from there"
        say(f"distnorm: {words}")
        raise click.exceptions.Exit(130) from None


def _say(bar: Bar, entry: Any) -> None:
    """One line per cell on standard error."""
    from distnorm.paper import Missing
    from distnorm.paper.page import main_metric, value_text

    place = f"{entry.dataset}, {entry.augment}, {entry.method}"
    if isinstance(entry, Missing):
        bar.say(f"{place}: missing: {entry.reason}", style="yellow")
        return
    rule = f" {entry.rule}" if entry.rule not in (None, entry.method) else ""
    values = ", ".join(
        f"{name} {value_text(entry, name, with_model=True)}"
        for name in main_metric(entry)
        if name in entry.metrics
    )
    bar.say(f"{place}{rule}: {values}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _lines(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    from distnorm.system.lines import text_lines

    return tuple(line.strip() for line in text_lines(path) if line.strip())


def _names(pairs: tuple[str, ...]) -> dict[str, Path]:
    found = {}
    for pair in pairs:
        name, separator, path = pair.partition("=")
        if not separator or name not in ("imagenet", "flowers102"):
            raise click.UsageError("--class-names takes imagenet=FILE or flowers102=FILE")
        found[name] = Path(path)
    return found
