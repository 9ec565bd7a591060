"""Class priors: balance, shift and the gate between them, on banks that are even, skewed or few.

A bank of unlabelled pictures tells the prior, and pictures that are drawn like it are classified;
the two never share a picture. Classes come

    even            alike
    Zipf 0.7 ...    by Zipf's law, in random order
    c of n classes  a few of them, alike
    stream          in chunks that are classified, then learned: shuffled, or class by class

Where a class runs out of pictures, further ones are blends: two of its pictures less the mean, at
their length, plus half of any picture less the mean. Worlds are single objects, drawn and embedded
by the built-in model; "100 classes" are those of ImageNet with a list of 100, drawn anew each time.

Figures are accuracies against the dot product in points, without a prior (none), by each bet and by
the gate (auto), on the method's scores; the first method is measured on every set, further ones on
the first set. The thresholds of `distnorm.tasks.prior_evidence` were set on `DEVELOPMENT`;
`HELD_BACK` was fixed before any of it was measured.

Run: python benchmarks/class_priors.py [--quick] [--repeats DRAWS] [--sets NAME,...]
    [--methods NAME,...]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from harness import arguments, publish

sys.path.insert(0, str(Path(__file__).resolve().parent / "selection"))
from sets import RUN, folder, load

import distnorm
from distnorm import ZeroShotClassifier, fit_class_prior, make, normalize
from distnorm.tasks.class_prior import class_ranking

DEVELOPMENT = (
    "imagenet4shot",
    "imagenet4shot, 100 classes",
    "imagenet4shot, 20 classes",
    "world-matched",
    "world-faded",
)
HELD_BACK = ("imagenet4shot, 300 classes", "world-dim", "world-night")
PRIORS = ("none", "balance", "shift", "auto")
SIZES = (40, 300, 1000, 5000)
EVALUATED, CHUNK, STREAM = 1000, 100, 1500


@dataclass
class Pictures:
    """Pictures of each class, each handed out once, then blends."""

    images: np.ndarray
    by_class: dict[int, list[int]]
    rng: np.random.Generator
    used: Counter[int] = field(default_factory=Counter)

    def draw(self, classes: np.ndarray) -> np.ndarray:
        """One picture of each class."""
        mean = self.images.mean(axis=0)
        every = np.array([row for rows in self.by_class.values() for row in rows])
        found = np.empty((len(classes), len(mean)), np.float32)
        for at, name in enumerate(classes.tolist()):
            rows, number = self.by_class[name], self.used[name]
            self.used[name] += 1
            if number < len(rows):
                found[at] = self.images[rows[number]]
                continue
            chosen = (r[self.rng.integers(0, len(r))] for r in (rows, rows, every))
            one, two, other = (self.images[row] - mean for row in chosen)
            share = self.rng.uniform(0.3, 0.7)
            both = np.sqrt(share) * one + np.sqrt(1 - share) * two
            found[at] = mean + both / np.linalg.norm(both) * np.linalg.norm(one) + 0.5 * other
        return normalize(found)


@dataclass(frozen=True)
class Problem:
    """Pictures, class rows and the class of each picture."""

    images: np.ndarray
    classes: np.ndarray
    labels: np.ndarray

    def halves(self, rng: np.random.Generator) -> tuple[Pictures, Pictures]:
        """Each class's pictures, half for the bank and half to be classified."""
        halves: tuple[dict[int, list[int]], dict[int, list[int]]] = ({}, {})
        for name in range(len(self.classes)):
            rows = rng.permutation(np.flatnonzero(self.labels == name)).tolist()
            halves[0][name], halves[1][name] = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        return Pictures(self.images, halves[0], rng), Pictures(self.images, halves[1], rng)


def problem(name: str, rng: np.random.Generator) -> Problem:
    """A set, with a list of some of its classes if so."""
    base, _, part = name.partition(", ")
    if base.startswith("world-"):
        return world(base.removeprefix("world-"))
    data = load(base)
    found = Problem(data.images, data.texts, data.image_of_text)
    if not part:
        return found
    chosen = np.sort(rng.choice(len(found.classes), int(part.split()[0]), replace=False))
    rows = np.flatnonzero(np.isin(found.labels, chosen))
    labels = np.searchsorted(chosen, found.labels[rows])
    return Problem(found.images[rows], found.classes[chosen], labels)


