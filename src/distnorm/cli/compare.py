"""``distnorm compare retrieval``: every method side by side."""

from __future__ import annotations

from pathlib import Path

import click

from distnorm.cli.output import (
    console,
    json_option,
    parse_ks,
    parse_strength,
    progress_bar,
    require_report,
    split_methods,
    write_json,
)

__all__ = ["compare"]


@click.group()
def compare() -> None:
    """Compare all methods with statistics from data that is not evaluated."""


@compare.command()
@click.option("--images", required=True, type=click.Path(), help="Image embeddings.")
@click.option("--texts", required=True, type=click.Path(), help="Text embeddings.")
@click.option("--image-of-text", type=click.Path(), help="Image row of each text (.npy, .txt).")
@click.option("--repeated-images", is_flag=True, help="Image row i belongs to text i, repeated.")
@click.option("--methods", default="dot,dn,dn*,dn2,is,nnn", show_default=True)
@click.option("--strength", help="For every method: a number, or image=0.25,text=0.5.")
@click.option(
    "--protocol",
    type=click.Choice(["held-out", "paper", "reference", "transductive"]),
    default="held-out",
    show_default=True,
    help="Where statistics come from.",
)
@click.option("--fit-fraction", default=0.5, show_default=True, help="Share held out (held-out).")
@click.option("--samples", default=100, show_default=True, help="Rows a side (paper).")
@click.option("--fit-images", type=click.Path(), help="Images that give the statistics.")
@click.option("--fit-texts", type=click.Path(), help="Texts that give the statistics.")
@click.option("--repeats", type=int, help="Splits: 20 held-out, 5 paper if left out.")
@click.option("--seed", default=0, show_default=True)
@click.option("--prompt", help="Prefix of the texts, printed with the results.")
@click.option("--input", "requirement", type=click.Choice(["unit", "raw", "any"]))
@click.option("--k", default="1,5,10", show_default=True)
@click.option("--no-diagnostics", is_flag=True, help="Leave out hubness and the ladder.")
@click.option("--report", type=click.Path(), help="Write an HTML page to this file.")
@json_option
def retrieval(
    images: str,
    texts: str,
    image_of_text: str | None,
    repeated_images: bool,
    methods: str,
    strength: str | None,
    protocol: str,
    fit_fraction: float,
    samples: int,
    fit_images: str | None,
    fit_texts: str | None,
    repeats: int | None,
    seed: int,
    prompt: str | None,
    requirement: str | None,
    k: str,
    no_diagnostics: bool,
    report: str | None,
    json_path: str | None,
) -> None:
    """Retrieval in both directions, every method against the dot product."""
    from distnorm.comparison import compare_retrieval, deduplicate_images
    from distnorm.report.terminal import comparison_tables
    from distnorm.store.layout import is_store
    from distnorm.store.models import check_models, prompt_of
    from distnorm.store.vectors import read_embeddings
    from distnorm.tasks.files import read_rows

    check_models(None, images, texts, fit_images, fit_texts)
    prompt = prompt_of(texts, stated=prompt)
    if report is not None:
        require_report()
    left = read_embeddings(images, "image")
    right = read_embeddings(texts, "text")
    if repeated_images and image_of_text is not None:
        raise click.UsageError("--repeated-images excludes --image-of-text")
    owner = None if image_of_text is None else read_rows(image_of_text)
    if owner is None and images == texts and is_store(images):
        # A store repeats a picture's row for each of its captions.
        repeated_images = True
    if repeated_images:
        left, owner = deduplicate_images(left)
    with progress_bar("comparing", "evaluations") as show:
        comparison = compare_retrieval(
            left,
            right,
            owner,
            methods=split_methods(methods),
            protocol=protocol,
            fit_fraction=fit_fraction,
            repeats=repeats,
            seed=seed,
            samples=samples,
            fit_images=None if fit_images is None else read_embeddings(fit_images, "image"),
            fit_texts=None if fit_texts is None else read_embeddings(fit_texts, "text"),
            k=parse_ks(k),
            strength=parse_strength(strength),
            input=requirement,
            diagnostics=not no_diagnostics,
            progress=show,
        )
    comparison.protocol["prompt"] = prompt
    for table in comparison_tables(comparison):
        console().print(table)
    if report is not None:
        from distnorm.report.html.page import write_page
        from distnorm.report.html.sections import comparison_page

        title = f"{images} and {texts}"
        write_page(Path(report), comparison_page(comparison.to_dict(), title))
        console().print(f"report: {report}", soft_wrap=True, highlight=False)
    write_json(comparison.to_dict(), json_path)
