"""How exact search grows with items and with queries, up to 10,000,000 rows read from a file.

Rows are short (16 numbers in float16), so that the file fits anywhere; time is what searching
costs beyond products, and is given by the clock and in processor time, which other work on the
machine changes less. Memory is the process's own beyond that before the call: queries and results.

Run: python benchmarks/growth.py [--quick]
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import arguments, extra_memory, publish, random_rows, spread, summary

from distnorm.search import topk
from distnorm.system.threads import threads

DIMENSIONS, K = 16, 10


def write(path: Path, n: int) -> None:
    """Unit rows in float16, written in parts."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n, DIMENSIONS))
    for start in range(0, n, 250_000):
        stop = min(n, start + 250_000)
        out[start:stop] = random_rows(stop - start, DIMENSIONS, seed=start)


def measured(items: np.ndarray, queries: np.ndarray, repeats: int) -> dict[str, Any]:
    """Time by the clock and of a processor, and memory, of one search."""
    clock, busy, memory = [], [], []
    for round_ in range(repeats + 1):
        before = time.process_time()
        found = extra_memory(lambda: topk(queries, items, K))
        if round_:
            clock.append(found["seconds"])
            busy.append(time.process_time() - before)
            memory.append(found["extra_mb"])
    return {
        "items": len(items),
        "queries": len(queries),
        "seconds": summary(clock),
        "processor": summary(busy),
        "extra_mb": max(memory),
    }


def exponent(runs: list[dict[str, Any]], over: str, figure: str) -> float:
    """Of the time over the number of items or queries, by least squares on logarithms."""
    sizes = [math.log(run[over]) for run in runs]
    return float(np.polyfit(sizes, [math.log(run[figure]["median"]) for run in runs], 1)[0])


def main() -> None:
    """Measure both directions in one file, publish."""
    options = arguments(__doc__)
    largest = 100_000 if options.quick else 10_000_000
    sizes = [largest // part for part in (10, 5, 2, 1)]
    counts = [100, 200, 500, 1000]
    repeats = options.repeats or (1 if options.quick else 3)
    queries = random_rows(max(counts), DIMENSIONS, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.npy"
        write(path, largest)
        items = np.load(path, mmap_mode="r")
        topk(queries[:2], items[:1000], K)
        by_items = [measured(items[:n], queries[:100], repeats) for n in sizes]
        by_queries = [measured(items[: sizes[0]], queries[:n], repeats) for n in counts]
    rows = []
    for runs, over in ((by_items, "items"), (by_queries, "queries")):
        for run in runs:
            what = f"{run['queries']:,} queries in {run['items']:,} items"
            rows.append((f"{what}: seconds", spread(run["seconds"], digits=2), ""))
            rows.append((f"{what}: of a processor", spread(run["processor"], digits=2), ""))
            rows.append((f"{what}: memory", f"{run['extra_mb']:.0f} MB", "flat"))
        for name, figure in (("time", "seconds"), ("processor time", "processor")):
            slope = exponent(runs, over, figure)
            rows.append((f"{name} grows like {over} to the power of", f"{slope:.2f}", "1"))
    settings = {"dimensions": DIMENSIONS, "k": K, "repeats": repeats, "threads": threads()}
    publish("growth", options, settings, {"by_items": by_items, "by_queries": by_queries}, rows)


if __name__ == "__main__":
    main()
