"""``serve --learn`` on streams of real captions: how near the offline fit, and what harm it does.

COCO 500 (CLIP ViT-B/16) and Flickr8k 100 x 5 (ViT-B/32), text to image, R@1 in percent, change
against the dot product. A stream is drawn from captions of half of the images; the other half is
asked, among all images, and is never in the stream.

    even     every caption of the stream's half comes once, in any order
    popular  captions come by Zipf's law, exponent 1, 2,000 of them
    narrow   captions of 15 images alone, 2,000 of them
    drift    half of the even stream nearest a direction, then the other half, with a bank of 150
    bots     every second query is a caption's vector with one direction of no caption added

*offline* is dn fitted at once on the captions that the stream draws from. *without gates* is what
was learned at the end, used whatever it is; *learned* is what the gates let be used. Not timed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from harness import HERE, arguments, publish, summary

import distnorm
from distnorm.service.learning import Learner

STREAMS = ("even", "popular", "narrow", "drift", "bots")
Rows = np.ndarray


def folder() -> Path:
    """Where the real features are."""
    named = os.environ.get("DISTNORM_REAL_DATA")
    return Path(named) if named else HERE.parent.parent / "shared" / "data"


def sets() -> dict[str, tuple[Rows, Rows, Rows]]:
    """Images, texts, and which image each text is of."""
    coco = folder() / "coco500-clip-vit-b16"
    flickr = folder() / "flickr8k-100x5-clip-vit-b32"
    rows = distnorm.normalize(np.load(flickr / "image_rows.npy").astype(np.float32))
    texts = distnorm.normalize(np.load(flickr / "text.npy").astype(np.float32))
    return {
        "COCO 500": (
            np.load(coco / "image.npy"),
            np.load(coco / "text.npy"),
            np.arange(500),
        ),
        "Flickr8k 100 x 5": (rows[::5], texts, np.repeat(np.arange(100), 5)),
    }


def stream(kind: str, texts: Rows, own: Rows, rng: np.random.Generator) -> tuple[Rows, int]:
    """Queries in the order in which they come, and the rows of the bank."""
    order = rng.permutation(len(texts))
    if kind == "popular":
        share = 1 / np.arange(1, len(texts) + 1)
        return texts[order[rng.choice(len(texts), 2000, p=share / share.sum())]], 2000
    if kind == "narrow":
        few = np.isin(own, rng.permutation(np.unique(own))[:15])
        return texts[few][rng.integers(few.sum(), size=2000)], 2000
    if kind == "drift":
        direction = texts[order[0]] - texts.mean(axis=0)
        order = np.argsort(-(texts @ direction), kind="stable")
        half = len(texts) // 2
        parts = (rng.permutation(order[:half]), rng.permutation(order[half:]))
        return texts[np.concatenate(parts)], 150
    if kind == "bots":
        added = rng.normal(0, 1, texts.shape[1])
        sent = texts[order].copy()
        sent[::2] += added / np.linalg.norm(added)
        return distnorm.normalize(sent), 2000
    return texts[order], 2000


def recall(norm: Any, queries: Rows, images: Rows, own: Rows) -> float:
    """R@1 in percent."""
    sent = queries if norm is None else norm.shift_queries(texts=queries)
    return 100 * float((distnorm.topk(sent, images, 1)[1][:, 0] == own).mean())


def one(kind: str, images: Rows, texts: Rows, own: Rows, seed: int) -> dict[str, float]:
    """Figures of one draw."""
    rng = np.random.default_rng(seed)
    half = np.isin(own, rng.permutation(len(images))[: len(images) // 2])
    asked, truth = texts[~half], own[~half]
    queries, window = stream(kind, texts[half], own[half], rng)
    learner = Learner(images, "text", window=window)
    learner.add(queries)
    proposal = learner.propose()
    used = proposal.norm if proposal.accepted else None
    offline = distnorm.make("dn").fit(images=images, texts=texts[half])
    dot = recall(None, asked, images, truth)
    return {
        "dot": dot,
        "offline": recall(offline, asked, images, truth) - dot,
        "without gates": recall(proposal.norm, asked, images, truth) - dot,
        "learned": recall(used, asked, images, truth) - dot,
        "effective queries": proposal.effective,
        "in force": float(used is not None),
    }


def main() -> None:
    """Measure on each set and stream, publish."""
    options = arguments(__doc__)
    if not folder().is_dir():
        raise SystemExit(f"no real features in {folder()}: set DISTNORM_REAL_DATA")
    repeats = options.repeats or (2 if options.quick else 20)
    results: dict[str, Any] = {}
    rows = []
    for name, (images, texts, own) in sets().items():
        for kind in STREAMS:
            draws = [one(kind, images, texts, own, seed) for seed in range(repeats)]
            found = {key: summary([draw[key] for draw in draws]) for key in draws[0]}
            means = {key: float(np.mean([draw[key] for draw in draws])) for key in draws[0]}
            results[f"{name}, {kind}"] = {"draws": found, "means": means}
            words = ", ".join(
                f"{key} {means[key]:+.1f}" for key in ("offline", "without gates", "learned")
            )
            words += (
                f"; {means['effective queries']:.0f} effective queries, in force at the end in "
                f"{100 * means['in force']:.0f} %; lowest of learned {found['learned']['min']:+.1f}"
            )
            wanted = "the offline fit" if kind in ("even", "popular") else "no harm"
            rows.append((f"{name}, {kind} (dot {means['dot']:.1f}): means", words, wanted))
    settings = {"repeats": repeats, "method": "dn", "strength": 0.5, "k": 1}
    publish("learning", options, settings, results, rows)


if __name__ == "__main__":
    main()
