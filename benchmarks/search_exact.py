"""Exact top-k against FAISS's flat index, over sizes, k, dimensions and numbers of queries.

Both see the same float32 rows with the same threads, in turn, repeat after repeat. FAISS's copy of
the items is made before the clock starts; ours checks the items within it. Ours is timed as it is
with torch loaded, which on processors with units for bfloat16 multiplies in it first, and with
``precision="float32"``, as without torch. Results must be the same but for ties within float32's
rounding.

Run: python benchmarks/search_exact.py [--quick] [--few]
``--few`` measures few queries alone, and keeps the rest of the results that there are.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from harness import (
    HERE,
    arguments,
    extra_memory,
    in_child,
    measure,
    publish,
    random_rows,
    ratio,
    spread,
)

from distnorm.exact.bfloat16 import bfloat16_pays
from distnorm.search import Gallery, topk
from distnorm.system.threads import threads

QUERIES = 1000
SIZES, KS, DIMENSIONS = (50_000, 200_000, 500_000), (1, 10, 100), (256, 512, 768)
FEW, FEW_DIMENSIONS = (1, 2, 4, 16, 64), (128, 512)
RESULTS = HERE / "results" / "search_exact.json"


def queries_like(items: np.ndarray, n: int) -> np.ndarray:
    """Unit rows around another common direction, as texts are to images."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((n, items.shape[1]), dtype=np.float32)
    rows += rng.standard_normal(items.shape[1], dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def side_by_side(
    items: np.ndarray, queries: np.ndarray, k: int, repeats: int, other: str = "float32"
) -> dict[str, Any]:
    """Times of both, and how far their results agree.

    ``other`` is a second way of ours: "float32", or a "prepared" gallery.
    """
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    prepared = Gallery(items)
    second = {
        "float32": lambda: topk(queries, items, k, precision="float32"),
        "prepared": lambda: topk(queries, prepared, k),
    }[other]
    found: dict[str, Any] = {}

    def keep(name: str, function: Any) -> Any:
        def run() -> None:
            found[name] = function()

        return run

    timings = measure(
        {
            "faiss": keep("faiss", lambda: index.search(queries, k)),
            "ours": keep("ours", lambda: topk(queries, items, k)),
            other: keep(other, second),
        },
        repeats,
    )
    (theirs, their_rows), (ours, rows) = found["faiss"], found["ours"]
    differ = rows != their_rows
    exact = np.einsum(
        "ij,ij->i",
        queries[np.nonzero(differ)[0]].astype(np.float64),
        items[their_rows[differ]].astype(np.float64),
    )
    # Where rows differ, theirs must score what ours scores, to float32's rounding.
    tied = float(np.abs(exact - ours[differ]).max()) if differ.any() else 0.0
    assert tied < 2e-6, tied
    assert np.abs(theirs - ours).max() < 2e-6
    return {
        "n": len(queries),
        "items": len(items),
        "dimensions": items.shape[1],
        "k": k,
        "timings": timings,
        "speed": ratio(timings, "faiss", "ours"),
        f"speed_{other}": ratio(timings, "faiss", other),
        "same_rows": float(1 - differ.mean()),
    }


def growth(results: list[dict[str, Any]]) -> float:
    """Exponent of the time over the number of items, by least squares on logarithms."""
    sizes = [math.log(r["items"]) for r in results]
    times = [math.log(r["timings"]["ours"]["median"]) for r in results]
    return float(np.polyfit(sizes, times, 1)[0])


def memory(n: int) -> dict[str, float]:
    """Extra memory of a search in a file of n float16 rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.npy"
        out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n, 512))
        for start in range(0, n, 50_000):
            stop = min(n, start + 50_000)
            out[start:stop] = random_rows(stop - start, 512, seed=start)
        del out
        items = np.load(path, mmap_mode="r")
        queries = queries_like(items, 100)
        topk(queries[:2], items[:1000], 10)
        return extra_memory(lambda: topk(queries, items, 10))


def many(sizes: tuple[int, ...], n: int, repeats: int, quick: bool) -> list[dict[str, Any]]:
    """Figures of n queries, for every size, dimension and k."""
    results = []
    for d in DIMENSIONS[:1] if quick else DIMENSIONS:
        every = random_rows(max(sizes), d)
        for m in sizes:
            # Short runs are repeated more often: a neighbour's burst spoils a larger part of them.
            times = repeats * min(5, -(-max(sizes) // (2 * m)))
            for k in KS:
                queries = queries_like(every, n)
                results.append(side_by_side(every[:m], queries, k, times))
                print(f"{m} x {d}, k = {k}: {spread(results[-1]['speed'])}", flush=True)
    return results


def main() -> None:
    """Measure everything, publish."""
    options = arguments(__doc__, lambda parser: parser.add_argument("--few", action="store_true"))
    quick = options.quick
    if options.child:
        print(json.dumps(memory(20_000 if quick else 1_000_000)))
        return
    repeats = options.repeats or (2 if quick else 5)
    sizes = (4_000, 8_000, 16_000) if quick else SIZES
    n = 200 if quick else QUERIES
    kept = json.loads(RESULTS.read_text()) if options.few and not quick else None
    results = kept["results"]["runs"] if kept else many(sizes, n, repeats, quick)
    few = []
    for d in FEW_DIMENSIONS:
        every = random_rows(sizes[1], d)
        for one in FEW:
            asked = queries_like(every, one)
            few.append(side_by_side(every, asked, 10, 3 * repeats, "prepared"))
    if kept:
        flat = kept["results"]["memory"]
    else:
        flat = in_child(__file__, "memory", *(["--quick"] if quick else []))
    wanted = ">= 1"
    rows = [
        (
            f"times FAISS's speed, {r['n']} queries in {r['items']} x {r['dimensions']}, "
            f"k = {r['k']} (in float32)",
            f"{spread(r['speed'], digits=2)} ({spread(r['speed_float32'], digits=2)})",
            wanted,
        )
        for r in results
    ]
    rows += [
        (
            f"the same, {r['n']} queries in {r['items']} x {r['dimensions']}, k = 10 "
            "(a prepared `Gallery`)",
            f"{spread(r['speed'], digits=2)} ({spread(r['speed_prepared'], digits=2)})",
            wanted,
        )
        for r in few
    ]
    for d in sorted({r["dimensions"] for r in results}):
        slope = growth([r for r in results if r["dimensions"] == d and r["k"] == 10])
        rows.append((f"time grows like items to the power of, {d} dimensions", f"{slope:.2f}", "1"))
    lowest = min(r["same_rows"] for r in results + few)
    rows.append(("rows the same as FAISS's, lowest share (others tie)", f"{lowest:.5f}", "1"))
    rows.append(("extra memory, a file of 1,000,000 x 512", f"{flat['extra_mb']:.0f} MB", "flat"))
    settings = {
        "queries": n,
        "repeats": kept["settings"]["repeats"]
        if kept
        else f"{repeats} of the largest, up to {5 * repeats} of the smallest",
        "threads of FAISS": faiss.omp_get_max_threads(),
        "threads": threads(),
        "faiss": faiss.__version__,
        "torch": torch.__version__,
        "first pass": "bfloat16" if bfloat16_pays(n, max(sizes), DIMENSIONS[0]) else "float32",
    }
    publish("search_exact", options, settings, {"runs": results, "few": few, "memory": flat}, rows)


if __name__ == "__main__":
    main()
