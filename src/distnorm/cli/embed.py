"""``distnorm embed``: photos and sentences to a store."""

from __future__ import annotations

from pathlib import Path

import click

from distnorm.cli.common import console, json_option, progress_bar, write_json

__all__ = ["embed"]


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--model", required=True, help="builtin, or family:model.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The store's folder.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), help="Decoding threads; default: cores.")
@json_option
@click.pass_context
def embed(
    context: click.Context,
    source: Path,
    model: str,
    out: Path,
    batch_size: int,
    workers: int | None,
    json_path: str | None,
) -> None:
    """Embed a folder of pictures, a table of paths and captions, or lines of text.

    What the store has already is left alone, so a stopped run continues and new pictures are
    added by running the same command again.
    """
    from distnorm.embedding import embed as embed_items
    from distnorm.embedding import find_items
    from distnorm.encoders import load_encoder
    from distnorm.errors import require

    for module in ("PIL", "pyarrow"):
        require(module, "embed")
    encoder = load_encoder(model)
    items = find_items(source)
    with progress_bar("embedding", "rows") as show:
        done = embed_items(
            encoder,
            items,
            out,
            model=model,
            batch_size=batch_size,
            workers=workers,
            progress=show,
        )
    if done.over_long:
        limit = encoder.max_tokens
        console().print(f"{done.over_long} texts are longer than {limit} tokens and were cut")
    words = f"{done.written} rows written to {out}, {done.known} were there"
    if done.failed:
        words += f"; {done.failed} pictures could not be read: see {out / 'failed.jsonl'}"
    console().print(words, soft_wrap=True, highlight=False)
    write_json(done.to_dict(), json_path)
    if done.failed:
        context.exit(1)
