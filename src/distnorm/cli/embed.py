"""``distnorm embed``: photos and sentences to a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.engine import EngineOptions, aside
from distnorm.cli.groups import options_of
from distnorm.cli.output import NewFolder, complain, json_option, say, write_json
from distnorm.cli.progress import progress_bar

if TYPE_CHECKING:
    from distnorm.embedding import Embedded

__all__ = ["embed"]


@click.command()
@click.argument("source")
@click.option("--model", required=True, help="builtin, or family:model.")
@click.option("--out", required=True, type=NewFolder(path_type=Path), help="The store's folder.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--device", help="cpu, cuda ...; the model's own choice if left out.")
@click.option("--prompt", help="Words around every text, as in 'a photo of {}.', or before it.")
@click.option("--path-column", help="The table's column of pictures' paths.")
@click.option("--text-column", help="The table's column of texts.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder that a table's paths start from, if not its own.",
)
@click.option("--prune", is_flag=True, help="Drop rows of files that are not there any more.")
@click.option("--rehash", is_flag=True, help="Read files of unchanged size and time again, too.")
@click.option("--full-decode", is_flag=True, help="Decode every pixel of large JPEGs.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Decoding processes, or with --engine ray models at work; default: cores.",
)
@click.option("--shard-rows", type=click.IntRange(min=1), default=8192, show_default=True)
@options_of(EngineOptions, "engine")
@json_option
def embed(
    source: str,
    model: str,
    out: Path,
    engine: EngineOptions,
    device: str | None,
    path_column: str | None,
    text_column: str | None,
    pictures: Path | None,
    full_decode: bool,
    json_path: str | None,
    **options: Any,
) -> None:
    """Embed photos, sentences, or pairs of both.

    SOURCE is a folder, a pattern, a list or table of pictures and captions (CSV, TSV, Parquet,
    Lance, JSON lines, COCO's JSON), a WebDataset tar file, or - for sentences on standard input.
    What the store has already is left alone: a stopped run continues, and new or changed files are
    taken in, by the same command.
    """
    from distnorm.embedding import embed as embed_source
    from distnorm.embedding import open_source
    from distnorm.encoders import load_encoder
    from distnorm.errors import require

    for module in ("PIL", "pyarrow"):
        require(module, "embed")
    items = open_source(source, path_column=path_column, text_column=text_column, pictures=pictures)
    options |= {"model": model, "full": full_decode}
    settings = {} if device is None else {"device": device}
    encoder = None if engine.ray else load_encoder(model, **settings)
    try:
        with progress_bar("embedding", "items") as show:
            if encoder is None:
                done = _on_cluster(engine, items, out, device, progress=show, **options)
            else:
                done = embed_source(encoder, items, out, progress=show, **options)
    except KeyboardInterrupt:
        complain(f"interrupted; run again to go on: {out} is whole")
        click.get_current_context().exit(130)
    if done.over_long:
        limit = "the model takes" if encoder is None else f"{encoder.max_tokens} tokens"
        say(f"{done.over_long} texts are longer than {limit} and were cut")
    for note in done.notes:
        say(f"note: {note}")
    say(_summary(done))
    write_json(done.to_dict(), json_path)
    if done.failed:
        click.get_current_context().exit(1)


def _on_cluster(
    engine: EngineOptions, items: Any, out: Path, device: str | None, **options: Any
) -> Embedded:
    """The same by the workers of a cluster; a model on a GPU is one for each."""
    from distnorm.distributed.embed import embed as embed_on_cluster

    if options["workers"] == 0:
        raise click.UsageError("--workers 0 excludes --engine ray")
    if (device or "").startswith("cuda:"):
        raise click.UsageError("with --engine ray each worker has a GPU of its own: --device cuda")
    gpus = 1.0 if device == "cuda" else 0.0
    with aside():
        return embed_on_cluster(
            items, out, address=engine.address, device=device, num_gpus=gpus, **options
        )


def _summary(done: Embedded) -> str:
    words = f"{done.written:,} rows written to {done.store}"
    if done.changed:
        words += f", {done.changed:,} old ones replaced"
    words += f", {done.known:,} were there"
    if done.repeated:
        words += f", {done.repeated:,} as other items before them, whose rows they share"
    if done.pruned:
        words += f"; {done.pruned:,} rows of files that are gone were dropped"
    if done.gone:
        words += f"; {done.gone:,} rows are of files that are gone: --prune drops them"
    if done.failed:
        words += f"; {done.failed:,} could not be read: see {Path(done.store) / 'failed.jsonl'}"
    return words