def world(name: str) -> Problem:
    """Single objects of a world."""
    path = RUN / "features" / f"{name}, single objects.npz"
    if not path.is_file():
        from distnorm.scenes import CLASS_NAMES, generate
        from distnorm.tasks.classification import class_rows

        encoder = distnorm.load_encoder("builtin")
        scenes = generate(_SCENES, world=name, seed=30, objects=1)
        classes = class_rows(encoder, CLASS_NAMES, encoder.prompts)
        images = encoder.encode_images([scene.image() for scene in scenes])
        labels = [CLASS_NAMES.index(scene.label) for scene in scenes]
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, images=images, classes=classes, labels=labels)
        part.replace(path)
    with np.load(path) as kept:
        images, labels = kept["images"], kept["labels"]
        # A class needs two pictures on either side.
        enough = np.flatnonzero(np.bincount(labels, minlength=len(kept["classes"])) >= 4)
        rows = np.flatnonzero(np.isin(labels, enough))
        return Problem(images[rows], kept["classes"][enough], np.searchsorted(enough, labels[rows]))


_SCENES = 1500


def shares(count: int, skew: str, rng: np.random.Generator) -> np.ndarray:
    """Probability of each class, in random order."""
    values = np.ones(count)
    if skew.startswith("Zipf"):
        values = 1 / np.arange(1, count + 1) ** float(skew.split()[1])
    elif skew != "even":
        values = (np.arange(count) < int(skew.split()[0])).astype(np.float64)
    values = rng.permutation(values)
    return values / values.sum()


