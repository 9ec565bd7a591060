"""Which rows give statistics and which are evaluated, split by split.

A group is one image with all its texts: splits never part them, since a text whose siblings
are in the reference half is no longer unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from distnorm.arrays import CheckedRows, Indices, checked
from distnorm.comparison.groups import Groups
from distnorm.comparison.protocol import Protocol
from distnorm.errors import DistnormError
from distnorm.metrics.positives import Positives

__all__ = ["Draw", "Split", "draw_splits", "draws", "reference_rows"]


@dataclass(frozen=True)
class Split:
    """Numbers of the rows that give statistics and of those that are evaluated; disjoint."""

    fit_images: Indices
    fit_texts: Indices
    images: Indices
    texts: Indices
    image_of_text: Indices


@dataclass(frozen=True)
class Draw:
    """The evaluated images and texts, also by number, and the rows that ``fit`` gets."""

    images: Indices
    texts: Indices
    evaluated: tuple[CheckedRows, CheckedRows]
    fit: Mapping[str, CheckedRows]
    positives: Positives | None = None  # numbered among the evaluated ones


def draw_splits(
    image_of_text: Indices | None,
    n_images: int,
    *,
    repeats: int,
    seed: int,
    fit_fraction: float | None = None,
    samples: int | None = None,
    group_of_image: Indices | None = None,
) -> Iterator[Split]:
    """Random disjoint splits by image, the same for the same seed.

    ``fit_fraction`` of the images with all their texts give the statistics; or ``samples`` images
    and one text of each of as many *other* images do. Without owners, images alone are split.
    With ``group_of_image``, ``n_images`` groups are split, and owners are the texts' groups.
    """
    owner = np.zeros(0, dtype=np.intp) if image_of_text is None else image_of_text
    share = 0.5 if fit_fraction is None else fit_fraction
    sides = 1 if image_of_text is None else 2
    reserved = round(n_images * share) if samples is None else sides * samples
    if not 1 <= reserved <= n_images - 2:
        raise DistnormError(
            f"{n_images} images of which {reserved} would give statistics",
            "at least 1 for the statistics and 2 to evaluate",
            "use more data, another fit fraction or fewer samples",
        )
    for child in np.random.SeedSequence(seed).spawn(repeats):
        rng = np.random.default_rng(child)
        order = rng.permutation(n_images)
        own = np.arange(n_images) if group_of_image is None else group_of_image
        first = order[:reserved]
        second = first[:0]
        if samples is not None and image_of_text is not None:
            first, second = _sampled(own, owner, order, samples)
        kept = np.ones(n_images, dtype=bool)
        kept[first] = kept[second] = False
        images = np.flatnonzero(kept[own])
        texts = np.flatnonzero(kept[owner])
        row = np.full(n_images, -1)
        row[own[images]] = np.arange(len(images))
        if samples is None or image_of_text is None:
            fit_images, fit_texts = np.flatnonzero(~kept[own]), np.flatnonzero(~kept[owner])
        else:
            fit_images = np.sort(first) if group_of_image is None else _one_each(own, first, rng)
            fit_texts = _one_each(owner, second, rng)
        yield Split(fit_images, fit_texts, images, texts, row[owner[texts]])


def draws(
    protocol: Protocol,
    images: CheckedRows,
    texts: CheckedRows,
    image_of_text: Indices | None,
    reference: Mapping[str, CheckedRows],
    positives: Positives | None = None,
) -> Iterator[Draw]:
    """Every split; without ``image_of_text`` the texts are classes, and all serve every split.

    With ``positives``, the images of each text, these say what belongs together.
    """
    n, m = images.shape[0], texts.shape[0]
    classes = {"texts": reference.get("texts", texts)} if image_of_text is None else {}
    groups = None if positives is None else Groups.of(positives)
    if groups is not None:
        image_of_text = groups.of_text
    if protocol.statistics in ("held-out", "paper") and "images" not in reference:
        for split in draw_splits(
            image_of_text,
            n if groups is None else groups.count,
            repeats=protocol.splits,
            seed=protocol.seed,
            fit_fraction=protocol.fit_fraction,
            samples=protocol.samples if protocol.statistics == "paper" else None,
            group_of_image=None if groups is None or groups.count == n else groups.of_image,
        ):
            of_texts = classes or {"texts": texts.take(split.fit_texts)}
            fit = {"images": images.take(split.fit_images), **of_texts}
            left, right = images.take(split.images), texts
            if image_of_text is not None:
                right = texts.take(split.texts)
            own = None if positives is None else positives.within(split.texts, split.images)
            yield Draw(split.images, split.texts, (left, right), fit, own)
        return
    for child in np.random.SeedSequence(protocol.seed).spawn(protocol.splits):
        rows = {"images": images, "texts": texts, **reference}
        if protocol.statistics == "paper":
            rng = np.random.default_rng(child)
            rows = {
                side: _sample(x, protocol.samples, rng, side)
                for side, x in rows.items()
                if side not in classes
            }
        fit = {**rows, **classes}
        yield Draw(np.arange(n), np.arange(m), (images, texts), fit, positives)


def reference_rows(protocol: Protocol, dimension: int, *, both: bool) -> dict[str, CheckedRows]:
    """The checked rows of other data by keyword; ``both`` sides or none where one is not enough."""
    sides = {"images": protocol.fit_images, "texts": protocol.fit_texts}
    rows = {
        side: checked(x, f"fit_{side}", dimension=dimension)
        for side, x in sides.items()
        if x is not None
    }
    if both and (len(rows) == 1 or (protocol.statistics == "reference" and not rows)):
        raise DistnormError(
            f"reference data of {len(rows)} sides", "fit_images and fit_texts", "give both"
        )
    if protocol.statistics == "reference" and "images" not in rows:
        raise DistnormError("no reference images", "fit_images", "give them")
    if "images" in rows and protocol.transductive:
        raise DistnormError("reference data", "none under 'transductive'", "leave it out")
    return rows


def _sampled(own: Indices, owner: Indices, order: Indices, samples: int) -> tuple[Indices, Indices]:
    """The first groups that have an image, and the first others that have a text."""
    with_image, with_text = (np.bincount(x, minlength=len(order)) > 0 for x in (own, owner))
    first = order[with_image[order]][:samples]
    with_text[first] = False
    second = order[with_text[order]][:samples]
    if min(len(first), len(second)) < samples:
        raise DistnormError(
            f"{len(first)} images and texts of {len(second)} other images",
            f"{samples} samples of each",
            "use more data or fewer samples",
        )
    return first, second


def _one_each(owner: Indices, groups: Indices, rng: np.random.Generator) -> Indices:
    """A random member of each group, in rising order; every group must have one."""
    by_group = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[by_group], groups)
    counts = np.bincount(owner, minlength=int(groups.max()) + 1)[groups]
    return np.sort(by_group[starts + rng.integers(0, counts)])


def _sample(x: CheckedRows, samples: int, rng: np.random.Generator, side: str) -> CheckedRows:
    """So many rows drawn without replacement, in their order."""
    n = x.shape[0]
    if samples > n:
        raise DistnormError(
            f"{n} rows of fit_{side}", f"at least {samples} samples", "lower --samples"
        )
    return x.take(np.sort(rng.choice(n, samples, replace=False)))
