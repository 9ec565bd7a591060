"""The demo's numbers: scenes of one world, scored by every method in the paper's three tasks.

Statistics always come from 100 unlabelled pictures and 100 texts of other scenes, drawn anew for
each of five repeats. Texts have no prefix. `distnorm.demo.kept` says what is not computed anew.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from distnorm.arrays import Float32
from distnorm.augmentation.views import augmented_rows, count_views
from distnorm.comparison import (
    Comparison,
    compare_captions,
    compare_classification,
    compare_retrieval,
)
from distnorm.comparison.diagnostics import occurrence_counts, similarity_histograms
from distnorm.demo.kept import Kept
from distnorm.encoders import load_encoder
from distnorm.errors import DistnormError
from distnorm.metrics.ranks import top_items
from distnorm.normalization import ScoreNormalization, make
from distnorm.scenes import CLASS_NAMES, LEVELS, WORLDS, Scene, generate
from distnorm.system.progress import StepProgress
from distnorm.tasks.classification import class_rows
from distnorm.tasks.retrieval import evaluate_retrieval

__all__ = ["METHODS", "REPEATS", "SAMPLES", "VIEWS", "Demo", "cost", "run_demo"]

METHODS = ("dot", "dn*", "dn", "dn2", "is", "nnn")
SAMPLES, REPEATS = 100, 5
VIEWS = ("identity", "flip", "five-crop")

_POOL = 500
_OTHER_WORLDS = 500
_SAMPLE_COUNTS = (3, 10, 30, 100, 300)
_CURVES = ("dn", "dn2", "nnn")
_DAMAGED = 200
_PROTOCOL: dict[str, Any] = {
    "methods": METHODS,
    "protocol": "paper",
    "samples": SAMPLES,
    "repeats": REPEATS,
}


class _Rows(NamedTuple):
    """Rows of the pictures and captions that are evaluated, and of those that give statistics."""

    images: Float32
    texts: Float32
    fit_images: Float32
    fit_texts: Float32


@dataclass(frozen=True)
class Demo:
    """Everything the page shows; `to_dict` is the JSON of ``distnorm demo``."""

    world: str
    size: int
    seed: int
    model: str
    retrieval: Comparison
    retrieval_tta: Comparison
    classification: Comparison
    classification_tta: Comparison
    captions: Comparison
    worlds: dict[str, Comparison]
    curves: dict[str, Any]
    histograms: dict[str, Any] = field(repr=False)
    occurrences: dict[str, dict[str, list[int]]] = field(repr=False)
    examples: list[dict[str, Any]] = field(repr=False)
    scenes: list[Scene] = field(repr=False)
    kept: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pictures and histograms."""
        return {
            "schema": 1,
            "task": "demo",
            "world": self.world,
            "size": self.size,
            "seed": self.seed,
            "model": self.model,
            "kept": list(self.kept),
            "views": list(VIEWS),
            "retrieval": self.retrieval.to_dict(),
            "retrieval_tta": self.retrieval_tta.to_dict(),
            "classification": self.classification.to_dict(),
            "classification_tta": self.classification_tta.to_dict(),
            "captions": self.captions.to_dict(),
            "worlds": {name: result.to_dict() for name, result in self.worlds.items()},
            "samples": self.curves,
        }


