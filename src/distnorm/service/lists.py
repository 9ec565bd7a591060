"""The answer of a search: lists side by side, with each item's place in the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.normalization import ScoreNormalization
from distnorm.service.items import DEPTH, Items, Line, Wish
from distnorm.service.rankings import Rankings
from distnorm.service.requests import Asked
from distnorm.tasks.detection import chosen_threshold

__all__ = ["Bar", "brief", "compared", "judge"]

Judged = tuple[dict[str, list[float]], float | None]
"""Columns of a list by name, and the bar."""


@dataclass(frozen=True)
class Bar:
    """The two-sided score that nothing stays under which matches: itself, or by a rate."""

    threshold: float | None = None
    false_alarm_rate: float | None = None

    def of(self, norm: ScoreNormalization | None) -> float | None:
        """The score, for a normalization; raises for a rate without a calibration."""
        if norm is None or (self.threshold, self.false_alarm_rate) == (None, None):
            return None
        return chosen_threshold(norm, self.threshold, self.false_alarm_rate)


def brief(line: Line, k: int) -> dict[str, Any]:
    """Ids and scores of a list alone."""
    return {"ids": line.ids[:k], "scores": line.scores[:k].tolist()}


def compared(
    job: Asked,
    wish: Wish,
    lines: list[Line],
    judged: list[Judged],
    items: Items,
    rankings: Rankings,
) -> dict[str, Any]:
    """Lists of one search for JSON, without what is the same for all searches."""
    ranks = [{item: rank for rank, item in enumerate(line.ids, 1)} for line in lines]
    union = list(dict.fromkeys(item for line in lines for item in line.ids[: wish.k]))
    told = dict(zip(union, items.told(union), strict=True))
    scores = [dict(zip(line.ids, line.scores.tolist(), strict=True)) for line in lines]
    deeper = [item for item in union if any(item not in known for known in scores)]
    exact = items.scores(wish, deeper, rankings) if deeper else None
    for known, column in zip(scores, exact or (), strict=False):
        for item, score in zip(deeper, column.tolist(), strict=True):
            known.setdefault(item, score)
    found = []
    for at, (line, ranking) in enumerate(zip(lines, wish.rankings, strict=True)):
        ids = line.ids[: wish.k]
        columns, lowest = judged[at]
        other = ranks[0] if at else (ranks[1] if len(ranks) > 1 else None)
        results = []
        for number, item in enumerate(ids):
            places = [rank.get(item) for rank in ranks]
            entry = {
                "rank": number + 1,
                "id": item if isinstance(item, (int, str)) else str(item),
                **told[item],
                "score": scores[at][item],
                "ranks": places,
                "scores": [known.get(item) for known in scores],
                **_move(number + 1, None if other is None else other.get(item), at, wish.k),
                "thumbnail": _thumbnail(told[item]["row"], items.side),
                **{name: column[number] for name, column in columns.items()},
            }
            if lowest is not None:
                entry["below"] = entry["two_sided"] <= lowest
            results.append(entry)
        found.append(
            {
                "method": ranking.method,
                "strength": ranking.strength,
                "score": line.label,
                "exact": bool(line.exact),
                "threshold": lowest,
                "results": results,
            }
        )
    return {
        "schema": 1,
        "task": "search",
        "store": items.name,
        "query": job.text,
        "query_side": wish.side,
        "side": items.side,
        "k": wish.k,
        "depth": max(DEPTH, wish.k),
        "method": wish.rankings[-1 if len(wish.rankings) == 1 else 1].method,
        "strength": wish.rankings[-1 if len(wish.rankings) == 1 else 1].strength,
        "statistics": {"source": rankings.source, "version": rankings.version},
        "notes": _notes(job, wish, lines, rankings),
        "lists": found,
    }


def judge(
    items: Items, searches: Sequence[tuple[Wish, list[Line]]], bar: Bar
) -> list[list[Judged]]:
    """Two-sided scores, rates, probabilities and the bar of each list, all lists at once."""
    found: list[list[Judged]] = [[({}, None)] * len(wish.rankings) for wish, _ in searches]
    places: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for number, (wish, lines) in enumerate(searches):
        for at, ranking in enumerate(wish.rankings):
            if ranking.norm is not None and ranking.own and lines[at].ids:
                places.setdefault((ranking.method, wish.side), []).append((number, at))
    for members in places.values():
        number, at = members[0]
        norm = searches[number][0].rankings[at].norm
        assert norm is not None
        lowest, notes = bar.of(norm), norm.notes
        if notes.calibration is None and notes.probability is None and lowest is None:
            continue
        asked = [(searches[n][0], searches[n][1][place]) for n, place in members]
        scores = items.two_sided(asked, norm)
        if scores is None:
            continue
        columns = {"two_sided": scores.tolist()}
        if notes.calibration is not None:
            columns["false_alarm_rate"] = norm.false_alarm_rate(scores).value.tolist()
        if notes.probability is not None:
            columns["probability"] = np.asarray(norm.probability(scores)).tolist()
        end = 0
        for (number, at), (wish, line) in zip(members, asked, strict=True):
            start, end = end, end + len(line.ids[: wish.k])
            own = {name: column[start:end] for name, column in columns.items()}
            found[number][at] = (own, lowest)
    return found


def _thumbnail(row: int | None, side: str) -> str | None:
    return f"/thumbnails/{row}" if row is not None and side == "image" else None


def _move(rank: int, other: int | None, at: int, k: int) -> dict[str, Any]:
    """How far an item moved from the dot product's list: +7, -3, =, new; gone in that list."""
    missing = "new" if at else "gone"
    if other is None:
        return {"move": None, "change": missing}
    move = other - rank if at else rank - other
    if other > k:
        return {"move": move, "change": missing}
    return {"move": move, "change": f"{move:+d}" if move else "="}


def _notes(job: Asked, wish: Wish, lines: list[Line], rankings: Rankings) -> list[str]:
    notes = [rankings.note] if rankings.note and len(wish.rankings) > 1 else []
    missing = max((line.without_bias for line in lines), default=0)
    if missing:
        notes.append(f"{missing} items have no stored bias: run distnorm index bias")
    if not all(line.exact for line in lines):
        notes.append("approximate: items that the index did not return may score higher")
    if wish.side != rankings.asking and rankings.norms:
        notes.append(
            f"{wish.side} queries among {rankings.side} items are ranked by the dot product: the "
            f"statistics are for {rankings.asking} queries"
        )
    return notes
