"""How long a list must be fetched to rank by a number per item, with its linear part and without.

Real vectors in real systems that compare with every item. For each method the biases are stored
once, with the linear part that goes with them (see `search/indexes/linear.py`); "without" is the
same index whose list of what is complete no longer states it. The length of a list, in FAISS, is
what must be fetched until its 10 best are surely the exact ones, in steps of a twentieth; then the
share of lists that are certain at once, agreement with distnorm's own exact top 10, and the
milliseconds of single queries, at once and with ``certify=True``, in turn. Queries are never fitted
on, and biases rest on other texts than those that ask.

Run: python benchmarks/overfetch.py [--quick]
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import HERE, arguments, measure, publish, spread
from index_builders import CASES

import distnorm

K = 10
SYSTEMS = ("faiss-flat", "sqlite-vec-l2", "duckdb", "qdrant-cosine")
METHODS = ("nnn", "dn2", "is")
TIMED = 10


def sets(quick: bool) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Items, queries, and the images and texts to fit on, none of which are queries."""
    data = Path(os.environ.get("DISTNORM_REAL_DATA") or HERE.parent.parent / "shared" / "data")

    def unit(path: str) -> np.ndarray:
        return distnorm.normalize(np.load(data / path).astype(np.float32))

    x, y = (unit(f"coco500-clip-vit-b16/{side}.npy") for side in ("image", "text"))
    found = {"COCO": (x, y[1::2][:200], x[::2], y[::2])}
    x = unit("imagenet4shot-clip-vit-b32/image.npy")
    y = unit("imagenet4shot-clip-vit-b32/class_text_raw.npy")
    found["ImageNet"] = (x[:500] if quick else x, y[1::2][:200], x[::2], y[::2])
    return found


def needed(index: Any, queries: np.ndarray, norm: Any, n: int) -> np.ndarray:
    """For each query the shortest list, within a twentieth, that is certain at once."""
    lengths = np.full(len(queries), n)
    length = K
    while length < n:
        found = index.search(queries, K, norm, overfetch=length)
        certain = np.array(found.certified)
        lengths[certain] = np.minimum(lengths[certain], length)
        if certain.all():
            break
        length = max(length + 1, int(length * 1.05))
    return lengths


def one(
    index: Any, queries: np.ndarray, norm: Any, exact: np.ndarray, n: int, repeats: int
) -> dict[str, Any]:
    """What is to be known of one index as it is."""
    found = index.search(queries, K, norm)
    shares = [
        len(set(map(int, ids)) & set(row.tolist())) / len(row)
        for ids, row in zip(found.ids, exact, strict=True)
    ]
    lengths = needed(index, queries, norm, n) if index.system == "faiss" else None
    singles = [queries[row : row + 1] for row in range(min(TIMED, len(queries)))]

    def run(certify: bool) -> Callable[[], None]:
        def all_queries() -> None:
            for query in singles:
                index.search(query, K, norm, certify=certify)

        return all_queries

    timings = measure({"at once": run(False), "certify": run(True)}, repeats)
    each = 1000 / len(singles)
    return {
        "length": None
        if lengths is None
        else {str(q): float(np.quantile(lengths, q)) for q in (0.5, 0.95, 1.0)},
        "certain_at_once": float(np.mean(found.certified)),
        "agreement": float(np.mean(shares)),
        "ms": {
            name: {key: values[key] * each for key in ("min", "median", "max")}
            for name, values in timings.items()
        },
    }


def main() -> None:
    """Every method in every system, with and without."""
    options = arguments(__doc__ or "")
    warnings.simplefilter("ignore")
    repeats = options.repeats or (1 if options.quick else 5)
    results: dict[str, Any] = {}
    rows = []
    chosen = [case for case in CASES if case.name in SYSTEMS and not case.missing]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        for name, (items, queries, images, texts) in sets(options.quick).items():
            for case in chosen:
                folder = Path(root) / f"{name}-{case.name}"
                folder.mkdir()
                built = case.build(folder, range(len(items)), items)
                for method in METHODS if case.name == "faiss-flat" else METHODS[:1]:
                    print(name, case.name, method, file=sys.stderr, flush=True)
                    norm = distnorm.make(method).fit(images=images, texts=texts)
                    bias = norm.item_bias(images=items)
                    exact = distnorm.search.topk(queries, items, K, bias=bias)[1]
                    with built.open() as index:
                        column = index.upload_bias(norm).column
                        about = index.biases.published()[column]
                        plain = {key: about[key] for key in about if key != "linear"}
                        found = {}
                        for form, stated in (("without", plain), ("with", about)):
                            index.biases.publish(column, stated)
                            found[form] = one(index, queries, norm, exact, len(items), repeats)
                        index.drop_biases(column)
                    results.setdefault(name, {}).setdefault(case.name, {})[method] = found
                    rows += _lines(f"{name}, {case.name}, {method}", found)
                built.stop()
    settings = {
        "k": K,
        "queries": 200,
        "items": {name: len(each[0]) for name, each in sets(options.quick).items()},
        "repeats": repeats,
    }
    publish("overfetch", options, settings, results, rows)


def _lines(name: str, found: dict[str, Any]) -> list[tuple[str, str, str]]:
    lengths, certain, agreement, ms = [], [], [], []
    for form in ("without", "with"):
        each = found[form]
        if each["length"]:
            lengths.append(" / ".join(f"{each['length'][q]:.0f}" for q in ("0.5", "0.95", "1.0")))
        certain.append(f"{100 * each['certain_at_once']:.1f}")
        agreement.append(f"{100 * each['agreement']:.2f}")
        ms.append(f"{spread(each['ms']['at once'])}, {spread(each['ms']['certify'])}")
    shown = [
        (f"{name}: list to fetch, median / 95 % / longest", " -> ".join(lengths), "shorter"),
        (f"{name}: certain at once, %", " -> ".join(certain), "no fewer"),
        (f"{name}: agreement with the exact lists, %", " -> ".join(agreement), "no less"),
        (f"{name}: ms a query, at once and certify=True", " -> ".join(ms), ""),
    ]
    return shown if lengths else shown[1:]


if __name__ == "__main__":
    main()
