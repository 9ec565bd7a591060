"""From cells to tables: gains over the dot product, their standard errors, the oracle's share.

    best fixed   the one method and strength with the largest mean gain over all sets and directions
                 at a sample size, chosen with hindsight
    oracle       the same for each set, direction and size by itself; 0 where nothing beats dot

The standard error is that of the paired difference over splits. Splits of a set overlap, so it
understates how a new data set would differ.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sets
from harness import machine, versions

AUTOS = ("auto", "auto, samples", "auto, labelled")
_WORDS = {"text": "text→image", "image": "image→text"}
_REACH = 0.005


def publish(
    cells: dict[str, list[dict[str, Any]]],
    fixed: Sequence[tuple[str, float]],
    settings: dict[str, Any],
    folder: Path | None,
) -> None:
    """Print the tables; write results.json and results.md where a folder is given."""
    rows = summaries(cells, fixed)
    box, found = machine(), versions()
    date = datetime.date.today().isoformat()
    lines = ["# Label-free choice of method and strength", ""]
    lines += [f"{date}, {box['processor']}, {box['cores']} cores; "]
    lines[-1] += ", ".join(f"{key} {value}" for key, value in found.items())
    lines += ["", f"{settings['splits']} splits, seed {settings['seed']}.", ""]
    lines += markdown(rows, settings["sizes"])
    print("\n".join(lines))
    if folder is None:
        return
    about = {"date": date, "machine": box, "versions": found, "settings": settings, "rows": rows}
    (folder / "results.json").write_text(json.dumps(about, indent=1) + "\n")
    (folder / "results.md").write_text("\n".join(lines) + "\n")


def summaries(
    cells: dict[str, list[dict[str, Any]]], fixed: Sequence[tuple[str, float]]
) -> list[dict[str, Any]]:
    """One row a set, direction and size."""
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for name, found in cells.items():
        for cell in found:
            groups.setdefault((name, cell["queries"], cell["n"]), []).append(cell)
    gains = {
        key: np.array([np.array(c["fixed"]) - c["fixed"][0] for c in found])
        for key, found in groups.items()
    }
    best = {
        n: int(np.mean([g.mean(axis=0) for k, g in gains.items() if k[2] == n], axis=0).argmax())
        for n in {key[2] for key in gains}
    }
    rows = []
    for key, found in groups.items():
        name, side, n = key
        means = gains[key].mean(axis=0)
        top = int(means.argmax())
        row: dict[str, Any] = {
            "set": name,
            "held_back": name in sets.HELD_BACK,
            "queries": side,
            "n": n,
            "used": found[0]["used"],
            "dot": float(np.mean([c["fixed"][0] for c in found])),
            "dn": _gain(gains[key][:, list(fixed).index(("dn", 0.5))]),
            "best_fixed": _gain(gains[key][:, best[n]]),
            "best_fixed_is": "{}@{:g}".format(*fixed[best[n]]),
            "oracle": _gain(gains[key][:, top]),
            "oracle_is": "{}@{:g}".format(*fixed[top]),
        }
        for kind in AUTOS:
            if kind in found[0]:
                change = np.array([c[kind]["recall"] - c["fixed"][0] for c in found])
                row[kind] = _gain(change)
                methods = [c[kind]["chosen"] for c in found]
                row[f"{kind}: chosen"] = {m: methods.count(m) for m in sorted(set(methods))}
                row[f"{kind}: strength"] = float(np.mean([c[kind]["strength"] for c in found]))
        rows.append(row)
    return rows


def markdown(rows: Sequence[dict[str, Any]], sizes: Sequence[int]) -> list[str]:
    """The overview, then a table a sample size."""
    lines = [
        "Gains over the dot product in points of recall@1, averaged over sets and directions; the "
        f"oracle's share counts those where it gains at least {100 * _REACH:g}.",
        "",
        "| sets | samples | auto | auto, samples | auto, labelled | DN 1/2 | best fixed | oracle "
        "| share of the oracle's total gain | mean share | worst auto |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for held in (False, True):
        for n in sizes:
            some = [r for r in rows if r["n"] == n and r["held_back"] is held]
            if some:
                lines.append(_overview(some, n, "held back" if held else "development"))
    missed = [r for r in rows if r["auto"]["mean"] < -0.005]
    lines += ["", f"More than 0.5 below the dot product on average: {len(missed)} of {len(rows)}."]
    for r in missed:
        lines.append(f"- {r['set']}, {_WORDS[r['queries']]}, {r['n']} samples: {_text(r['auto'])}")
    for n in sizes:
        lines += ["", f"## {n} samples", ""]
        lines += [
            "| set | queries→items | dot | auto | chosen | auto, samples | auto, labelled | DN 1/2 "
            "| best fixed | oracle |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for r in (r for r in rows if r["n"] == n):
            mark = "" if r["held_back"] else " (development)"
            chosen = ", ".join(f"{m} {c}" for m, c in r["auto: chosen"].items())
            cells = [_text(r[kind]) if kind in r else "" for kind in AUTOS]
            lines.append(
                f"| {r['set']}{mark} | {_WORDS[r['queries']]} | {100 * r['dot']:.1f} | {cells[0]} "
                f"| {chosen}; {r['auto: strength']:.2f} | {cells[1]} | {cells[2]} | "
                f"{_text(r['dn'])} | {_text(r['best_fixed'])} ({r['best_fixed_is']}) | "
                f"{_text(r['oracle'])} ({r['oracle_is']}) |"
            )
    return lines


def _overview(rows: Sequence[dict[str, Any]], n: int, word: str) -> str:
    def mean(kind: str) -> str:
        values = [100 * r[kind]["mean"] for r in rows if kind in r]
        return f"{np.mean(values):+.1f}" if values else ""

    oracle = np.array([r["oracle"]["mean"] for r in rows])
    auto = np.array([r["auto"]["mean"] for r in rows])
    near = oracle >= _REACH
    worst = min(rows, key=lambda r: r["auto"]["mean"])
    cells = [word, str(n), *(mean(kind) for kind in (*AUTOS, "dn", "best_fixed", "oracle"))]
    cells += [f"{100 * auto.sum() / max(oracle.sum(), 1e-9):.0f} %"]
    cells += [f"{100 * np.mean(auto[near] / oracle[near]):.0f} %" if near.any() else ""]
    cells += [f"{_text(worst['auto'])}, {worst['set']}, {_WORDS[worst['queries']]}"]
    return f"| {' | '.join(cells)} |"


def _gain(values: np.ndarray) -> dict[str, float]:
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return {"mean": float(values.mean()), "error": error}


def _text(gain: dict[str, float]) -> str:
    return f"{100 * gain['mean']:+.1f} ± {100 * gain['error']:.1f}"
