"""Classification cells.

Plain and averaged views come from stores; prompt tuning and CALIP go picture by picture, and the
ranks of each part are kept, so that a stopped run continues.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm import augmentation
from distnorm.comparison.draws import Split
from distnorm.embedding.pictures import open_picture
from distnorm.encoders.base import unit_rows
from distnorm.encoders.prompts import fill
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.paper.evaluation import Evaluation, Outcome, Results
from distnorm.paper.prepared import ClassData
from distnorm.paper.protocols import Protocol, draw_pool, evaluated_rows, held_out
from distnorm.system.files import atomic_write, save_array
from distnorm.tasks.classification import class_weights, evaluate_classification, repeated_names

__all__ = ["classification_results", "published_variant"]

_PART = 64

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class _Drawn(Evaluation):
    """An evaluation with its draws, the pictures of a pool that they number, and the templates."""

    draws: Sequence[Split] = ()
    pool: Sequence[Path] = ()
    templates: Sequence[str] = ()


def published_variant(norm: ScoreNormalization) -> ScoreNormalization:
    """The authors' zero-shot form of DN (raw rows, shifted, made unit); others as they are."""
    if norm.method not in ("dn", "dn*"):
        return norm
    return ScoreNormalization("dn-renorm", strength=norm.strength, input="any")


def classification_results(evaluation: Evaluation) -> tuple[Results, dict[str, Any]]:
    """Results of every method, and the settings they rest on."""
    protocol, source, augment = evaluation.protocol, evaluation.source, evaluation.augment
    data: ClassData = evaluation.data
    templates = protocol.class_templates(source.template, tuple(evaluation.cache.encoder.prompts))
    norms = evaluation.norms
    if protocol.authors:
        norms = {label: published_variant(norm) for label, norm in norms.items()}
    draws, pool = _draws(protocol, data)
    fields = {**vars(evaluation), "norms": norms}
    drawn = _Drawn(**fields, draws=draws, pool=pool, templates=templates)
    evaluate = (_tuned if augment in ("tpt", "calip") else _stored)(drawn)
    owners = {"image": None}
    results = drawn.run(evaluate, len(draws), owners, len(data.images), "classifying")
    split = "held out of the evaluated data" if data.pool is None else "another split"
    split = "the evaluated rows" if protocol.own_rows else split
    settings = {
        "prefix": templates[0] if len(templates) == 1 else f"{len(templates)} templates",
        "templates": list(templates),
        "statistics": split,
        "n_images": len(data.images),
        "n_classes": len(data.classes),
        "n_evaluated_images": len(draws[0].images),
        "repeated_names": repeated_names(data.classes),
    }
    if augment in ("tpt", "calip"):
        settings["cost"] = augmentation.augmentation_cost(augment, templates=templates[:1])
    return results, settings


def _draws(protocol: Protocol, data: ClassData) -> tuple[list[Split], list[Path]]:
    """Draws, and the pictures of a pool that they number."""
    if protocol.own_rows:
        return [evaluated_rows(len(data.images))], []
    if data.pool is None:
        return list(held_out(protocol, len(data.images))), []
    samples = [rows for rows, _ in draw_pool(protocol, data.pool_size)]
    used = np.unique(np.concatenate(samples))
    none, every = np.zeros(0, dtype=np.intp), np.arange(len(data.images))
    draws = [Split(np.searchsorted(used, rows), none, every, none, none) for rows in samples]
    return draws, data.pool(used)


def _stored(drawn: _Drawn) -> Callable[[str, int], Outcome]:
    """Evaluation of rows that stores keep; raw ones serve both variants of DN."""
    data, templates = drawn.data, drawn.templates
    raw = drawn.images(data.images, raw=True)
    fit_raw = drawn.images(drawn.pool, raw=True) if drawn.pool else raw
    prompts = [fill(template, c) for c in data.classes for template in templates]
    parts = drawn.texts(prompts, raw=True).reshape(len(data.classes), len(templates), -1)
    lengths = np.linalg.norm(parts, axis=2, keepdims=True)
    rows = {
        "raw": (raw, fit_raw, parts.mean(axis=1)),
        "unit": (unit_rows(raw), unit_rows(fit_raw), unit_rows((parts / lengths).mean(axis=1))),
    }

    def evaluate(label: str, number: int) -> Outcome:
        norm, draw = drawn.norms[label], drawn.draws[number]
        kind = "raw" if norm.spec.rows == "raw" else "unit"
        images, fit, classes = rows[kind]
        fitted = norm.clone().fit(images=fit[draw.fit_images], texts=classes)
        labels = data.labels[draw.images]
        result = evaluate_classification(fitted, images[draw.images], classes, labels)
        transductive = drawn.protocol.own_rows and label != "dot"
        return _outcome(fitted, result.ranks, labels, draw.images, len(classes), transductive)

    return evaluate


