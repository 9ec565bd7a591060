"""Mean of 1,000,000 x 512: against one matrix product, against NumPy, from a file, and memory.

Run: python benchmarks/moments.py [--quick]
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import (
    arguments,
    extra_memory,
    in_child,
    measure,
    publish,
    random_rows,
    ratio,
    spread,
    without_torch,
)

import distnorm

DIMENSIONS = 512
READ_BYTES = 1 << 24


def single(n: int, repeats: int) -> dict[str, Any]:
    """float32 rows in memory: ours and ``ones @ X``."""
    x = random_rows(n, DIMENSIONS)
    ones = np.ones(n, dtype=np.float32)
    return measure({"ones @ X": lambda: ones @ x, "ours": lambda: _mean(x)}, repeats)


def half(n: int, repeats: int) -> dict[str, Any]:
    """float16 rows in memory: ours and NumPy's mean."""
    x = random_rows(n, DIMENSIONS, np.float16)
    return measure(
        {"numpy": lambda: x.mean(axis=0, dtype=np.float32), "ours": lambda: _mean(x)}, repeats
    )


def from_file(n: int, repeats: int) -> dict[str, Any]:
    """A float32 file: ours on a memory map and plain reading, in the file cache and out of it."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path = Path(folder) / "x.npy"
        np.save(path, random_rows(n, DIMENSIONS))
        os.sync()
        functions = {
            "read": lambda: _read(path),
            "ours": lambda: _mean(np.load(path, mmap_mode="r")),
        }
        return {
            "cached": measure(functions, repeats),
            "uncached": measure(functions, repeats, before_each=lambda: _forget(path)),
        }


def memory(n: int, dtype: type) -> dict[str, float]:
    """Extra memory of one mean."""
    x = random_rows(n, DIMENSIONS, dtype)
    _mean(x[:10_000])
    return extra_memory(lambda: _mean(x))


def mapped_memory(n: int) -> dict[str, float]:
    """Extra memory of one mean over a memory-mapped file."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path = Path(folder) / "x.npy"
        rows = np.lib.format.open_memmap(path, "w+", np.float32, (n, DIMENSIONS))
        for start in range(0, n, 8192):
            rows[start : start + 8192] = random_rows(min(8192, n - start), DIMENSIONS, seed=start)
        rows.flush()
        mapped = np.load(path, mmap_mode="r")
        return extra_memory(lambda: _mean(mapped))


def _mean(x: np.ndarray) -> np.ndarray:
    return distnorm.Moments().update(x).mean


def _read(path: Path) -> int:
    buffer = bytearray(READ_BYTES)
    total = 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
    return total


def _forget(path: Path) -> None:
    """Ask the system to drop the file from its cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def child(name: str, n: int, repeats: int) -> Any:
    """One measurement in this process, with torch loaded, or out of reach."""
    kind, _, torch = name.partition("+")
    if torch:
        import torch as _torch  # noqa: F401
    else:
        without_torch()
    match kind:
        case "single":
            return single(n, repeats)
        case "half":
            return half(n, repeats)
        case "file":
            return from_file(n, repeats)
        case "memory32":
            return memory(n, np.float32)
        case "memory16":
            return memory(n, np.float16)
        case "mapped":
            return mapped_memory(n)
    raise SystemExit(f"no measurement {name!r}")


def main() -> None:
    """Run all, in processes of their own, and publish."""
    options = arguments(__doc__)
    n = 20_000 if options.quick else 1_000_000
    repeats = options.repeats or (3 if options.quick else 7)
    if options.child:
        print(json.dumps(child(options.child, n, repeats)))
        return
    passed_on = [*(["--quick"] if options.quick else []), "--repeats", str(repeats)]
    torch = _has_torch()
    names = ["single", "half", "file", "memory32", "memory16", "mapped"]
    names += ["single+torch", "half+torch"] if torch else []
    results = {name: in_child(__file__, name, *passed_on) for name in names}
    rows = []
    for suffix, with_torch in (("", "torch not installed"), ("+torch", "torch loaded")):
        if suffix and not torch:
            rows.append(("with torch", "not measured: torch is not installed", ""))
            continue
        rate = ratio(results[f"single{suffix}"], "ones @ X", "ours")
        gain = ratio(results[f"half{suffix}"], "numpy", "ours")
        wanted = ">= 4" if suffix else ">= 1"
        rows.append((f"float32: rate / rate of `ones @ X`, {with_torch}", spread(rate), ">= 0.8"))
        rows.append((f"float16: times as fast as numpy.mean, {with_torch}", spread(gain), wanted))
    size = n * DIMENSIONS * 4 / 1e9
    for state in ("cached", "uncached"):
        timings = results["file"][state]
        rate = ratio(timings, "read", "ours")
        speed = {key: size / timings["ours"][key] for key in ("median", "min", "max")}
        speed["min"], speed["max"] = speed["max"], speed["min"]
        rows.append((f"memory map / plain reading, file {state}", spread(rate), "about 1 uncached"))
        rows.append((f"memory map, GB/s, file {state}", spread(speed), ""))
    for name, what in (("memory32", "float32"), ("memory16", "float16"), ("mapped", "mapped")):
        rows.append((f"extra memory, {what}", f"{results[name]['extra_mb']:.1f} MB", "< 100 MB"))
    settings = {"rows": n, "dimensions": DIMENSIONS, "repeats": repeats}
    publish("moments", options, settings, results, rows)


def _has_torch() -> bool:
    import importlib.util

    return importlib.util.find_spec("torch") is not None


if __name__ == "__main__":
    main()