def run_demo(
    world: str = "faded",
    size: int = 1000,
    seed: int = 0,
    *,
    fresh: bool = False,
    progress: StepProgress | None = None,
) -> Demo:
    """Draw, embed and score ``size`` pictures, at least 20, of a world of `distnorm.scenes.WORLDS`.

    With ``fresh`` what is kept in the package is computed as well: figures of the other worlds, and
    for the default world, size and seed those of test-time augmentation. ``progress`` is called
    with (what is done now, steps done, steps in all). Raises `DistnormError` for an unknown world
    or numbers out of range, `MissingExtraError` without the ``demo`` extra.
    """
    if not isinstance(size, numbers.Integral) or isinstance(size, bool) or size < 20:
        raise DistnormError(f"size = {size!r}", "an integer from 20 on", "try 1000")
    steps = ["drawing", "embedding", "retrieval", "augmentation", "classification", "captions"]
    steps += ["other worlds", "how many samples", "examples"]

    def now(step: str) -> None:
        if progress is not None:
            progress(step, steps.index(step), len(steps))

    now("drawing")
    scenes = generate(int(size), world=world, seed=seed)
    pool = generate(2 * _POOL, world=world, seed=_pool_seed(seed))
    now("embedding")
    encoder = load_encoder("builtin")
    rows = _embed(encoder, scenes, pool)
    now("retrieval")
    retrieval = _retrieval(rows, seed, diagnostics=True)
    now("augmentation")
    other_size = min(int(size), _OTHER_WORLDS)
    kept = Kept({}, {}) if fresh else Kept.of(world, int(size), seed, other_size)
    retrieval_tta = kept.augmented.get("retrieval_tta")
    if retrieval_tta is None:
        images, fit_images = (_augmented(encoder, part) for part in (scenes, pool[:_POOL]))
        augmented = _Rows(images, rows.texts, fit_images, rows.fit_texts)
        retrieval_tta = _retrieval(augmented, seed)
    now("classification")
    drawn = _single_objects(world, int(size), seed)
    classification = _classification(encoder, drawn, _pictures, seed)
    classification_tta = kept.augmented.get("classification_tta")
    if classification_tta is None:
        classification_tta = _classification(encoder, drawn, _augmented, seed)
    now("captions")
    captions = _captions(encoder, scenes[:_DAMAGED], pool, rows, seed)
    now("other worlds")
    worlds = {world: retrieval}
    for other in WORLDS:
        if other != world:
            known = kept.worlds.get(other)
            worlds[other] = known or _other_world(encoder, other, other_size, seed)
    now("how many samples")
    curves = _sample_curves(rows, seed)
    now("examples")
    norms = {
        name: make(name).fit(images=rows.fit_images[:SAMPLES], texts=rows.fit_texts[:SAMPLES])
        for name in ("dot", "dn", "nnn")
    }
    demo = Demo(
        world=world,
        size=int(size),
        seed=int(seed),
        model=encoder.model_id,
        retrieval=retrieval,
        retrieval_tta=retrieval_tta,
        classification=classification,
        classification_tta=classification_tta,
        captions=captions,
        worlds=worlds,
        curves=curves,
        histograms=similarity_histograms(
            {"dot product": norms["dot"], "after DN": norms["dn"]},
            rows.images,
            rows.texts,
            np.arange(len(rows.texts)),
        ),
        occurrences=_occurrences(norms, rows),
        examples=_examples(norms["dn"], rows, scenes),
        scenes=scenes,
        kept=(*kept.augmented, *(f"worlds.{name}" for name in kept.worlds)),
    )
    if progress is not None:
        progress("done", len(steps), len(steps))
    return demo


def cost() -> int:
    """Encodings that TTA takes for a picture."""
    return count_views(VIEWS)


def _pool_seed(seed: int) -> int:
    return 1_000_003 + seed


def _embed(encoder: Any, scenes: list[Scene], pool: list[Scene]) -> _Rows:
    """Rows of scenes, and of a pool whose pictures and captions are of different scenes."""
    images, fit_images = (_pictures(encoder, part) for part in (scenes, pool[:_POOL]))
    texts, fit_texts = (
        encoder.encode_texts([scene.captions(1)[0] for scene in part])
        for part in (scenes, pool[_POOL:])
    )
    return _Rows(images, texts, fit_images, fit_texts)


def _pictures(encoder: Any, scenes: list[Scene]) -> Float32:
    rows: Float32 = encoder.encode_images([scene.image() for scene in scenes])
    return rows


def _retrieval(rows: _Rows, seed: int, *, diagnostics: bool = False) -> Comparison:
    return compare_retrieval(
        rows.images,
        rows.texts,
        seed=seed,
        fit_images=rows.fit_images,
        fit_texts=rows.fit_texts,
        diagnostics=diagnostics,
        **_PROTOCOL,
    )


def _augmented(encoder: Any, scenes: list[Scene]) -> Float32:
    return augmented_rows(encoder, [scene.image() for scene in scenes], VIEWS)


def _single_objects(world: str, size: int, seed: int) -> tuple[list[Scene], list[Scene]]:
    """Scenes that are classified, and those that give statistics."""
    scenes = generate(size, world=world, seed=seed, objects=1)
    return scenes, generate(_POOL, world=world, seed=_pool_seed(seed), objects=1)


def _classification(
    encoder: Any,
    drawn: tuple[list[Scene], list[Scene]],
    embed: Callable[[Any, list[Scene]], Float32],
    seed: int,
) -> Comparison:
    """Single objects; the class is colour and shape."""
    labels = np.array([CLASS_NAMES.index(scene.label) for scene in drawn[0]])
    classes = class_rows(encoder, CLASS_NAMES, encoder.prompts)
    images, fit_images = (embed(encoder, part) for part in drawn)
    return compare_classification(
        images, classes, labels, seed=seed, fit_images=fit_images, **_PROTOCOL
    )