def _tuned(drawn: _Drawn) -> Callable[[str, int], Outcome]:
    """Evaluation of ranks that an augmentation gives for all methods and draws at once."""
    cache, data, augment, draws = drawn.cache, drawn.data, drawn.augment, drawn.draws
    dataset, protocol, templates = drawn.source.stored, drawn.protocol, drawn.templates
    if protocol.own_rows:
        raise DistnormError(
            f"augmentation {augment} under {protocol.name}",
            "none or tta: the first scripts evaluate stored rows alone",
            "use --protocol authors or authors-later",
        )
    options: dict[str, Any] = {"templates": templates[:1], "seed": protocol.seed}
    paths = drawn.pool or data.images
    used = np.unique(np.concatenate([draw.fit_images for draw in draws]))
    fit_rows = augmentation.augmented_image_rows(
        augment,
        cache.encoder,
        [open_picture(paths[row])[0] for row in used],
        list(data.classes),
        **options,
    )
    classes = drawn.texts([fill(templates[0], c) for c in data.classes])
    fitted: dict[str, ScoreNormalization] = {}
    for label, norm in drawn.norms.items():
        # Rows of an augmentation are unit rows: the authors' variant shifts and renormalises them.
        unit = ScoreNormalization(norm.method, strength=norm.strength, input="any", **norm.params)
        for number, draw in enumerate(draws):
            rows = fit_rows[np.searchsorted(used, draw.fit_images)]
            fitted[f"{label}#{number}"] = unit.clone().fit(images=rows, texts=classes)
    identity = [
        augment,
        cache.encoder.model_id,
        protocol.to_dict(),
        list(templates),
        list(data.classes),
        [(norm.method, norm.strength, norm.params) for norm in drawn.norms.values()],
        [cache.name(path) for path in paths],
        [cache.name(path) for path in data.images],
    ]
    digest = hashlib.sha256(json.dumps(identity, default=str).encode()).hexdigest()[:16]
    folder = cache.place(dataset, f"ranks-{augment}-{digest}")
    ranks: dict[str, list[Any]] = {key: [] for key in fitted}
    for start in range(0, len(data.images), _PART):
        images = data.images[start : start + _PART]
        part = folder / f"ranks_{start // _PART}.npy"
        if not part.is_file():
            result = augmentation.class_scores(
                augment,
                cache.encoder,
                [open_picture(path)[0] for path in images],
                list(data.classes),
                norms=fitted,
                **options,
            )
            labels = data.labels[start : start + _PART]
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(part) as file:
                save_array(file, np.stack([_ranks(result.scores[key], labels) for key in fitted]))
        for key, stored in zip(fitted, np.load(part, allow_pickle=False), strict=True):
            ranks[key].append(stored)
        if drawn.progress is not None:
            drawn.progress(f"{dataset}: {augment}", start + len(images), len(data.images))
    whole = {key: np.concatenate(parts) for key, parts in ranks.items()}

    def evaluate(label: str, number: int) -> Outcome:
        key, rows = f"{label}#{number}", draws[number].images
        labels = data.labels[rows]
        return _outcome(fitted[key], whole[key][rows], labels, rows, len(data.classes))

    return evaluate


def _ranks(scores: npt.NDArray[Any], labels: Rows) -> npt.NDArray[np.int64]:
    """Rank of each label in its row of scores, the lowest index first among equal ones."""
    own = scores[np.arange(len(labels)), labels][:, None]
    before = np.arange(scores.shape[1]) < labels[:, None]
    ahead = (scores > own) | ((scores == own) & before)
    return np.asarray(1 + ahead.sum(axis=1), dtype=np.int64)


def _outcome(
    norm: ScoreNormalization,
    ranks: npt.NDArray[np.int64],
    labels: Rows,
    rows: Rows,
    n_classes: int,
    transductive: bool = False,
) -> Outcome:
    hits = ranks <= 1
    values: dict[str, tuple[str, Rows, Any]] = {
        "acc1": ("image", rows, hits),
        **({"acc5": ("image", rows, ranks <= 5)} if n_classes >= 5 else {}),
        "mean_per_class_recall": ("image", rows, hits * class_weights(labels)),
    }
    metrics = {
        name: float(np.mean(np.asarray(value, dtype=np.float64)))
        for name, (_, _, value) in values.items()
    }
    return Outcome(norm, metrics, values, transductive)
