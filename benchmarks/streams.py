"""Streams: density weights that `partial_fit` gives chunk by chunk, against those of one `fit`.

Banks are those of ``skew.py``. Methods with a bank weigh it anew as a whole, so a stream is a
batch; ``dn`` and ``dn2`` keep the latest 2,000 rows for that, and a stream that goes on after they
were saved and loaded has lost them. For chunks of some sizes, rows in random order or item by item,
and a stream that is saved after each chunk or never:

    error    |m_stream - m_batch| / |m_even - m_batch|, m the means: 0 is the batch's, 1 that of
             even weights
    R@1      change against the dot product in points: stream, between batch and even weights

Run: python benchmarks/streams.py [--quick] [--repeats DRAWS] [--sets NAME,...]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from harness import arguments, publish

sys.path.insert(0, str(Path(__file__).resolve().parent / "selection"))
from sets import load
from skew import SIZES, of_pairs, share_of_hits, shrink

from distnorm import load as load_norm
from distnorm import make

SETS = ("coco500", "world-red")
SKEWS = ("Zipf 1.0", "Zipf 1.3")
CHUNKS = (50, 250)
METHODS = ("dn", "dn2")
ORDERS = ("random", "by item")


def measure(name: str, skew: str, draws: int) -> dict[str, dict[str, list[float]]]:
    """Errors and changes of every method, order and chunk size in each draw."""
    draw = of_pairs(load(name), skew)
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(draws):
        bank, queries, items, truth = draw(np.random.default_rng(number))
        dot = share_of_hits(make("dot"), "text", queries, items, truth)
        by_item = np.argsort((bank @ items.T).argmax(axis=1), kind="stable")
        for method in METHODS:

            def change(norm: Any, dot: float = dot) -> float:
                return share_of_hits(norm, "text", queries, items, truth) - dot  # noqa: B023

            batch, even = (
                make(method, weights=w).fit(text=bank, image=items) for w in ("density", "even")
            )
            base = batch.statistics["text"].moments.mean
            away = float(np.linalg.norm(even.statistics["text"].moments.mean - base))
            for order, size, kept in product(ORDERS, CHUNKS, (True, False)):
                rows = bank if order == "random" else bank[by_item]
                norm = stream(make(method, weights="density").fit(image=items), rows, size, kept)
                mean = norm.statistics["text"].moments.mean
                label = f"{method}, {order}, chunks of {size}{'' if kept else ', saved each time'}"
                cell = found.setdefault(label, {})
                error = float(np.linalg.norm(mean - base)) / away
                values = {"error": error, "stream": change(norm)}
                values.update(batch=change(batch), even=change(even))
                for key, value in values.items():
                    cell.setdefault(key, []).append(value)
    return found


def stream(norm: Any, rows: np.ndarray, size: int, kept: bool) -> Any:
    """Rows added chunk by chunk, by one object or by one that is loaded for each chunk."""
    for start in range(0, len(rows), size):
        norm.partial_fit(text=rows[start : start + size])
        if not kept:
            with tempfile.TemporaryDirectory() as folder:
                norm.save(f"{folder}/norm.safetensors")
                norm = load_norm(f"{folder}/norm.safetensors")
    return norm


def main() -> None:
    """Measure all cells, print and publish them."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--sets", default=",".join(SETS))

    options = arguments(__doc__, add)
    draws = options.repeats or (1 if options.quick else 4)
    names = ["world-red"] if options.quick else options.sets.split(",")
    if options.quick:
        shrink()
    results: dict[str, Any] = {}
    rows = []
    for name in names:
        for skew in SKEWS[:1] if options.quick else SKEWS:
            found = results[f"{name}, {skew}"] = measure(name, skew, draws)
            for label, cell in found.items():
                means = {key: float(np.mean(values)) for key, values in cell.items()}
                text = (
                    "error {error:.2f}; R@1 stream {stream:+.1f}, batch {batch:+.1f}, "
                    "even {even:+.1f}"
                )
                rows.append((f"{name}, {skew}: {label}", text.format(**means), "error < 0.3"))
                print(" | ".join(rows[-1]), flush=True)
    publish("streams", options, {"draws": draws, "bank": SIZES["bank"]}, results, rows)


if __name__ == "__main__":
    main()
