"""``distnorm fit``: statistics of unlabelled embeddings, photos and sentences, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.engine import EngineOptions
from distnorm.cli.options import make_norm, options_of, prior_option
from distnorm.cli.output import (
    NewFile,
    check_new,
    console,
    json_option,
    say,
    say_dropped,
    write_json,
)
from distnorm.cli.progress import progress_bar
from distnorm.cli.selection import SelectionOptions
from distnorm.cli.vectors import VectorOptions
from distnorm.errors import DistnormError

if TYPE_CHECKING:
    from distnorm.fitting import Inputs
    from distnorm.methods.sides import Sides
    from distnorm.normalization import ScoreNormalization

__all__ = ["fit"]

_INPUTS = "Stores, embeddings, or {} to embed; may be given several times."


@click.command()
@click.option("--images", "--first", multiple=True, help=_INPUTS.format("photos"))
@click.option("--texts", "--second", multiple=True, help=_INPUTS.format("sentences"))
@click.option(
    "--method",
    default="dn",
    show_default=True,
    help="e.g. dn, dn2@0.5, nnn:k=16, auto; see docs/method.md.",
)
@click.option("--strength", help="A number, or image=0.25,text=0.5 for each query side.")
@click.option(
    "--sides",
    default="image,text",
    show_default=True,
    help="Names of the two sides, as query,document.",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="even|density|SIDE=FILE",
    help="density: rows of one kind count once together, for logs of queries; auto's own. A file "
    "says how much each row of a side counts, as text=counts.csv.",
)
@click.option(
    "--no-sketch", is_flag=True, help="Keep no hashes of rows: no result can say it saw them."
)
@prior_option
@click.option("--samples", type=click.IntRange(min=1), help="Take so many random rows per side.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of --samples."
)
@click.option("--model", help="What embeds photos and sentences; for vectors, their model's id.")
@click.option("--device", help="cpu, cuda ...; the model's own choice if left out.")
@click.option("--prompt", help="Words around every sentence, as in 'a photo of {}.', or before it.")
@click.option("--workers", type=click.IntRange(min=0), help="Decoding processes; default: cores.")
@click.option(
    "--input",
    type=click.Choice(["unit", "raw", "any"]),
    help="Length of rows: 1, not 1, any; the method's own demand if left out.",
)
@options_of(VectorOptions, "vectors")
@options_of(SelectionOptions, "selection")
@options_of(EngineOptions, "engine")
@click.option("--update", "old", type=click.Path(), help="Bring this file up to date instead.")
@click.option(
    "--out", type=NewFile("a normalization", ".safetensors"), help="The .safetensors file to write."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing --out.")
@json_option
def fit(
    images: tuple[str, ...],
    texts: tuple[str, ...],
    method: str,
    strength: str | None,
    sides: str,
    weights: tuple[str, ...],
    no_sketch: bool,
    prior: str | None,
    samples: int | None,
    seed: int,
    input: str | None,
    vectors: VectorOptions,
    selection: SelectionOptions,
    engine: EngineOptions,
    old: str | None,
    out: str | None,
    overwrite: bool,
    json_path: str | None,
    **how: Any,
) -> None:
    """Fit a normalization on unlabelled, unpaired embeddings and save it.

    With --update, add to a saved one what came into the stores that it was fitted on, and take out
    what left them; --images and --texts then say where stores have moved to.
    """
    from distnorm.fitting import Inputs, Reading, fit_inputs
    from distnorm.methods.registry import parse_method
    from distnorm.methods.sides import Sides
    from distnorm.monitoring.banks import bank_figures, figure_facts
    from distnorm.report.normalizations import normalization_table

    if engine.ray and old is not None:
        raise click.UsageError("--update reads what changed alone: leave --engine ray out")
    if old is not None:
        _update(old, (*images, *texts), out, overwrite, json_path)
        return
    if not images and not texts:
        raise click.UsageError("give --images, --texts or both")
    target = _new_file(out, overwrite)
    names = Sides.of(tuple(sides.split(",")))
    selection.check(parse_method(method)[0])
    both = (names.first, names.second)
    weighting, numbers = _weights(weights, names)
    kept = {"weights": weighting, "sketch": not no_sketch, **({"prior": prior} if prior else {})}
    norm = make_norm(method, strength, sides=both, input=input, **kept)
    reading = Reading(vectors.keys(*both), vectors.normalize)
    sources: dict[str, Any] = {names.first: images, names.second: texts}
    with engine.reader(how["workers"]) as opened:
        inputs = Inputs(sources, reading=reading, opened=opened, **how)
        with progress_bar("fitting", "rows") as show:
            done = fit_inputs(
                norm, inputs, samples=samples, seed=seed, weights=numbers, progress=show
            )
        _check_replaced(norm, target)
        if norm.method == "auto":
            selection.select(norm, inputs)
        if norm.prior != "none":
            _learn_prior(norm, inputs)
    norm.save(target)
    console().print(normalization_table(norm))
    banks = bank_figures(norm)
    for bank in banks.values():
        if bank.warning is not None:
            say(f"note: {bank.warning}")
    figures = figure_facts(norm, banks)
    for line in figures.get("repeats", ()):
        say(f"note: {line}")
    if "class_prior" in figures:
        say(figures["class_prior"]["text"])
    for note in inputs.notes:
        say(f"note: {note}")
    for count, what in ((done.failed, "could not be read"), (done.over_long, "were cut: too long")):
        if count:
            say(f"{count} of the inputs {what}")
    say(f"saved to {target}")
    about = {"out": target, "samples": samples, "seed": seed, "failed": done.failed}
    write_json({"schema": 1, **about, **norm.to_dict(), **figures}, json_path)


def _weights(given: tuple[str, ...], names: Sides) -> tuple[str | None, dict[str, Any]]:
    """What rows count by name, and numbers by side."""
    from distnorm.methods.statistics import WEIGHTINGS
    from distnorm.tasks.files import WEIGHTS, read_numbers

    named = [each for each in given if each in WEIGHTINGS]
    files = [each.partition("=") for each in given if each not in WEIGHTINGS]
    odd = next((side + mark for side, mark, path in files if not mark or not path), None)
    if odd is not None or len(named) > 1:
        got = odd or " and ".join(named)
        example = f"{names.second}=counts.csv"
        raise click.UsageError(f"--weights {got}: even, density, or a file per side as {example}")
    numbers: dict[str, Any] = {}
    for name, _, path in files:
        side = names.resolve(name)
        if side in numbers:
            raise click.UsageError(f"--weights {name}= twice: one file per side")
        numbers[side] = read_numbers(path, WEIGHTS)
    return (named[0] if named else None), numbers


def _update(
    old: str, places: tuple[str, ...], out: str | None, overwrite: bool, json_path: str | None
) -> None:
    from distnorm.fitting import update
    from distnorm.normalization import load
    from distnorm.report.normalizations import normalization_table
    from distnorm.system.files import check_writable

    target = old if out is None or Path(out) == Path(old) else _new_file(out, overwrite)
    norm = load(old)
    check_writable(target)
    changes = update(norm, places, beside=old)
    norm.save(target)
    console().print(normalization_table(norm))
    words = [
        f"{changes.added.get(side, 0)} {side} rows added, {changes.removed.get(side, 0)} taken out"
        for side in norm.sides
    ]
    say(f"{'; '.join(words)}; saved to {target}")
    say_dropped(norm)
    about = {"out": target, "added": changes.added, "removed": changes.removed}
    write_json({"schema": 1, **about, **norm.to_dict()}, json_path)


def _learn_prior(norm: ScoreNormalization, inputs: Inputs) -> None:
    """How often the classes, the rows of the second side, come among those of the first."""
    import numpy as np

    from distnorm.tasks.class_prior import with_sample
    from distnorm.tasks.image_sample import ImageSample

    images, classes = (inputs.sides.get(side, []) for side in norm.sides)
    if not images or not classes or not all(each.embedded for each in (*images, *classes)):
        raise DistnormError(
            f"--prior {norm.prior} without vectors of images and classes",
            "--images with unlabelled images, --texts with one row per class, both embedded",
            "run `distnorm embed` on them first, or leave --prior out",
        )
    sample = ImageSample.empty()
    for each in images:
        for part in each.take(None):
            sample = sample.add(norm.check(part, norm.sides[0]))
    with_sample(
        norm, sample, np.concatenate([part for each in classes for part in each.take(None)])
    )


def _check_replaced(norm: ScoreNormalization, target: str) -> None:
    """Raise if the file to be replaced knows that the sides are swapped."""
    from distnorm.calibration.side_check import swapped_means
    from distnorm.normalization import load

    if not Path(target).is_file():
        return
    try:
        old = load(target)
    except DistnormError:
        return
    if swapped_means(old, norm):
        raise DistnormError(
            f"{norm.names.plural(norm.sides[0])} that look like those of the {norm.sides[1]} side "
            f"in {target}, and the other way round",
            "the sides as in the file that is replaced",
            f"swap the two inputs, or remove {target} first if it is the one that is wrong",
        )


def _new_file(out: str | None, overwrite: bool) -> str:
    if out is None:
        raise click.UsageError("give --out")
    check_new(out, overwrite)
    return out
