"""``distnorm fit``: statistics of unlabelled embeddings, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distnorm.cli.common import console, json_option, parse_strength, progress_bar, write_json
from distnorm.errors import DistnormError

__all__ = ["fit"]

_ROWS = 1 << 16


@click.command()
@click.option("--images", type=click.Path(), help="Embeddings of the first side.")
@click.option("--texts", type=click.Path(), help="Embeddings of the second side.")
@click.option(
    "--method", default="dn", show_default=True, help="e.g. dn, dn2@0.5, nnn:k=16; see the README."
)
@click.option("--strength", help="A number, or image=0.25,text=0.5 for each query side.")
@click.option("--sides", default="image,text", show_default=True, help="Names of the two sides.")
@click.option("--samples", type=click.IntRange(min=1), help="Take so many random rows a side.")
@click.option("--seed", default=0, show_default=True, help="Seed of --samples.")
@click.option("--model", help="Model id, kept in the file and checked on loading.")
@click.option("--prompt", help="Prefix or prompt style of the texts, kept in the file.")
@click.option("--input", "requirement", type=click.Choice(["unit", "raw", "any"]))
@click.option("--out", required=True, type=click.Path(), help="The .safetensors file to write.")
@click.option("--overwrite", is_flag=True, help="Replace an existing --out.")
@json_option
def fit(
    images: str | None,
    texts: str | None,
    method: str,
    strength: str | None,
    sides: str,
    samples: int | None,
    seed: int,
    model: str | None,
    prompt: str | None,
    requirement: str | None,
    out: str,
    overwrite: bool,
    json_path: str | None,
) -> None:
    """Fit a normalization on unlabelled, unpaired embeddings and save it."""
    import numpy as np

    from distnorm.embedding_store import read_embeddings
    from distnorm.factories import make
    from distnorm.methods import parse_method
    from distnorm.report.tables import normalization_table
    from distnorm.sides import Sides

    if images is None and texts is None:
        raise click.UsageError("give --images, --texts or both")
    if Path(out).exists() and not overwrite:
        raise DistnormError(
            f"an existing file {out}", "a new one", "pass --overwrite to replace it"
        )
    names = Sides.of(tuple(sides.split(",")))
    model = model or _stored_model(images, texts)
    name, own, params = parse_method(method)
    norm = make(
        name,
        strength=parse_strength(strength) if own is None else own,
        sides=(names.first, names.second),
        model=model,
        prompt=prompt,
        input=requirement,
        **params,
    )
    given = {names.first: images, names.second: texts}
    rows = {side: read_embeddings(path, side) for side, path in given.items() if path is not None}
    if samples is not None:
        rng = np.random.default_rng(seed)
        for side, x in rows.items():
            if samples > len(x):
                raise DistnormError(
                    f"{len(x)} {side} rows", f"at least --samples {samples}", "lower --samples"
                )
            rows[side] = np.asarray(x[np.sort(rng.choice(len(x), samples, replace=False))])
    total = sum(len(x) for x in rows.values())
    done = 0
    with progress_bar("fitting", "rows") as show:
        for side, x in rows.items():
            step = len(x) if norm.spec.keeps_bank or x.ndim != 2 else _ROWS
            for start in range(0, max(1, len(x)), max(1, step)):
                part: dict[str, Any] = {side: x[start : start + step]}
                norm.partial_fit(**part)
                done += len(part[side])
                show(done, total)
    norm.save(out)
    console().print(normalization_table(norm))
    console().print(f"saved to {out}")
    write_json(
        {"schema": 1, "out": out, "samples": samples, "seed": seed, **norm.to_dict()}, json_path
    )


def _stored_model(*stores: str | None) -> str | None:
    """The model id that the stores name; different ones are an error."""
    from distnorm.embedding_store import read_model

    found = {
        model for store in stores if store is not None for model in [read_model(store)] if model
    }
    if len(found) > 1:
        first, second = sorted(map(str, found))
        raise DistnormError(f"stores of {first!r} and {second!r}", "one model", "embed both alike")
    return found.pop() if found else None
