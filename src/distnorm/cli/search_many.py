"""``distnorm search --query-vectors``: the lists of many queries, as a table, JSON and CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.options import asking_side
from distnorm.cli.output import console, put, say, write_json
from distnorm.cli.progress import progress_bar

if TYPE_CHECKING:
    from distnorm.cli.engine import EngineOptions
    from distnorm.cli.vectors import VectorOptions
    from distnorm.search.collection import ListsOfMany

__all__ = ["search_many"]

_SETTINGS = ("side", "k", "model", "normalization", "biases", "certify")


def search_many(
    place: str,
    vectors: str,
    only_one: dict[str, Any],
    settings: dict[str, Any],
    csv_path: str | None,
    json_path: str | None,
    reading: VectorOptions,
    engine: EngineOptions,
) -> None:
    """Search for the rows of a file; ``only_one`` and some of ``settings`` need a single query."""
    from distnorm.encoders.registry import stated_id
    from distnorm.normalization import load
    from distnorm.report.many import lists_table
    from distnorm.search.collection import Collection
    from distnorm.search.judge import Limits
    from distnorm.store.models import model_of

    _refuse(only_one, settings)
    if csv_path == json_path == "-":
        raise click.UsageError("--csv - and --json - exclude each other")
    side, k, model, normalization, biases, certify = (settings[name] for name in _SETTINGS)
    limits = Limits(settings["threshold"], settings["false_alarm_rate"])
    norm = None if normalization is None else load(normalization)
    asking = asking_side(norm, side)
    keys = reading.keys(asking, side, bare=asking)
    known = model_of(vectors, stated=stated_id(model))
    with engine.opening(reading.normalize) as opening, progress_bar("searching", "items") as bar:
        collection = Collection(place, side, key=keys.get(side), opening=opening)
        collection.check(norm, known)
        rows = reading.rows(vectors, asking, side)
        how: dict[str, Any] = {"biases": biases, "certify": certify, "limits": limits}
        lists = collection.lists(rows, k, norm, asking, model=known, progress=bar, **how)
    found = lists.to_dict()
    if csv_path is None and json_path is None:
        console().print(lists_table(found))
    for note in found["notes"]:
        say(f"note: {note}")
    if csv_path is not None:
        _write_csv(lists, csv_path)
    write_json(found, json_path)


def _refuse(only_one: dict[str, Any], settings: dict[str, Any]) -> None:
    """Raise for options that need a single query, with a way out."""
    page = "search for one QUERY for a page; --csv and --json have the lists of many"
    ways = {
        "--sheet": (only_one["--sheet"], page),
        "--open": (only_one["--open"], page),
        "--pictures": (only_one["--pictures"], page),
        "--scale": (settings["scale"] != "standard", "search each side for many"),
        "--both": (settings["both"], "run it again without --normalization for the plain lists"),
        "--bias": (settings["bias"] is not None, "one run computes the biases once for all"),
        "--side both": (settings["side"] == "both", "search each side for many"),
    }
    for name, (value, way) in ways.items():
        if value:
            raise click.UsageError(f"{name} needs a QUERY; --query-vectors has none: {way}")


def _write_csv(lists: ListsOfMany, path: str) -> None:
    """One line per result: query, rank, id, name, score."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["query", "rank", "id", "name", "score"])
    results = zip(lists.found.ids, lists.names, lists.found.scores, strict=True)
    for query, line in enumerate(results):
        for rank, (item, name, score) in enumerate(zip(*line, strict=True), start=1):
            writer.writerow([query, rank, item, name or "", f"{score:.9g}"])
    put(out.getvalue(), path)
