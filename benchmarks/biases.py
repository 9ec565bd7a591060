"""Item biases over a bank against the bare matrix products they rest on, and memory.

The bare products go over the same blocks and write into one reused buffer: nothing that computes
all bank-item scores can be faster. `nnn-retrieval` from PyPI joins where it is installed.

Run: python benchmarks/biases.py [--quick]
"""

from __future__ import annotations

import json
from collections.abc import Callable
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

DIMENSIONS, K = 512, 16
ITEM_ROWS, BANK_ROWS = 1024, 4096


def products(items: np.ndarray, bank: np.ndarray) -> None:
    """All scores, block by block, kept nowhere."""
    buffer = np.empty((ITEM_ROWS, BANK_ROWS), dtype=np.float32)
    for i in range(0, len(items), ITEM_ROWS):
        block = items[i : i + ITEM_ROWS]
        for j in range(0, len(bank), BANK_ROWS):
            rows = bank[j : j + BANK_ROWS]
            if (len(block), len(rows)) == buffer.shape:
                np.matmul(block, rows.T, out=buffer)
            else:
                np.matmul(block, rows.T)


def ours(method: str, items: np.ndarray, bank: np.ndarray) -> Callable[[], np.ndarray]:
    """Fit on the bank and compute the bias of every item."""
    params = {"k": K} if method == "nnn" else {}

    def run() -> np.ndarray:
        return distnorm.make(method, **params).fit(texts=bank).item_bias(images=items)

    return run


def peer(items: np.ndarray, bank: np.ndarray) -> tuple[Callable[[], Any] | None, str]:
    """The same bias by nnn-retrieval on the CPU, or None and the reason."""
    try:
        import nnn
    except ImportError as error:
        return None, f"{type(error).__name__}: {error}"

    def run() -> np.ndarray:
        ranker = nnn.NNNRanker(
            nnn.NNNRetriever(DIMENSIONS),
            items,
            bank,
            alternate_ks=K,
            alternate_weight=0.5,
            batch_size=ITEM_ROWS,
            use_gpu=False,
        )
        return 0.5 * np.ravel(np.asarray(ranker.alignment_means))

    return run, ""


def child(name: str, n: int, bank_rows: int) -> dict[str, float]:
    """Peak memory of one fit and bias."""
    without_torch()
    items, bank = random_rows(n, DIMENSIONS, seed=1), random_rows(bank_rows, DIMENSIONS, seed=2)
    ours(name, items[:2000], bank[:2000])()
    return extra_memory(ours(name, items, bank))


def main() -> None:
    """Time side by side, measure memory, publish."""
    options = arguments(__doc__)
    n = 2000 if options.quick else 20_000
    large = 5000 if options.quick else 100_000
    repeats = options.repeats or (3 if options.quick else 5)
    if options.child:
        print(json.dumps(child(options.child, large, large)))
        return
    items, bank = random_rows(n, DIMENSIONS, seed=1), random_rows(n, DIMENSIONS, seed=2)
    functions: dict[str, Callable[[], Any]] = {
        "matrix products": lambda: products(items, bank),
        "is": ours("is", items, bank),
        "nnn": ours("nnn", items, bank),
    }
    theirs, reason = peer(items, bank)
    if theirs is not None:
        difference = float(np.abs(functions["nnn"]() - theirs()).max())
        functions["nnn-retrieval"] = theirs
        reason = f"largest difference to ours {difference:.1e}"
    timings = measure(functions, repeats)
    extra = ["--quick"] if options.quick else []
    memory = {name: in_child(__file__, name, *extra) for name in ("is", "nnn")}
    rows = [
        (
            f"{name}: time / time of the products",
            spread(ratio(timings, name, "matrix products")),
            limit,
        )
        for name, limit in (("is", "<= 1.1"), ("nnn", "<= 1.1"))
    ]
    if theirs is None:
        rows.append(("nnn-retrieval", f"not measured: {reason}", ""))
    else:
        gain = spread(ratio(timings, "nnn-retrieval", "nnn"))
        rows.append((f"nnn: times as fast as nnn-retrieval ({reason})", gain, ">= 1.25"))
    rows += [(f"seconds, {name}", spread(values), "") for name, values in timings.items()]
    for name, values in memory.items():
        rows.append(
            (
                f"{name}, {large:,} x {large:,}: memory with input",
                f"{values['peak_mb']:.0f} MB, {values['extra_mb']:.0f} beyond the input",
                "< 2000 MB",
            )
        )
    settings = {
        "items": n,
        "bank": n,
        "dimensions": DIMENSIONS,
        "dtype": "float32",
        "nnn k": K,
        "strength": 0.5,
        "repeats": repeats,
    }
    results = {"timings": timings, "memory": memory, "nnn-retrieval": reason}
    publish("biases", options, settings, results, rows)


if __name__ == "__main__":
    main()
