"""Classification cells.

Plain and averaged views come from stores; prompt tuning and CALIP go picture by picture, and the
ranks of each part are kept, so that a stopped run continues.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.embedding.pictures import open_picture
from distnorm.encoders.base import unit_rows
from distnorm.encoders.prompts import fill
from distnorm.normalization import ScoreNormalization
from distnorm.paper.evaluation import Outcome, Results, run_methods
from distnorm.paper.prepared import ClassData
from distnorm.paper.protocols import Draw, Protocol, draw_pool, held_out
from distnorm.paper.rows import RowCache, step_progress
from distnorm.paper.sources import Source
from distnorm.system.files import atomic_write
from distnorm.tasks.classification import class_weights, evaluate_classification, repeated_names

__all__ = ["classification_results", "published_variant"]

_PART = 64

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class _Work:
    """What both ways of scoring need."""

    cache: RowCache
    protocol: Protocol
    dataset: str
    data: ClassData
    norms: Mapping[str, ScoreNormalization]
    draws: Sequence[Draw]
    pool: Sequence[Path]
    templates: Sequence[str]
    augment: str
    progress: Any


def published_variant(norm: ScoreNormalization) -> ScoreNormalization:
    """The authors' zero-shot form of DN (raw rows, shifted, made unit); others as they are."""
    if norm.method not in ("dn", "dn*"):
        return norm
    return ScoreNormalization("dn-renorm", strength=norm.strength, input="any")


def classification_results(
    cache: RowCache,
    protocol: Protocol,
    source: Source,
    data: ClassData,
    norms: Mapping[str, ScoreNormalization],
    *,
    augment: str = "none",
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Results, dict[str, Any]]:
    """Results of every method, and the settings they rest on."""
    templates = protocol.class_templates(source.template, tuple(cache.encoder.prompts))
    if protocol.authors:
        norms = {label: published_variant(norm) for label, norm in norms.items()}
    draws, pool = _draws(protocol, data)
    work = _Work(
        cache, protocol, source.stored, data, norms, draws, pool, templates, augment, progress
    )
    evaluate = (_tuned if augment in ("tpt", "calip") else _stored)(work)
    results = run_methods(
        norms,
        len(draws),
        evaluate,
        {"image": None},
        len(data.images),
        protocol,
        step_progress(progress, f"{source.name}: classifying"),
    )
    settings = {
        "prefix": templates[0] if len(templates) == 1 else f"{len(templates)} templates",
        "templates": list(templates),
        "statistics": "another split"
        if data.pool is not None
        else "held out of the evaluated data",
        "n_images": len(data.images),
        "n_classes": len(data.classes),
        "n_evaluated_images": len(draws[0].images),
        "repeated_names": repeated_names(data.classes),
    }
    if augment in ("tpt", "calip"):
        augmentation: Any = importlib.import_module("distnorm.augmentation")
        settings["cost"] = augmentation.augmentation_cost(augment, templates=templates[:1])
    return results, settings


def _draws(protocol: Protocol, data: ClassData) -> tuple[list[Draw], list[Path]]:
    """Draws, and the pictures of a pool that they number."""
    if data.pool is None:
        return list(held_out(protocol, len(data.images))), []
    chosen = [rows for rows, _ in draw_pool(protocol, data.pool_size)]
    used = np.unique(np.concatenate(chosen))
    none, every = np.zeros(0, dtype=np.intp), np.arange(len(data.images))
    draws = [Draw(np.searchsorted(used, rows), none, every) for rows in chosen]
    return draws, data.pool(used)


def _stored(work: _Work) -> Callable[[str, int], Outcome]:
    """Evaluation of rows that stores keep; raw ones serve both variants of DN."""
    cache, dataset, data, augment = work.cache, work.dataset, work.data, work.augment
    norms, draws, pool, templates = work.norms, work.draws, work.pool, work.templates
    raw = cache.images(dataset, data.images, augment=augment, raw=True)
    fit_raw = cache.images(dataset, pool, augment=augment, raw=True) if pool else raw
    prompts = [fill(template, c) for c in data.classes for template in templates]
    parts = cache.texts(dataset, prompts, raw=True).reshape(len(data.classes), len(templates), -1)
    lengths = np.linalg.norm(parts, axis=2, keepdims=True)
    rows = {
        "raw": (raw, fit_raw, parts.mean(axis=1)),
        "unit": (unit_rows(raw), unit_rows(fit_raw), unit_rows((parts / lengths).mean(axis=1))),
    }

    def evaluate(label: str, number: int) -> Outcome:
        norm, draw = norms[label], draws[number]
        kind = "raw" if norm.spec.rows == "raw" else "unit"
        images, fit, classes = rows[kind]
        fitted = norm.clone().fit(images=fit[draw.fit_images], texts=classes)
        found = evaluate_classification(
            fitted, images[draw.images], classes, data.labels[draw.images]
        )
        return _outcome(fitted, found.ranks, data.labels[draw.images], draw.images)

    return evaluate


