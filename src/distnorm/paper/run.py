"""From data sets to cells: embed what is missing, evaluate what can be, say what cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distnorm.augmentation.views import count_views
from distnorm.comparison import MetricSummary
from distnorm.datasets.base import PreferredCaptions, reason
from distnorm.errors import DistnormError
from distnorm.paper.captions import PLAIN_RULES, caption_results, overlap_results, pair_results
from distnorm.paper.cells import TASKS, Benchmark, Cell, Missing, published
from distnorm.paper.classification import classification_results
from distnorm.paper.evaluation import Evaluation, Results, labelled_norms
from distnorm.paper.prepared import Context
from distnorm.paper.protocols import Protocol
from distnorm.paper.retrieval import retrieval_results
from distnorm.paper.rows import TTA_VIEWS, RowCache
from distnorm.paper.sources import SOURCES, Source, find_source
from distnorm.system.progress import StepProgress
from distnorm.tasks.overlap import OVERLAPS

__all__ = ["AUGMENTS", "chosen_sources", "run_benchmark"]

AUGMENTS = ("none", "tta", "tpt", "calip")
_PAPER_METHODS = ("dot", "dn", "dn*")
_OF_CLASSES = ("tpt", "calip")


def chosen_sources(tasks: Iterable[str]) -> list[Source]:
    """Data sets of some tasks or names, each once, in the order of the tables."""
    chosen: dict[str, Source] = {}
    for name in tasks:
        if name in (*TASKS, "all"):
            chosen |= {s.name: s for s in SOURCES.values() if name in (s.task, "all")}
        else:
            chosen[name] = find_source(name)
    order = {name: place for place, name in enumerate(SOURCES)}
    return sorted(chosen.values(), key=lambda source: order.get(source.name, len(order)))


def run_benchmark(
    encoder: Any,
    model: str,
    data: str | Path,
    stores: str | Path,
    *,
    tasks: Sequence[str] = ("all",),
    methods: Sequence[str] = _PAPER_METHODS,
    augments: Sequence[str] = ("none",),
    protocol: Protocol | None = None,
    names: Mapping[str, Path] | None = None,
    views: Sequence[str] = TTA_VIEWS,
    check: bool = True,
    options: Mapping[str, Any] | None = None,
    progress: StepProgress | None = None,
    done: Callable[[Cell | Missing], None] | None = None,
) -> Benchmark:
    """Every cell that the data on hand allows.

    Parameters
    ----------
    encoder : Encoder
    model : str
        Name that `load_encoder` took.
    data, stores : path
        Folder of data sets, and of what has been embedded; see `distnorm.paper.sources`.
    tasks : sequence of str
        ``all``, tasks, or names of data sets.
    methods : sequence of str
        As `parse_method` reads them.
    augments : sequence of str
        Of ``none``, ``tta``, ``tpt``, ``calip``.
    protocol : Protocol, optional
    names : mapping from data set to a file of class names, optional
    views : sequence of str
        Of ``tta``.
    check : bool
        Compare counts with the published ones.
    options : mapping, optional
        ``batch_size`` and ``workers`` of `distnorm.embedding.embed`.
    progress : callable, optional
        Called with (step, done, in all).
    done : callable, optional
        Called with each cell, evaluated or missing, as soon as it is known.

    Returns
    -------
    Benchmark

    Raises
    ------
    DistnormError
        For unknown tasks, methods or augmentations, or a data folder that is none.
    """
    protocol = Protocol() if protocol is None else protocol
    norms = labelled_norms(methods)
    unknown = next((name for name in augments if name not in AUGMENTS), None)
    if unknown is not None or not augments:
        raise DistnormError(f"augmentation {unknown!r}", f"one of {', '.join(AUGMENTS)}", "pick")
    if not Path(data).is_dir():
        raise DistnormError(f"no folder {data}", "the folder of the data sets", "check --data")
    sources = chosen_sources(tasks)
    count_views(views)
    cache = RowCache(
        encoder, model, Path(stores), Path(data), tuple(views), dict(options or {}), progress
    )
    unpacked = Path(stores) / "unpacked"
    context = Context(Path(data), unpacked, dict(names or {}), check, rest=protocol.later)
    cells: list[Cell] = []
    missing: list[Missing] = []

    def add(entries: Iterable[Cell | Missing]) -> None:
        for entry in entries:
            (cells if isinstance(entry, Cell) else missing).append(entry)  # type: ignore[arg-type]
            if done is not None:
                done(entry)

    for source in sources:
        try:
            loaded = source.read(context)
        except Exception as error:  # whatever damaged files lead to: the others are evaluated
            add([Missing(source.task, source.name, "any", "any", _reason(error))])
            continue
        for augment in augments:
            if augment in _OF_CLASSES and source.task != "classification":
                continue
            evaluation = Evaluation(cache, protocol, source, loaded, norms, augment, progress)
            try:
                add(_evaluated(evaluation))
            except Exception as error:
                add([Missing(source.task, source.name, augment, "any", _reason(error))])
        if source.task == "captions" and not isinstance(loaded.judged, PreferredCaptions):
            add(_overlap(Evaluation(cache, protocol, source, loaded, norms)))
    described = {**protocol.to_dict(), "methods": list(norms), "augments": list(augments)}
    return Benchmark(model, str(encoder.model_id), described, tuple(cells), tuple(missing))


def _reason(error: Exception) -> str:
    """What a cell lacks; of an error that is none of ours, its kind as well."""
    if isinstance(error, DistnormError):
        return str(error)
    return f"its files led to {type(error).__name__}: {reason(error)}"


def _evaluated(evaluation: Evaluation) -> Iterable[Cell | Missing]:
    """All cells of a data set under an augmentation."""
    protocol, cache, source = evaluation.protocol, evaluation.cache, evaluation.source
    extra: dict[str, Any] = {"protocol": protocol.name, "version": protocol.version}
    script = protocol.script_method(source.task)
    extra |= {} if script is None else {"script_method": script}
    extra |= {} if protocol.own_rows else {"samples": protocol.samples}
    if evaluation.augment == "tta":
        extra["views"] = list(cache.views)
        extra["encodings_per_image"] = count_views(cache.views)
    if source.task == "classification":
        results, settings = classification_results(evaluation)
        yield from _cells(evaluation, source.name, results, {**extra, **settings})
    elif source.task == "retrieval":
        results, extended, settings = retrieval_results(evaluation)
        extra |= settings
        yield from _cells(evaluation, source.name, results, extra)
        for truth, ranked in extended.items():
            queries = {
                f"n_{direction}_queries": len(rows)
                for direction, (rows, *_) in evaluation.data.truths[truth].items()
            }
            yield from _cells(evaluation, f"{source.name}-{truth}", ranked, {**extra, **queries})
    else:
        preferred = isinstance(evaluation.data.judged, PreferredCaptions)
        parts, settings = (pair_results if preferred else caption_results)(evaluation)
        for part in parts:
            words = {**extra, **settings, "statistics": part.statistics}
            yield from _cells(evaluation, source.name, part.results, words, part.rule)


def _cells(
    evaluation: Evaluation,
    dataset: str,
    results: Results,
    settings: Mapping[str, Any],
    rule: str | None = None,
) -> Iterable[Cell | Missing]:
    """Results as cells; the harmonic rule's dot product is the additive rule's and left out."""
    by_label, failures = results
    for label, result in by_label.items():
        if rule == "harmonic" and label == "dot":
            continue
        cell = _cell(
            evaluation,
            dataset,
            label,
            result.metrics,
            {
                **settings,
                "normalization": result.method,
                "strength": dict(result.strength),
                "params": dict(result.params),
                "n_fit": dict(result.n_fit),
                "transductive": result.transductive,
            },
            rule=PLAIN_RULES[rule] if rule is not None and label == "dot" else rule,
            references=rule is not None and PLAIN_RULES[rule] == "refclipscore",
        )
        # The paper knows one rule with references.
        yield replace(cell, paper=None) if rule == "harmonic" else cell
    for label, words in failures.items():
        yield Missing(evaluation.source.task, dataset, evaluation.augment, label, words)


def _cell(
    evaluation: Evaluation,
    dataset: str,
    label: str,
    metrics: dict[str, MetricSummary],
    settings: dict[str, Any],
    *,
    rule: str | None,
    references: bool,
) -> Cell:
    cache, source, augment = evaluation.cache, evaluation.source, evaluation.augment
    names = (cache.model, str(cache.encoder.model_id))
    method = _paper_name(label, settings)
    return Cell(
        task=source.task,
        dataset=dataset,
        benchmark_name=source.benchmark_name + dataset.removeprefix(source.name),
        model=cache.model,
        model_id=names[1],
        augment=augment,
        method=label,
        metrics=metrics,
        settings=settings,
        references=references,
        rule=rule,
        paper=published(names, source.task, dataset, augment, method, references=references),
    )


def _paper_name(label: str, settings: Mapping[str, Any]) -> str:
    """What the paper calls a method: DN by its coefficient, whichever variant it is."""
    strengths = set(settings.get("strength", {}).values())
    if settings.get("normalization") in ("dn", "dn*", "dn-renorm") and len(strengths) == 1:
        return {0.5: "dn", 0.25: "dn*"}.get(strengths.pop(), label)
    return label


def _overlap(evaluation: Evaluation) -> Iterable[Cell | Missing]:
    """BLEU and CIDEr, or why not."""
    source = evaluation.source
    try:
        scores, settings = overlap_results(
            evaluation.data.judged, evaluation.cache.folder / "overlap"
        )
    except Exception as error:
        for name in OVERLAPS:
            yield Missing(source.task, source.name, "none", name, _reason(error))
        return
    protocol = evaluation.protocol
    about = {"protocol": protocol.name, "version": protocol.version, "statistics": "none"}
    settings = {**about, **settings}
    for name, metrics in scores.items():
        yield _cell(evaluation, source.name, name, metrics, settings, rule=name, references=True)
