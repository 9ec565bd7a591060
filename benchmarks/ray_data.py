"""Statistics and exact search on a local Ray of two workers, rows generated as they are read.

Nothing is on disk and nothing is kept: what is measured is the work per row, what the engine adds,
and the memory of workers and object store, which must not grow with the rows. Moments stand beside
a bare ``map_batches`` over the same rows that only reads them, in turn, round by round.

Run: python benchmarks/ray_data.py [--rows 20000000] [--dimension 64] [--repeats 3] [--quick]
"""

from __future__ import annotations

import importlib.metadata
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from generated_rows import BLOCK, generated, table_of
from harness import arguments, publish, random_rows, ratio, spread, summary

import distnorm
from distnorm.distributed import connected, moments_of, topk

K, QUERIES, WORKERS = 10, 16, 2


def read(dataset: Any) -> int:
    """Rows, each number of which is looked at once and no more."""
    found = dataset.map_batches(_read, batch_format="pyarrow", batch_size=None)
    return sum(sum(b["n"].to_pylist()) for b in found.iter_batches(batch_format="pyarrow"))


def _read(batch: Any) -> Any:
    import pyarrow

    values = batch["vector"].combine_chunks().values.to_numpy()
    return pyarrow.table({"n": [len(batch)], "largest": [float(values.max())]})


def moments(dataset: Any) -> Any:
    """Mean and count of all rows."""
    return moments_of(dataset, on="vector")


def search(dataset: Any, queries: np.ndarray) -> Any:
    """The best rows of each query."""
    return topk(queries, dataset, K)


class Memory(AbstractContextManager["Memory"]):
    """Peak of the largest worker's own memory, and of the object store so far, in MB."""

    def __init__(self) -> None:
        self.worker = self.store = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Memory:
        """Begin to look, ten times a second."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            for entry in Path("/proc").iterdir():
                try:
                    line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
                    if line.startswith(b"ray::") and _is_ours(entry):
                        self.worker = max(self.worker, _own_megabytes(entry))
                    elif line.partition(b"\0")[0].endswith(b"/raylet") and _is_ours(entry):
                        self.store = max(self.store, _store_megabytes(entry))
                except OSError:
                    continue


def _is_ours(entry: Path) -> bool:
    """Whether this process began it, or what began it: others may use Ray, too."""
    pid = int(entry.name)
    while pid > 1 and pid != os.getpid():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == os.getpid()


def processor_seconds() -> float:
    """What this process and all that it began have used so far."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and _is_ours(entry):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def _own_megabytes(entry: Path) -> float:
    for line in (entry / "status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _store_megabytes(entry: Path) -> float:
    """What the object store has ever used of its file: pages are not given back."""
    files = [file for file in (entry / "fd").iterdir() if "plasma" in os.readlink(file)]
    return sum(os.stat(file).st_blocks for file in files) * 512 / 1e6


def timed(works: dict[str, Callable[[], object]], repeats: int) -> tuple[dict[str, Any], ...]:
    """Seconds of each work, in turn, after a round to warm up, by the clock and of processors.

    And peaks of memory.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    used: dict[str, list[float]] = {name: [] for name in works}
    peaks: dict[str, dict[str, float]] = {name: {"worker": 0.0, "store": 0.0} for name in works}
    for round_ in range(repeats + 1):
        for name, work in works.items():
            with Memory() as memory:
                start, before = time.perf_counter(), processor_seconds()
                work()
                seconds, busy = time.perf_counter() - start, processor_seconds() - before
            if round_:
                times[name].append(seconds)
                used[name].append(busy)
                peaks[name]["worker"] = max(peaks[name]["worker"], memory.worker)
                peaks[name]["store"] = max(peaks[name]["store"], memory.store)
    seconds, processors = (
        {name: summary(values) for name, values in found.items()} for found in (times, used)
    )
    return seconds, processors, peaks


def checked(dimension: int, block: int) -> None:
    """Raise unless both results are those of one process, on a few blocks."""
    n = 3 * block - 5
    tables = [table_of(number, n, dimension, block) for number in range(3)]
    rows = np.concatenate([t["vector"].combine_chunks().values.to_numpy() for t in tables])
    rows = rows.reshape(n, dimension)
    dataset = generated(n, dimension, block)
    found = moments(dataset)
    if found.count != n or abs(found.mean - rows.mean(axis=0, dtype=np.float64)).max() > 1e-9:
        raise AssertionError("moments differ from those of one process")
    queries = random_rows(QUERIES, dimension, seed=1)
    if (search(dataset, queries)[1] != distnorm.topk(queries, rows, K)[1]).any():
        raise AssertionError("lists differ from those of one process")


def main() -> None:
    """Check, measure at a quarter, a half and all of the rows, publish."""
    options = arguments(
        __doc__,
        lambda parser: (
            parser.add_argument("--rows", type=int, default=None, help="default: 20,000,000 x 64"),
            parser.add_argument("--dimension", type=int, default=64),
        ),
    )
    d = options.dimension
    total = options.rows or (200_000 if options.quick else 20_000_000) * 64 // d
    repeats = options.repeats or (1 if options.quick else 3)
    block = max(1, (1 << 15 if options.quick else BLOCK) * 64 // d)  # 32 MB, whatever the width
    queries = random_rows(QUERIES, d, seed=1)
    runs = []
    with connected(workers=WORKERS):
        import ray

        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        checked(d, 1 << 12)
        for n in (total,) if options.quick else (total // 4, total // 2, total):
            works = {
                "read": lambda n=n: read(generated(n, d, block)),
                "moments": lambda n=n: moments(generated(n, d, block)),
                "topk": lambda n=n: search(generated(n, d, block), queries),
            }
            times, used, peaks = timed(works, repeats)
            runs.append({"rows": n, "seconds": times, "processor_seconds": used, "peaks": peaks})
    rows = []
    for run in runs:
        n = f"{run['rows']:,} rows"
        for name, words in (("read", "only read"), ("moments", "moments"), ("topk", "topk")):
            rows.append((f"{n}: {words}, seconds", spread(run["seconds"][name], digits=1), ""))
        for name in ("moments", "topk"):
            over = ratio(run["seconds"], name, "read")
            wanted = "<= 1.3" if name == "moments" else ""
            rows.append((f"{n}: {name} / only read", spread(over, digits=2), wanted))
            over = ratio(run["processor_seconds"], name, "read")
            rows.append((f"{n}: the same, processor time", spread(over, digits=2), ""))
        for name, peak in run["peaks"].items():
            words = f"{peak['worker']:.0f} MB, {peak['store']:.0f} MB"
            rows.append((f"{n}: {name}, largest worker and object store", words, "flat"))
    for name in ("read", "moments", "topk") if len(runs) > 1 else ():
        sizes = [math.log(run["rows"]) for run in runs]
        logs = [math.log(run["seconds"][name]["median"]) for run in runs]
        slope = float(np.polyfit(sizes, logs, 1)[0])
        rows.append((f"{name} grows like rows to the power of", f"{slope:.2f}", "1"))
    settings = {
        "dimension": d,
        "rows_of_a_block": block,
        "queries": QUERIES,
        "k": K,
        "workers": WORKERS,
        "repeats": repeats,
        "ray": importlib.metadata.version("ray"),
    }
    publish("ray_data" if d == 64 else f"ray_data_{d}", options, settings, {"runs": runs}, rows)


if __name__ == "__main__":
    main()
