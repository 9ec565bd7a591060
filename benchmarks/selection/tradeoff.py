"""What the price of strength buys: the share of the gain against the worst cell, price by price.

The evidence of each cell is that of `study`; the choice is made from it with each price in turn on
the development sets, and with `distnorm.selection.decision.PRICE`, the one in use, on those that
are held back. Shares are of three choices with hindsight: the best fixed method and strength, the
best method of each cell (set and direction) at the default strength of 1/2, and the oracle, which
takes the best of five methods and eight strengths for each cell. The last two may keep the dot
product.

Run: python benchmarks/selection/tradeoff.py [--quick] [--repeats SPLITS] [--sizes N,...]
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import sets  # noqa: E402
from harness import machine, versions  # noqa: E402
from sentences import missing  # noqa: E402
from study import FIXED, recall  # noqa: E402

import distnorm  # noqa: E402
from distnorm.moments import density_weights  # noqa: E402
from distnorm.selection import rule  # noqa: E402
from distnorm.selection.decision import PRICE, decide  # noqa: E402
from distnorm.selection.scored import CORRECTIONS, Scored, Weighing  # noqa: E402

PRICES = (0.0, 0.2, 0.4, PRICE, 0.6, 0.8, 1.6)

Cell = tuple[str, str, int]


def choices(trial: sets.Trial, given: dict[str, np.ndarray]) -> dict[str, list[tuple[str, float]]]:
    """For queries of each side the method and strength that each price leads to."""
    seen: list[list[tuple[str, float]]] = []

    def watched(evidence: Any, n: int, rng: np.random.Generator) -> Any:
        found = [decide(replace(evidence, price=price), n, rng) for price in PRICES]
        seen.append([(choice.method, choice.strength) for choice in found])
        return found[PRICES.index(PRICE)]

    rule.decide = watched
    try:
        norm = distnorm.make("auto").fit(**given).choose(images=trial.images, texts=trial.texts)
    finally:
        rule.decide = decide
    rows = iter(seen)
    return {
        side: next(rows) if choice.evidence == "planted" else [("dot", 0.0)] * len(PRICES)
        for side, choice in norm.selection.sides.items()
    }


def gains(name: str, repeats: int, sizes: list[int]) -> Iterator[tuple[Cell, list[float]]]:
    """Changes of recall@1 by what each price leads to, then by `FIXED`: one list per split."""
    for number, trial in enumerate(sets.trials(sets.load(name), repeats, 0)):
        for n in sizes:
            rng = np.random.default_rng([0, number, n])
            drawn = {
                side: rows[np.sort(rng.permutation(len(rows))[: min(n, len(rows))])]
                for side, rows in trial.pool.items()
            }
            given = {"image": drawn["image"]} if trial.classification else drawn
            chosen = choices(trial, given)
            for side in ("image",) if trial.classification else ("image", "text"):
                other = "text" if side == "image" else "image"
                queries, items = (getattr(trial, f"{s}s").astype(np.float64) for s in (side, other))
                scale = given.get(other, items).astype(np.float64)
                of_scale = density_weights(scale) if other in given else None
                weighing = Weighing(density=True, gated=True)
                samples = given[side].astype(np.float64)
                scored = Scored(samples, items, scale, CORRECTIONS, weighing, of_scale)
                biases = scored.biases(np.ones(len(given[side]), dtype=bool))
                scores = queries @ items.T
                base = recall(scores, trial, side)
                yield (
                    (name, side, n),
                    [
                        recall(scores - strength * biases[method], trial, side) - base
                        if strength
                        else 0.0
                        for method, strength in (*chosen[side], *FIXED)
                    ],
                )


def table(cells: dict[Cell, np.ndarray], sizes: list[int]) -> list[str]:
    """Markdown: a row for each price and size, of the sets held back for the one in use."""
    head = [
        "sets",
        "price",
        "samples",
        "gain",
        "best fixed",
        "best at 1/2",
        "oracle",
        "below -0.5",
        "worst",
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for held, n in ((held, n) for held in (False, True) for n in sizes):
        keys = [key for key in cells if key[2] == n and (key[0] in sets.HELD_BACK) == held]
        if not keys:
            continue
        means = 100 * np.array([cells[key].mean(axis=0) for key in keys])
        fixed = means[:, len(PRICES) :]
        oracle, best = fixed.max(axis=1).mean(), fixed.mean(axis=0).max()
        half = fixed[:, [at for at, (_, strength) in enumerate(FIXED) if strength in (0, 0.5)]]
        default = half.max(axis=1).mean()
        for at, price in enumerate(PRICES):
            if held and price != PRICE:
                continue
            own = means[:, at]
            name, side, _ = keys[int(own.argmin())]
            cells_of = [
                "held back" if held else "development",
                f"{price:g} (in use)" if price == PRICE else f"{price:g}",
                f"{n}",
                f"{own.mean():+.2f}",
                f"{own.mean() / best:.0%}",
                f"{own.mean() / default:.0%}",
                f"{own.mean() / oracle:.0%}",
                f"{(own < -0.5).sum()} of {len(keys)}",
                f"{own.min():+.1f}, {name}, {side} queries",
            ]
            lines.append(f"| {' | '.join(cells_of)} |")
    return lines


def main() -> None:
    """Measure; write tradeoff.md unless the run was a quick one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="1 split of two sets: no result")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--sizes", default="10,30,100,300")
    options = parser.parse_args()
    if not sets.folder().is_dir():
        raise SystemExit(f"no real features in {sets.folder()}: set DISTNORM_REAL_DATA")
    sizes = [int(n) for n in options.sizes.split(",")]
    names = [name for name in sets.SETS if not missing(name, sets.RUN)]
    repeats = options.repeats
    if options.quick:
        sets.shrink()
        names, repeats, sizes = ["coco500, no gap", "imagenet4shot"], 1, [30]
    cells: dict[Cell, list[list[float]]] = {}
    for name in names:
        for cell, found in gains(name, repeats, sizes):
            cells.setdefault(cell, []).append(found)
        print(name, flush=True)
    box = machine()
    lines = ["# What the price of strength buys", ""]
    lines += [f"{datetime.date.today().isoformat()}, {box['processor']}, {box['cores']} cores; "]
    lines[-1] += ", ".join(f"{key} {value}" for key, value in versions().items())
    lines += ["", f"{repeats} splits, seed 0, {len(names)} sets.", ""]
    lines += table({cell: np.array(found) for cell, found in cells.items()}, sizes)
    print("\n".join(lines))
    if not options.quick:
        (HERE / "tradeoff.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
