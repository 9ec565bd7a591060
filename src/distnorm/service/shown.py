"""What a service shows beside its collection: queries to count hubs of, a comparison's report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distnorm.arrays import NDArray
from distnorm.errors import DistnormError
from distnorm.report.html.page import Report
from distnorm.report.html.sections import comparison_report
from distnorm.search.query_log import QueryLog
from distnorm.service.atlas_map import AtlasMap
from distnorm.service.engine import Engine
from distnorm.store.columns import read_names
from distnorm.store.vectors import open_embeddings
from distnorm.system.shards import ShardedRows

__all__ = ["MOST", "LoggedQueries", "Shown", "open_shown", "read_report"]

MOST = 1000  # queries that hubs are counted of
_REPORT = 256 << 20


@dataclass(frozen=True)
class LoggedQueries:
    """Queries (n, d) of one side, what each says (empty for bare vectors), and their origin."""

    rows: NDArray | ShardedRows
    words: Sequence[str]
    source: str

    def sample(self, most: int = MOST) -> LoggedQueries:
        """At most so many, evenly spaced."""
        if len(self.rows) <= most:
            return self
        chosen = np.linspace(0, len(self.rows) - 1, most).astype(np.intp)
        words = [self.words[at] for at in chosen] if len(self.words) else []
        source = f"{most} of the {len(self.rows)} of {self.source}"
        return LoggedQueries(np.asarray(self.rows[chosen]), words, source)

    def word(self, number: int) -> str:
        """What a query says."""
        return self.words[number] if len(self.words) else f"query {number + 1}"


@dataclass(frozen=True)
class Shown:
    """What the tabs show beside the collection."""

    queries: LoggedQueries | None = None  # whose hubs are counted; the search page proposes a few
    # makes that of a comparison; called once, when somebody looks
    report: Callable[[], Report] | None = None
    map: AtlasMap | None = None


def open_shown(
    engine: Engine,
    queries: str | None,
    report: Path | None,
    model: str | None = None,
    map: Path | None = None,
) -> Shown:
    """Read a log of queries, or the store's own texts, and a report.

    ``queries`` are as those of ``distnorm index hubs``, or else the other side of the store;
    ``report`` is JSON of ``distnorm compare``, ``model`` what encodes sentences where the store
    does not say, ``map`` the folder of an application that embedding-atlas exported. Raises
    `DistnormError` for what cannot be read, or is of another model.
    """
    made = None if report is None else read_report(report)
    found = _own(engine) if queries is None else _read(engine, queries, model)
    atlas = None if map is None else AtlasMap.of(map)
    return Shown(found, None if made is None else lambda: made, atlas)


def read_report(path: Path) -> Report:
    """The report of a JSON file that ``distnorm compare`` wrote; an error for anything else."""
    expected = "JSON that distnorm compare --json wrote"
    remedy = f"write it: distnorm compare retrieval ... --json {path.name}"
    try:
        if path.stat().st_size > _REPORT:
            raise DistnormError(f"{path}, which is too large", expected, remedy)
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or "no JSON"
        raise DistnormError(f"{path} ({why})", expected, remedy) from error
    if not isinstance(found, dict) or found.get("schema") != 1 or "results" not in found:
        raise DistnormError(f"{path} with other content", expected, remedy)
    try:
        return comparison_report(found, path.name)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DistnormError(f"{path}, which is incomplete", expected, remedy) from error


def _read(engine: Engine, name: str, model: str | None) -> LoggedQueries:
    commit = engine.items.commit
    log = QueryLog.read(
        name,
        engine.rankings.asking,
        default=model or (None if commit is None else commit.model),
        prompt=engine.queries.prompt,
    )
    _check(log.rows, log.model, engine, name)
    return LoggedQueries(log.rows, log.words, name)


def _own(engine: Engine) -> LoggedQueries | None:
    """The other side of the store that is served; None where it has none."""
    commit, asking = engine.items.commit, engine.rankings.asking
    if commit is None or asking not in commit.held:
        return None
    rows = open_embeddings(commit, asking)
    if not len(rows):
        return None
    words = read_names(commit, asking)
    return LoggedQueries(rows, words, f"the store's own {asking} side").sample()


def _check(rows: NDArray, model: str | None, engine: Engine, name: str) -> None:
    if rows.shape[1] != engine.items.dimension:
        raise DistnormError(
            f"{name} of {rows.shape[1]} dimensions",
            f"{engine.items.dimension} as {engine.items.name}",
            "take queries of the model of the items",
        )
    if None not in (model, engine.model) and model != engine.model:
        raise DistnormError(f"{name} of {model!r}", f"{engine.model!r}", "take its queries")
