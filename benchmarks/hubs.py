"""How much each method thins out hubs, from queries alone, on real features.

Half of the pairs gives statistics; the texts of the other half ask for its images, ten at a time,
20 random halves. A method changes the query alone, or needs a number per item. Means over halves.

Needs the folder of real features: DISTNORM_REAL_DATA, or ../shared/data from the project's root.

Run: python benchmarks/hubs.py [--quick]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from harness import arguments, publish
from real_features import FEATURES, folder

import distnorm
from distnorm.search import query_hubs

METHODS = ("dn", "dn*", "ridge", "dn2", "is", "nnn")
FIGURES = ("largest", "effective_items", "never_found", "skewness")


def figures(occurrences: Any, n_items: int) -> dict[str, float]:
    """What the table shows of one ranking."""
    found = occurrences.to_dict()
    return {**{name: found[name] for name in FIGURES if name in found},
            "never_found": n_items - found["items_found"]}  # fmt: skip


def measured(images: np.ndarray, texts: np.ndarray, repeats: int) -> dict[str, dict[str, float]]:
    """Mean figures of the dot product and of every method over random halves."""
    table: dict[str, list[dict[str, float]]] = {}
    for child in np.random.SeedSequence(0).spawn(repeats):
        order = np.random.default_rng(child).permutation(len(images))
        fit, rest = np.split(order, 2)
        for method in METHODS:
            norm = distnorm.make(method).fit(images=images[fit], texts=texts[fit])
            hubs = query_hubs(texts[rest], images[rest], norm, 10)
            table.setdefault(method, []).append(figures(hubs.after, hubs.n_items))
        table.setdefault("dot", []).append(figures(hubs.before, hubs.n_items))
    return {
        method: {name: float(np.mean([entry[name] for entry in runs])) for name in FIGURES}
        for method, runs in table.items()
    }


def lines(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Markdown: a row for each method."""
    heads = (
        "| method | what changes | largest hub, lists | effective items | never found | skewness |"
    )
    rows = [heads, "|---|---|---|---|---|---|"]
    for method in ("dot", *METHODS):
        shifts = distnorm.METHODS[method].shifts_queries
        changes = "nothing" if method == "dot" else "the query" if shifts else "a number per item"
        values = found[method]
        rows.append(
            f"| `{method}` | {changes} | {values['largest']:.0f} | {values['effective_items']:.0f} "
            f"| {values['never_found']:.1f} | {values['skewness']:.2f} |"
        )
    return rows


def main() -> None:
    """Measure on each set, print tables, publish."""
    options = arguments(__doc__)
    if not folder().is_dir():
        raise SystemExit(f"no real features in {folder()}: set DISTNORM_REAL_DATA")
    repeats = options.repeats or (2 if options.quick else 20)
    results, rows = {}, []
    for name, title in FEATURES.items():
        images, texts = (np.load(folder() / name / f"{side}.npy") for side in ("image", "text"))
        results[name] = measured(images, texts, repeats)
        print(f"{title}:\n")
        print("\n".join(lines(results[name])), end="\n\n")
        for method in ("dot", *METHODS):
            values = results[name][method]
            words = f"{values['largest']:.1f}, {values['effective_items']:.1f}"
            rows.append((f"{title}, {method}: largest hub, effective items", words, ""))
    publish("hubs", options, {"repeats": repeats, "seed": 0, "k": 10}, results, rows)


if __name__ == "__main__":
    main()
