"""Thresholds without labels: false alarms wanted against false alarms on rows never seen.

Each of 20 random splits of 500 images and their texts: 100 rows give the statistics, others are
the calibration sample, 200 are judged: all their 39,800 non-matching pairs, and their 200 true
ones. The sample holds

    unpaired      as many images as texts, of different rows: no pair matches
    pairs in order    row i with row i, which `calibrate` has to find out
    hidden pairs  the same rows, texts shuffled: 1 pair in n matches and nobody says so
    naively       hidden pairs, and `calibrate` told that there are none

Needs the folder of real features (DISTNORM_REAL_DATA, or ../shared/data from the project's root)
and for the built-in model's worlds the extra ``demo``.

Run: python benchmarks/calibration.py [--quick]
"""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import arguments, publish
from real_features import FEATURES, folder

import distnorm

METHODS = ("dot", "dn", "dn2", "is")
WANTED = (0.1, 0.01, 0.001, 0.0001)
KINDS = ("unpaired", "pairs in order", "hidden pairs", "naively")
WORLDS = {"matched": "built-in model, matched world", "faded": "built-in model, faded world"}
FITTED, JUDGED = 100, 200

Rows = np.ndarray


def world(name: str, size: int) -> tuple[Rows, Rows]:
    """Images and texts of the built-in model."""
    from distnorm.encoders import load_encoder
    from distnorm.scenes import generate

    encoder, scenes = load_encoder("builtin"), generate(size, world=name, seed=7)
    images = encoder.encode_images([scene.image() for scene in scenes])
    return images, encoder.encode_texts([scene.captions(1)[0] for scene in scenes])


def one_split(
    images: Rows, texts: Rows, method: str, kind: str, n: int, seed: int
) -> list[dict[str, float]]:
    """Figures at each wanted rate."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    fit, judged = order[:FITTED], order[-JUDGED:]
    free = order[FITTED:-JUDGED]
    first, second = free[:n], free[:n]
    if kind == "unpaired":
        second = free[n : 2 * n]
    elif kind != "pairs in order":
        second = rng.permutation(first)
    norm = distnorm.make(method).fit(images=images[fit], texts=texts[fit])
    norm.calibrate(
        images=images[first], texts=texts[second], pairs="none" if kind == "naively" else None
    )
    scores = norm.similarity(images[judged], texts[judged])
    true = np.eye(len(judged), dtype=bool)
    found = []
    for wanted in WANTED:
        at = norm.threshold(wanted)
        stated = norm.false_alarm_rate(float(at))
        above = float((scores[~true] > float(at)).mean())
        found.append(
            {
                "false_alarms": above,
                "found": float((scores[true] > float(at)).mean()),
                "low": stated.low,
                "high": stated.high,
                "inside": float(stated.low <= above <= stated.high),
                "reliable": float(stated.reliable),
                "variation": norm.notes.calibration["by_query"][norm.sides[0]]["variation"],
            }
        )
    return found


def measure(images: Rows, texts: Rows, repeats: int, n: int, kinds: tuple[str, ...]) -> Any:
    """Kind -> method -> wanted rate -> mean and standard deviation over splits."""
    results: dict[str, Any] = {}
    for kind in kinds:
        for method in METHODS:
            splits = [one_split(images, texts, method, kind, n, seed) for seed in range(repeats)]
            by_rate = {}
            for at, wanted in enumerate(WANTED):
                rows = [split[at] for split in splits]
                by_rate[f"{wanted:g}"] = {
                    key: {
                        "mean": float(np.mean([row[key] for row in rows])),
                        "std": float(np.std([row[key] for row in rows], ddof=1)),
                    }
                    for key in rows[0]
                }
            results.setdefault(kind, {})[method] = by_rate
    return results


def percent(value: float) -> str:
    """Enough digits for a small share."""
    return f"{100 * value:.3g} %"


def main() -> None:
    """Measure, print, publish."""
    options = arguments(__doc__)
    if not folder().is_dir():
        raise SystemExit(f"no real features in {folder()}: set DISTNORM_REAL_DATA")
    repeats = options.repeats or (2 if options.quick else 20)
    sets = {
        title: tuple(np.load(folder() / name / f"{side}.npy") for side in ("image", "text"))
        for name, title in FEATURES.items()
    }
    for name, title in list(WORLDS.items())[: 1 if options.quick else None]:
        sets[title] = world(name, 500)
    results, rows = {}, []
    for title, (images, texts) in sets.items():
        results[title] = {
            "200 rows": measure(images, texts, repeats, 200, ("pairs in order", "hidden pairs")),
            "100 rows": measure(images, texts, repeats, 100, KINDS),
            "30 rows": measure(images, texts, repeats, 30, KINDS),
        }
        for size, kinds in results[title].items():
            for kind, methods in kinds.items():
                for method, rates in methods.items():
                    if size != "200 rows" and method != "dn2":
                        continue  # the JSON has them all
                    cells = [percent(cell["false_alarms"]["mean"]) for cell in rates.values()]
                    at = rates["0.01"]
                    inside = [f"{cell['inside']['mean']:.0%}" for cell in rates.values()]
                    rows.append(
                        (
                            f"{title}, {size}, {kind}, {method}",
                            f"{', '.join(cells)}; finds {at['found']['mean']:.0%} at 1 %, "
                            f"varies by {at['variation']['mean']:.2f}; "
                            f"inside the interval {', '.join(inside)}",
                            ", ".join(percent(wanted) for wanted in WANTED),
                        )
                    )
    settings = {
        "splits": repeats,
        "rows for statistics": FITTED,
        "rows judged": JUDGED,
        "rates": "false alarms held out, at wanted rates; found = true pairs above the threshold",
    }
    publish("calibration", options, settings, results, rows)


if __name__ == "__main__":
    main()