def _tuned(work: _Work) -> Callable[[str, int], Outcome]:
    """Evaluation of ranks that an augmentation gives for all methods and draws at once."""
    cache, dataset, data, augment = work.cache, work.dataset, work.data, work.augment
    norms, draws, pool, templates = work.norms, work.draws, work.pool, work.templates
    protocol, progress = work.protocol, work.progress
    augmentation: Any = importlib.import_module("distnorm.augmentation")
    options: dict[str, Any] = {"templates": templates[:1], "seed": protocol.seed}
    paths = pool or data.images
    used = np.unique(np.concatenate([draw.fit_images for draw in draws]))
    fit_rows = augmentation.augmented_image_rows(
        augment,
        cache.encoder,
        [open_picture(paths[row])[0] for row in used],
        list(data.classes),
        **options,
    )
    classes = cache.texts(dataset, [fill(templates[0], c) for c in data.classes])
    fitted: dict[str, ScoreNormalization] = {}
    for label, norm in norms.items():
        # Rows of an augmentation are unit rows: the authors' variant shifts and renormalises them.
        own = ScoreNormalization(norm.method, strength=norm.strength, input="any", **norm.params)
        for number, draw in enumerate(draws):
            rows = fit_rows[np.searchsorted(used, draw.fit_images)]
            fitted[f"{label}#{number}"] = own.clone().fit(images=rows, texts=classes)
    about = [
        augment,
        cache.encoder.model_id,
        protocol.to_dict(),
        list(templates),
        list(data.classes),
        [(norm.method, norm.strength, norm.params) for norm in norms.values()],
        [cache.name(path) for path in paths],
        [cache.name(path) for path in data.images],
    ]
    digest = hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()[:16]
    folder = cache.place(dataset, f"ranks-{augment}-{digest}")
    ranks: dict[str, list[Any]] = {key: [] for key in fitted}
    for start in range(0, len(data.images), _PART):
        some = data.images[start : start + _PART]
        part = folder / f"ranks_{start // _PART}.npy"
        if not part.is_file():
            found = augmentation.class_scores(
                augment,
                cache.encoder,
                [open_picture(path)[0] for path in some],
                list(data.classes),
                norms=fitted,
                **options,
            )
            labels = data.labels[start : start + _PART]
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(part) as file:
                np.save(file, np.stack([_ranks(found.scores[key], labels) for key in fitted]))
        for key, stored in zip(fitted, np.load(part, allow_pickle=False), strict=True):
            ranks[key].append(stored)
        if progress is not None:
            progress(f"{dataset}: {augment}", start + len(some), len(data.images))
    whole = {key: np.concatenate(parts) for key, parts in ranks.items()}

    def evaluate(label: str, number: int) -> Outcome:
        key, rows = f"{label}#{number}", draws[number].images
        return _outcome(fitted[key], whole[key][rows], data.labels[rows], rows)

    return evaluate


def _ranks(scores: npt.NDArray[Any], labels: Rows) -> npt.NDArray[np.int64]:
    """Rank of each label in its row of scores, the lowest index first among equal ones."""
    own = scores[np.arange(len(labels)), labels][:, None]
    before = np.arange(scores.shape[1]) < labels[:, None]
    found = (scores > own) | ((scores == own) & before)
    return np.asarray(1 + found.sum(axis=1), dtype=np.int64)


def _outcome(
    norm: ScoreNormalization, ranks: npt.NDArray[np.int64], labels: Rows, rows: Rows
) -> Outcome:
    hits = ranks <= 1
    values = {
        "acc1": ("image", rows, hits),
        "acc5": ("image", rows, ranks <= 5),
        "mean_per_class_recall": ("image", rows, hits * class_weights(labels)),
    }
    metrics = {
        name: float(np.mean(np.asarray(value, dtype=np.float64)))
        for name, (_, _, value) in values.items()
    }
    return Outcome(norm, metrics, values)
