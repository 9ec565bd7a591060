"""Both directions of retrieval at COCO-5K size against the usual script.

The usual script holds the full matrix, sorts every row and looks for the positives in it; two
ways of looking are timed: `numpy.where` for each positive, as VSE++ and its descendants do, and
walking the sorted row in Python up to the first positive. The bare matrix product is what nobody
can go below.

Run: python benchmarks/retrieval.py [--quick]
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
from harness import (
    arguments,
    extra_memory,
    in_child,
    measure,
    publish,
    ratio,
    spread,
    without_torch,
)

import distnorm

DIMENSIONS, CAPTIONS = 512, 5


def pairs(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, five captions each, and the image of each caption; ranks about like CLIP's."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((n, DIMENSIONS), dtype=np.float32)
    image_of_text = np.repeat(np.arange(n), CAPTIONS)
    texts = images[image_of_text]
    texts += 7.5 * rng.standard_normal(texts.shape, dtype=np.float32)
    for rows in (images, texts):
        rows += rng.standard_normal(DIMENSIONS, dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return images, texts, image_of_text


def with_where(order: np.ndarray, positives: np.ndarray) -> int:
    """Rank of the first positive, one search for each."""
    return min(int(np.where(order == item)[0][0]) for item in positives)


def by_walking(order: np.ndarray, positives: np.ndarray) -> int:
    """Rank of the first positive, item after item."""
    wanted = set(positives.tolist())
    return next(rank for rank, item in enumerate(order) if item in wanted)


def usual(
    images: np.ndarray, texts: np.ndarray, find: Callable[[np.ndarray, np.ndarray], int]
) -> dict[str, float]:
    """Recall in both directions by sorting every row of the full matrix."""
    scores = images @ texts.T
    n = len(images)
    positives = np.arange(n * CAPTIONS).reshape(n, CAPTIONS)
    to_text = [find(np.argsort(scores[i])[::-1], positives[i]) for i in range(n)]
    columns = scores.T
    own = np.repeat(np.arange(n), CAPTIONS)[:, None]
    to_image = [find(np.argsort(columns[j])[::-1], own[j]) for j in range(len(texts))]
    found = {}
    for name, ranks in (("text", np.array(to_text)), ("image", np.array(to_image))):
        for k in (1, 5, 10):
            found[f"{name}_retrieval_recall@{k}"] = float(np.mean(ranks < k))
    return found


def in_python(images: np.ndarray, texts: np.ndarray) -> float:
    """Seconds of sorting and walking lists in Python, estimated from one row in fifty."""
    scores = images @ texts.T
    total = 0.0
    for rows, positives in (
        (scores, lambda i: set(range(i * CAPTIONS, (i + 1) * CAPTIONS))),
        (scores.T, lambda j: {j // CAPTIONS}),
    ):
        chosen = range(0, len(rows), 50)
        start = time.perf_counter()
        for i in chosen:
            row, wanted = rows[i].tolist(), positives(i)
            order = sorted(range(len(row)), key=row.__getitem__, reverse=True)
            next(rank for rank, item in enumerate(order) if item in wanted)
        total += (time.perf_counter() - start) * len(rows) / len(chosen)
    return total


def ours(images: np.ndarray, texts: np.ndarray, image_of_text: np.ndarray) -> dict[str, float]:
    """Recall in both directions by `distnorm.evaluate_retrieval`."""
    metrics = distnorm.evaluate_retrieval(None, images, texts, image_of_text).metrics
    return {
        f"{side}_retrieval_recall@{k}": metrics[f"{side}_retrieval_recall@{k}"]
        for side in ("text", "image")
        for k in (1, 5, 10)
    }


def main() -> None:
    """Time all three, check that they agree, measure memory, publish."""
    options = arguments(__doc__)
    n = 300 if options.quick else 5000
    repeats = options.repeats or 3
    without_torch()
    images, texts, image_of_text = pairs(n)
    if options.child:
        ours(images[:50], texts[:250], image_of_text[:250])
        print(json.dumps(extra_memory(lambda: ours(images, texts, image_of_text))))
        return
    found: dict[str, dict[str, float]] = {}

    def keep(name: str, function: Callable[[], dict[str, float]]) -> Callable[[], None]:
        def run() -> None:
            found[name] = function()

        return run

    timings = measure(
        {
            "matrix product": lambda: images @ texts.T,
            "ours": keep("ours", lambda: ours(images, texts, image_of_text)),
            "usual, numpy.where": keep("where", lambda: usual(images, texts, with_where)),
            "usual, walking": keep("walking", lambda: usual(images, texts, by_walking)),
        },
        repeats,
    )
    # The usual script breaks ties by the sort's whim; float32 sums may differ in the last bit.
    agreement = max(abs(found["ours"][key] - found["where"][key]) for key in found["ours"])
    assert agreement <= 2 / n, found
    memory = in_child(__file__, "memory", *(["--quick"] if options.quick else []))
    where = ratio(timings, "usual, numpy.where", "ours")
    walking = ratio(timings, "usual, walking", "ours")
    lists = in_python(images, texts) / timings["ours"]["median"]
    floor = ratio(timings, "ours", "matrix product")
    rows = [
        ("times as fast as sort and walk in Python", spread(walking, digits=1), ">= 50"),
        ("times as fast as sort and numpy.where", spread(where, digits=1), ""),
        ("times as fast as sorting lists (estimated from 1 row in 50)", f"{lists:.0f}", ""),
        ("time / time of the bare matrix product", spread(floor, digits=2), ""),
        *((f"seconds, {name}", spread(values), "") for name, values in timings.items()),
        ("extra memory", f"{memory['extra_mb']:.0f} MB", "< 1000 MB with input"),
        ("memory with input", f"{memory['peak_mb']:.0f} MB", "< 1000 MB"),
        ("largest difference in a recall", f"{agreement:.5f}", "ties only"),
    ]
    settings = {"images": n, "texts": n * CAPTIONS, "dimensions": DIMENSIONS, "repeats": repeats}
    results = {"timings": timings, "memory": memory, "metrics": found}
    publish("retrieval", options, settings, results, rows)


if __name__ == "__main__":
    main()