def _captions(
    encoder: Any, scenes: list[Scene], pool: list[Scene], rows: _Rows, seed: int
) -> Comparison:
    """Five captions per scene with 0 to 4 false details; the judgement is minus their number."""
    levels = np.tile(np.arange(LEVELS), len(scenes))
    owner = np.repeat(np.arange(len(scenes)), LEVELS)
    texts = encoder.encode_texts(
        [scene.damaged_caption(level) for scene in scenes for level in range(LEVELS)]
    )
    unlabelled = encoder.encode_texts(
        [scene.damaged_caption(number % LEVELS) for number, scene in enumerate(pool[_POOL:])]
    )
    return compare_captions(
        rows.images[: len(scenes)],
        texts,
        -levels,
        owner,
        seed=seed,
        fit_images=rows.fit_images,
        fit_texts=unlabelled,
        **_PROTOCOL,
    )


def _other_world(encoder: Any, world: str, size: int, seed: int) -> Comparison:
    scenes = generate(size, world=world, seed=seed)
    pool = generate(2 * _POOL, world=world, seed=_pool_seed(seed))
    return _retrieval(_embed(encoder, scenes, pool), seed)


def _sample_curves(rows: _Rows, seed: int) -> dict[str, Any]:
    """Recall@1 of a few methods against the number of samples, with spread over draws."""
    base = evaluate_retrieval(None, rows.images, rows.texts, k=1).metrics
    directions = [name for name in base if name.endswith("recall@1")]
    curves: dict[str, Any] = {
        "counts": list(_SAMPLE_COUNTS),
        "draws": REPEATS,
        "dot": {name: base[name] for name in directions},
    }
    for method in _CURVES:
        values: dict[str, list[list[float]]] = {name: [] for name in directions}
        for count in _SAMPLE_COUNTS:
            children = np.random.SeedSequence([seed, count]).spawn(REPEATS)
            norms = [_one_draw(method, count, np.random.default_rng(c), rows) for c in children]
            results = [
                evaluate_retrieval(norm, rows.images, rows.texts, k=1).metrics for norm in norms
            ]
            for name in directions:
                values[name].append([metrics[name] for metrics in results])
        curves[method] = {
            name: {
                "mean": np.mean(recalls, axis=1).tolist(),
                "std": np.std(recalls, axis=1, ddof=1).tolist(),
            }
            for name, recalls in values.items()
        }
    return curves


def _one_draw(method: str, count: int, rng: np.random.Generator, rows: _Rows) -> ScoreNormalization:
    params: dict[str, Any] = {"k": min(16, count)} if method == "nnn" else {}
    images, texts = (
        part[rng.choice(len(part), count, replace=False)]
        for part in (rows.fit_images, rows.fit_texts)
    )
    return make(method, **params).fit(images=images, texts=texts)


def _occurrences(
    norms: dict[str, ScoreNormalization], rows: _Rows
) -> dict[str, dict[str, list[int]]]:
    directions = {
        "text_retrieval": (rows.images, rows.texts, "image"),
        "image_retrieval": (rows.texts, rows.images, "text"),
    }
    return {
        direction: {name: occurrence_counts(norm, *sides).tolist() for name, norm in norms.items()}
        for direction, sides in directions.items()
    }


def _examples(norm: ScoreNormalization, rows: _Rows, scenes: list[Scene]) -> list[dict[str, Any]]:
    """Captions with their first five pictures by dot and by DN: helped, hurt, and neither.

    The first two queries of each kind in the order of the data, whichever kind is more frequent.
    """
    texts = rows.texts
    tops = {
        name: top_items(method.ranking(texts, rows.images, "text"), 5)
        for name, method in (("dot", make("dot")), ("dn", norm))
    }
    places = {
        name: np.where(hits.any(axis=1), hits.argmax(axis=1), 5)
        for name, hits in ((n, top == np.arange(len(texts))[:, None]) for n, top in tops.items())
    }
    change = places["dot"] - places["dn"]
    moved = (tops["dot"] != tops["dn"]).any(axis=1)
    kinds = {"helped": change > 0, "hurt": change < 0, "neither": (change == 0) & moved}
    return [
        {
            "kind": kind,
            "share": float(mask.mean()),
            "query": scenes[row].captions(1)[0],
            "own": int(row),
            **{name: top[row].tolist() for name, top in tops.items()},
        }
        for kind, mask in kinds.items()
        for row in np.flatnonzero(mask)[:2]
    ]
