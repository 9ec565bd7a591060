"""`Engine`: what a service knows and does, without HTTP: items, model, rankings, answers.

Its methods run in one thread (`Batches`), but for `replace`, which swaps the rankings as a whole:
a batch that has begun keeps those it began with.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import to_numpy
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.service.items import DEPTH, Items, Line, Wish
from distnorm.service.limits import Limits, Refusal
from distnorm.service.rankings import Ranking, Rankings
from distnorm.service.requests import Asked
from distnorm.tasks.detection import chosen_threshold

__all__ = ["Engine", "Found", "Now"]


@dataclass(frozen=True)
class Now:
    """What answers at a time: items, and rankings that are ready for them."""

    items: Items
    rankings: Rankings


@dataclass(frozen=True)
class Found:
    """Answer of one search, and the query's row and side, for statistics that learn."""

    answer: dict[str, Any]
    row: npt.NDArray[np.float32]
    side: str


@dataclass(eq=False)
class Engine:
    """A collection that is open, the model of its queries, and the rankings in force.

    Parameters
    ----------
    items : Items
    rankings : Rankings
    encoder : Encoder, optional
        Of the queries; without one only vectors are taken.
    prompt : str, optional
        Around texts.
    model : str, optional
        Id of the model, where there is no encoder.
    limits : Limits
    threshold, false_alarm_rate : float, optional
        The bar below which nothing matches; a rate needs a calibrated normalization.
    """

    items: Items
    rankings: Rankings = field(default_factory=Rankings)
    encoder: Any = None
    prompt: str | None = None
    model: str | None = None
    limits: Limits = field(default_factory=Limits)
    threshold: float | None = None
    false_alarm_rate: float | None = None
    filters: bool = False
    count: int | None = None

    def __post_init__(self) -> None:
        """Raise for a bar that the normalization has not."""
        self.now = self.prepared(self.items, self.rankings)
        self.count = self.items.count

    def prepared(self, items: Items, rankings: Rankings) -> Now:
        """Items with rankings, ready: the biases that the default ranking needs are computed.

        Raises
        ------
        DistnormError
            For a normalization that has not the bar that is set, or that these items cannot serve.
        """
        _bar(rankings.default, self)
        sample = np.zeros(items.dimension, dtype=np.float32)
        sample[0] = 1
        items.lines([Wish(sample, (rankings.default,), 1, rankings.asking)], rankings)
        return Now(items, rankings)

    def replace(self, now: Now) -> None:
        """Answer by these from the next batch on; what has begun keeps those it began with."""
        self.now, self.items, self.rankings = now, now.items, now.rankings
        if now.items.commit is not None:
            self.count = now.items.count

    def search(self, jobs: Sequence[Asked]) -> list[Any]:
        """A `Found` for each search, or the `Refusal` that it meets."""
        now = self.now
        rankings = now.rankings
        rows, sides = self._encoded(jobs)
        wishes: list[Any] = []
        for job, row, side in zip(jobs, rows, sides, strict=True):
            try:
                if job.filter is not None:
                    self._check_filter(now.items, job.filter)
                wishes.append(row if isinstance(row, Refusal) else _wish(job, row, side, rankings))
            except DistnormError as error:
                wishes.append(Refusal.of(error))
            except Refusal as refusal:
                wishes.append(refusal)
        sound = [wish for wish in wishes if isinstance(wish, Wish)]
        try:
            lines = iter(now.items.lines(sound, rankings) if sound else ())
        except DistnormError as error:
            if len(sound) > 1 or sound[0].filter is None or now.items.count is None:
                raise
            # The items answer: it is the filter that they do not take.
            raise Refusal.of(error) from error
        results: list[Any] = []
        for job, wish in zip(jobs, wishes, strict=True):
            if isinstance(wish, Wish):
                mine = next(lines)
                answer = _brief(mine[0], job.k) if job.brief else self._answer(job, wish, mine, now)
                results.append(Found(answer, wish.row, wish.side))
            else:
                results.append(wish)
        return results

    def shift(
        self, rows: npt.NDArray[np.float32], method: str | None, strength: float | None
    ) -> tuple[npt.NDArray[Any], Ranking]:
        """Queries as an index of raw vectors wants them; refused for methods that do not shift."""
        rankings = self.rankings
        try:
            ranking = rankings.ranking(method, strength)
            if ranking.norm is None:
                return rows, ranking
            return to_numpy(
                ranking.norm.shift_queries(rows, modality=rankings.asking), np.float32
            ), ranking
        except DistnormError as error:
            raise Refusal.of(error) from error

    def bias(
        self, rows: npt.NDArray[np.float32], method: str | None, strength: float | None
    ) -> tuple[npt.NDArray[Any], Ranking]:
        """What to subtract from q . x for each of these items."""
        rankings = self.rankings
        try:
            ranking = rankings.ranking(method, strength)
            if ranking.norm is None:
                return np.zeros(len(rows)), ranking
            if not ranking.norm.correction(rankings.asking).item_by_item:
                raise Refusal(
                    400,
                    f"biases of {ranking.method!r}, which depend on all items",
                    "a method whose biases do not",
                    "compute them for the whole collection",
                )
            bias = ranking.norm.item_bias(rows, modality=rankings.side)
            return to_numpy(bias, np.float64), ranking
        except DistnormError as error:
            raise Refusal.of(error) from error

    def _check_filter(self, items: Items, filter: Any) -> None:
        """Raise for what is no filter here; an index's own language only where it is let in."""
        if items.commit is None and not self.filters:
            raise Refusal(
                400,
                "a filter",
                "none, as conditions run in the index",
                "start with --allow-filters if its clients may ask anything of the index",
            )
        items.check_filter(filter)

    def _encoded(self, jobs: Sequence[Asked]) -> tuple[list[Any], list[str]]:
        """Rows of all queries; the texts are encoded together."""
        rows: list[Any] = [None if job.row is None else job.row[0] for job in jobs]
        asking = self.rankings.asking
        sides = [asking] * len(jobs)
        texts = [at for at, job in enumerate(jobs) if job.text is not None]
        pictures = [at for at, job in enumerate(jobs) if job.picture is not None]
        if (texts or pictures) and self.encoder is None:
            lacking = Refusal(
                400, "a query in words or a picture without a model", "a vector", "serve --model"
            )
            for at in (*texts, *pictures):
                rows[at] = lacking
            return rows, sides
        if texts:
            from distnorm.encoders.prompts import prompted

            words = [jobs[at].text or "" for at in texts]
            encoded = self.encoder.encode_texts(prompted(words, self.prompt))
            for at, row in zip(texts, encoded, strict=True):
                rows[at], sides[at] = self._fitting(row), "text" if self._usual else asking
        for at in pictures:
            sides[at] = "image"
            try:
                picture = self._decoded(jobs[at].picture or b"")
                rows[at] = self._fitting(self.encoder.encode_images([picture])[0])
            except Refusal as refusal:
                rows[at] = refusal
            except DistnormError as error:
                rows[at] = Refusal.of(error)
        return rows, sides

    @property
    def _usual(self) -> bool:
        """Whether the sides are image and text."""
        return {self.rankings.asking, self.items.side} == {"image", "text"}

    def _fitting(self, row: npt.NDArray[np.float32]) -> Any:
        if np.isfinite(row).all() and row.any():
            return row
        return Refusal(400, "a query that the model makes nothing of", "another one", "reword it")

    def _decoded(self, content: bytes) -> Any:
        """A picture within bounds, in RGB and upright."""
        from distnorm.embedding.pictures import decode_picture
        from distnorm.errors import require

        image = require("PIL.Image", "embed")
        try:
            with image.open(io.BytesIO(content)) as opened:
                width, height = opened.size
        except Exception as error:  # Pillow's decoders raise whatever they please.
            raise Refusal(
                400, "a picture of no known format", "JPEG or PNG", "save it so"
            ) from error
        if width * height > self.limits.pixels:
            raise Refusal(
                413, f"{width} x {height} pixels", f"at most {self.limits.pixels}", "shrink it"
            )
        return decode_picture(content, "the picture")[0]

    def _answer(self, job: Asked, wish: Wish, lines: list[Line], now: Now) -> dict[str, Any]:
        items, rankings = now.items, now.rankings
        ranks = [{item: rank for rank, item in enumerate(line.ids, 1)} for line in lines]
        union = list(dict.fromkeys(item for line in lines for item in line.ids[: wish.k]))
        told = dict(zip(union, items.told(union), strict=True))
        exact = items.scores(wish, union, rankings)
        scores: list[dict[Any, float]] = []
        for at, line in enumerate(lines):
            known = dict(zip(line.ids, map(float, line.scores), strict=True))
            if exact is not None:
                known |= {
                    item: known.get(item, float(score))
                    for item, score in zip(union, exact[at], strict=True)
                }
            scores.append(known)
        found = []
        for at, (line, ranking) in enumerate(zip(lines, wish.rankings, strict=True)):
            ids = line.ids[: wish.k]
            judged, bar = self._judged(items, wish, ids, line, ranking)
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
                    "thumbnail": self._thumbnail(told[item]["row"]),
                    **{name: float(column[number]) for name, column in judged.items()},
                }
                if bar is not None:
                    entry["below"] = entry["two_sided"] <= bar
                results.append(entry)
            found.append(
                {
                    "method": ranking.method,
                    "strength": ranking.strength,
                    "score": line.label,
                    "exact": bool(line.exact),
                    "threshold": bar,
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
            "model": self.model,
            "prompt": self.prompt if job.text is not None else None,
            "n_items": self.count,
            "k": wish.k,
            "depth": max(DEPTH, wish.k),
            "method": wish.rankings[-1 if len(wish.rankings) == 1 else 1].method,
            "strength": wish.rankings[-1 if len(wish.rankings) == 1 else 1].strength,
            "statistics": {"source": rankings.source, "version": rankings.version},
            "notes": _notes(job, wish, lines, rankings),
            "lists": found,
        }

    def _judged(
        self, items: Items, wish: Wish, ids: Sequence[Any], line: Line, ranking: Ranking
    ) -> tuple[dict[str, Any], float | None]:
        """Two-sided scores, rates and probabilities of a list, and the bar, where there are any."""
        norm = ranking.norm
        if norm is None or not ranking.own or not ids:
            return {}, None
        bar = _bar(ranking, self)
        calibrated, likely = norm.notes.calibration is not None, norm.notes.probability is not None
        if not (calibrated or likely or bar is not None):
            return {}, None
        scores = items.two_sided(wish, ids, line, norm)
        if scores is None:
            return {}, None
        columns: dict[str, Any] = {"two_sided": scores}
        if calibrated:
            columns["false_alarm_rate"] = norm.false_alarm_rate(scores).value
        if likely:
            columns["probability"] = norm.probability(scores)
        return columns, bar

    def _thumbnail(self, row: int | None) -> str | None:
        return f"/thumbnails/{row}" if row is not None and self.items.side == "image" else None

    def facts(self) -> dict[str, Any]:
        """What a page needs to know before the first query."""
        norm = self.rankings.default.norm
        return {
            "schema": 1,
            "store": self.items.name,
            "side": self.items.side,
            "query_side": self.rankings.asking,
            "model": self.model,
            "n_items": self.count,
            "dimension": self.items.dimension,
            "takes": {
                "text": self.encoder is not None,
                "picture": getattr(self.encoder, "preprocess", None) is not None,
                "vector": True,
            },
            "methods": self.rankings.choices(),
            "method": self.rankings.default.method,
            "strength": self.rankings.default.strength,
            "strengths": {"lowest": 0.0, "highest": 1.5, "step": 0.05},
            "statistics": {"source": self.rankings.source, "version": self.rankings.version},
            "calibrated": norm is not None and norm.notes.calibration is not None,
            "probability": norm is not None and norm.notes.probability is not None,
            "score_kind": None if norm is None else score_kind(norm).to_dict(),
            "filters": self.items.filters,
            "limits": {
                name: getattr(self.limits, name) for name in ("k", "text", "picture", "rows")
            },
        }


def _wish(job: Asked, row: Any, side: str, rankings: Rankings) -> Wish:
    """The lists of a search: dot, the normalization, and another one if asked for."""
    dot, chosen = rankings.ranking("dot"), [Ranking("dot", 0.0)]
    wanted = job.wanted
    main = rankings.ranking(wanted.method, wanted.strength)
    if job.brief:
        only = main if side == rankings.asking else dot
        return Wish(row, (only,), job.k, side, job.filter)
    if side == rankings.asking:
        if main.key != dot.key and (main.norm is not None or wanted.method is not None):
            chosen.append(main)
        if job.also is not None:
            chosen.append(rankings.ranking(job.also.method, job.also.strength))
    return Wish(row, tuple(chosen), job.k, side, job.filter)


def _brief(line: Line, k: int) -> dict[str, Any]:
    """Ids and scores of a list alone."""
    return {"ids": line.ids[:k], "scores": line.scores[:k].tolist()}


def _bar(ranking: Ranking, engine: Engine) -> float | None:
    if ranking.norm is None or (engine.threshold, engine.false_alarm_rate) == (None, None):
        return None
    return chosen_threshold(ranking.norm, engine.threshold, engine.false_alarm_rate)


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
    notes = []
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