def drawn(probability: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Classes of so many pictures; those that come alike come as evenly as they can."""
    some = np.flatnonzero(probability)
    if np.ptp(probability[some]) > 0:
        return rng.choice(len(probability), size, p=probability)
    rounds = -(-size // len(some))
    return np.concatenate([rng.permutation(some) for _ in range(rounds)])[:size]


def cells(classes: int) -> Iterator[tuple[str, int]]:
    """Skew and size of the bank of each cell."""
    few = max(5, classes // 20)
    for skew in ("even", "Zipf 0.7", "Zipf 1.0", "Zipf 1.3", f"{few} of {classes} classes"):
        for size in SIZES:
            yield skew, size


def bank_cell(name: str, skew: str, size: int, draws: int, method: str) -> dict[str, Any]:
    """Hits of the dot product and of each prior, and what the gate took."""
    hits: dict[str, list[float]] = {}
    kinds: Counter[str] = Counter()
    for number in range(draws):
        rng = np.random.default_rng(number)
        data = problem(name, rng)
        bank, asked = data.halves(rng)
        probability = shares(len(data.classes), skew, rng)
        images = bank.draw(drawn(probability, size, rng))
        truth = drawn(probability, EVALUATED, rng)
        queries = asked.draw(truth)
        hits.setdefault("dot", []).append(accuracy(make("dot"), queries, data.classes, truth))
        norm = make(method).fit(images=images, texts=data.classes)
        for prior in PRIORS:
            own = norm
            if prior != "none":
                own = fit_class_prior(norm, images, data.classes, prior=prior)
            hits.setdefault(prior, []).append(accuracy(own, queries, data.classes, truth))
        kinds[own.notes.class_prior["kind"]] += 1
    return {"hits": hits, "gate": dict(kinds)}


def stream_cell(name: str, skew: str, order: str, draws: int, method: str) -> dict[str, Any]:
    """The same over a stream, each chunk classified before it is learned."""
    hits: dict[str, list[float]] = {}
    kinds: Counter[str] = Counter()
    for number in range(draws):
        rng = np.random.default_rng(number)
        data = problem(name, rng)
        probability = shares(len(data.classes), skew, rng)
        truth = drawn(probability, STREAM, rng)
        if order == "class by class":
            truth = truth[np.argsort(rng.permutation(len(data.classes))[truth], kind="stable")]
        rows: dict[int, list[int]] = {
            n: rng.permutation(np.flatnonzero(data.labels == n)).tolist()
            for n in range(len(data.classes))
        }
        images = Pictures(data.images, rows, rng).draw(truth)
        dot = images @ data.classes.T
        hits.setdefault("dot", []).append(float(100 * np.mean(dot.argmax(axis=1) == truth)))
        for prior in PRIORS:
            classifier = ZeroShotClassifier(method, prior=prior).fit(data.classes)
            right = 0
            for start in range(0, STREAM, CHUNK):
                part = slice(start, start + CHUNK)
                # Before anything is learned there is the dot product alone.
                found = classifier.predict(images[part]) if start else dot[part].argmax(axis=1)
                right += int((found == truth[part]).sum())
                if prior == "auto" and start:
                    kinds[classifier.norm_.notes.class_prior["kind"]] += 1
                classifier.partial_fit(images[part])
            hits.setdefault(prior, []).append(100 * right / STREAM)
    return {"hits": hits, "gate": dict(kinds)}


def accuracy(norm: Any, images: np.ndarray, classes: np.ndarray, truth: np.ndarray) -> float:
    """Percentage of images whose class is found."""
    found = np.asarray(class_ranking(norm, images, classes).scores()).argmax(axis=1)
    return float(100 * np.mean(found == truth))


def row_of(cell: dict[str, Any]) -> list[str]:
    """Changes against dot, the mean over draws, with the largest standard error of any."""
    dot = np.array(cell["hits"]["dot"])
    changes = {prior: np.array(cell["hits"][prior]) - dot for prior in PRIORS}
    errors = [float(c.std(ddof=1) / np.sqrt(len(c))) for c in changes.values() if len(c) > 1]
    total = sum(cell["gate"].values())
    took = ", ".join(f"{kind} {n / total:.0%}" for kind, n in sorted(cell["gate"].items()))
    means = [f"{changes[prior].mean():+.1f}" for prior in PRIORS]
    return [f"{dot.mean():.1f}", *means, f"{max(errors, default=0.0):.1f}", took]


def main() -> None:
    """Measure all cells, print and publish them."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--sets", default=",".join((*DEVELOPMENT, *HELD_BACK)))
        parser.add_argument("--methods", default="dot,dn*", help="the first on every set")

    options = arguments(__doc__, add)
    draws = options.repeats or (1 if options.quick else 3)
    # Commas stand in names too.
    names = [n for n in (*DEVELOPMENT, *HELD_BACK) if n in options.sets]
    methods = options.methods.split(",")
    if options.quick:
        names, methods = ["world-matched"], ["dot"]
    results: dict[str, Any] = {}
    head = ["set", "method", "bank", "rows", "dot", *PRIORS, "s.e.", "the gate took"]
    lines = [" | ".join(head), "|".join(["---"] * len(head))]

    def note(name: str, method: str, bank: str, rows: int, cell: dict[str, Any]) -> None:
        results[f"{name}, {method}, {bank}, {rows}"] = {"set": name, **cell}
        label = f"{name} (held back)" if name in HELD_BACK else name
        lines.append(" | ".join([label, method, bank, str(rows), *row_of(cell)]))
        print(lines[-1], flush=True)

    for name in names:
        if not name.startswith("world-") and not folder().is_dir():
            print(f"{name}: no real features here")
            continue
        count = len(problem(name, np.random.default_rng(0)).classes)
        some = list(cells(count))
        for method in methods if name == DEVELOPMENT[0] else methods[:1]:
            for skew, size in some[2:3] if options.quick else some:
                note(name, method, skew, size, bank_cell(name, skew, size, draws, method))
        for skew in ("even", some[-1][0]):
            for order in ("class by class", "shuffled"):
                if options.quick and (skew, order) != ("even", "class by class"):
                    continue
                cell = stream_cell(name, skew, order, min(draws, 2), methods[0])
                note(name, methods[0], f"stream, {skew}, {order}", STREAM, cell)
    settings = {"draws": draws, "evaluated": EVALUATED, "chunks of a stream": CHUNK}
    publish("class_priors", options, settings, {"cells": results, "table": lines}, worst(results))
    if options.out is None and not options.quick:
        table = Path(__file__).resolve().parent / "results" / "class_priors.md"
        table.write_text(
            table.read_text() + "\n" + "\n".join(f"| {line} |" for line in lines) + "\n"
        )


def worst(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The lowest change by each prior in any cell, and the mean over all."""
    rows = []
    for prior in PRIORS[1:]:
        for what, sets in (("developed on", DEVELOPMENT), ("held back", HELD_BACK)):
            means = {
                name: float(np.mean(np.subtract(c["hits"][prior], c["hits"]["none"])))
                for name, c in results.items()
                if c["set"] in sets
            }
            if not means:
                continue
            lowest = min(means, key=means.__getitem__)
            mean = float(np.mean(list(means.values())))
            text = f"{means[lowest]:+.1f} ({lowest}); mean of {len(means)} cells {mean:+.1f}"
            wanted = ">= -0.5" if prior == "auto" else "told, not wanted"
            label = f"{prior}, sets {what}: lowest change against the method without it"
            rows.append((label, text, wanted))
    return rows


if __name__ == "__main__":
    main()
