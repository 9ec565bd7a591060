"""What every benchmark shares: side-by-side timing, peak memory in a process of its own, results.

Ratios are only ever taken between functions timed by one `measure` call: it runs them in turn,
repeat after repeat, so that a slow spell of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PACKAGES = ("distnorm", "numpy", "torch", "array-api-compat", "safetensors", "nnn-retrieval")


def arguments(
    description: str | None, add: Callable[[argparse.ArgumentParser], object] | None = None
) -> argparse.Namespace:
    """Options that all benchmarks take, and those that ``add`` puts to them."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--repeats", type=int, default=None)
    parser.add_argument(
        "--out", type=Path, default=None, help="folder; default benchmarks/results, quick: none"
    )
    parser.add_argument("--child", default=None, help=argparse.SUPPRESS)
    if add is not None:
        add(parser)
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """Processor, cores, memory, and how busy it is: more than 1 a core says that it is shared."""
    model = platform.processor() or platform.machine()
    try:
        listing = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
        model = next(
            line.partition(":")[2].strip()
            for line in listing.splitlines()
            if line.startswith("Model name")
        )
    except (OSError, subprocess.CalledProcessError, StopIteration):
        pass
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[1], 1),
    }


def versions() -> dict[str, str]:
    """Python and the packages that matter, those that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def measure(
    functions: Mapping[str, Callable[[], object]],
    repeats: int,
    before_each: Callable[[], object] | None = None,
) -> dict[str, dict[str, Any]]:
    """Seconds of each function: one round to warm up, then ``repeats`` rounds in turn."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for round_ in range(repeats + 1):
        for name, function in functions.items():
            if before_each is not None:
                before_each()
            # BLAS threads spin on for some milliseconds after a product; nobody pays for another.
            time.sleep(0.2)
            start = time.perf_counter()
            function()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: summary(values) for name, values in times.items()}


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Median, smallest and largest of some numbers, and the numbers."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "all": [round(v, 6) for v in values],
    }


def ratio(timings: Mapping[str, Mapping[str, Any]], numerator: str, denominator: str) -> Any:
    """Median, smallest and largest quotient of the two times, round by round."""
    pairs = zip(timings[numerator]["all"], timings[denominator]["all"], strict=True)
    result = summary([a / b for a, b in pairs])
    del result["all"]
    return result


def extra_memory(function: Callable[[], object]) -> dict[str, float]:
    """Peak of this process's own (anonymous) memory during a call, beyond that before, in MB.

    Pages of a memory-mapped file belong to the system's file cache and do not count.
    """
    done = threading.Event()
    before = peak = _anonymous_bytes()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, _anonymous_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    start = time.perf_counter()
    function()
    seconds = time.perf_counter() - start
    peak = max(peak, _anonymous_bytes())
    done.set()
    thread.join()
    return {
        "extra_mb": (peak - before) / 1e6,
        "input_mb": before / 1e6,
        "peak_mb": peak / 1e6,
        "seconds": seconds,
    }


def _anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no RssAnon: memory is measured on Linux only")


def in_child(script: str, child: str, *extra: str) -> Any:
    """Run ``script --child child`` in a process of its own; the JSON it prints last."""
    command = [sys.executable, script, "--child", child, *extra]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


class _NoTorch(MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("torch is out of reach in this process", name="torch")


def without_torch() -> None:
    """Make ``import torch`` fail in this process, as if it were not installed."""
    sys.meta_path.insert(0, _NoTorch())


def random_rows(n: int, d: int, dtype: type = np.float32, seed: int = 0) -> np.ndarray:
    """Unit rows around a common direction, made block by block to keep memory low."""
    rng = np.random.default_rng(seed)
    center = rng.standard_normal(d, dtype=np.float32)
    rows = np.empty((n, d), dtype=dtype)
    for start in range(0, n, 8192):
        block = rng.standard_normal((min(8192, n - start), d), dtype=np.float32) + center
        rows[start : start + 8192] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return rows


def spread(values: Mapping[str, float], unit: str = "", digits: int = 3) -> str:
    """``median (min to max)`` for a table."""
    low, mid, high = (f"{values[key]:.{digits}f}" for key in ("min", "median", "max"))
    return f"{mid}{unit} ({low} to {high})"


def publish(
    name: str,
    options: argparse.Namespace,
    settings: Mapping[str, Any],
    results: Mapping[str, Any],
    rows: Sequence[tuple[str, str, str]],
) -> None:
    """Print the table; write ``name.json`` and ``name.md`` unless the run was a quick one.

    ``rows`` are (what, measured, wanted).
    """
    about = {
        "benchmark": name,
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "settings": dict(settings),
        "quick": options.quick,
    }
    box = about["machine"]
    lines = [
        f"# {name}{' (quick sizes: no result)' if options.quick else ''}",
        "",
        f"{about['date']}, {box['processor']}, {box['cores']} cores, {box['memory_gib']} GiB, "
        f"load of the last five minutes {box['load']}; "
        + ", ".join(f"{key} {value}" for key, value in about["versions"].items()),
        "",
        "Settings: " + ", ".join(f"{key} {value}" for key, value in settings.items()),
        "",
        "| what | measured, median (min to max) | wanted |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]
    print("\n".join(lines))
    folder = options.out or (None if options.quick else HERE / "results")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text("\n".join(lines))
        text = json.dumps({**about, "results": dict(results)}, indent=1)
        (folder / f"{name}.json").write_text(text + "\n")
