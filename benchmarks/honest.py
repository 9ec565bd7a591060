"""What thresholds, the watch and diff promise, and one adversarial text, on real features.

Calibration: an image in a row for each of its five captions (Flickr8k, CLIP B/32) and COCO pairs,
statistics and calibration from one half, false alarms and found pairs at 1 % on the other. Watch:
quiet streams alone and in bursts (4 pictures of a class in a row, an image once per caption), and
streams of which a fifth is foreign. Diff: two samples of 150 rows of one population, and one with
30 % foreign rows. Hub text: from the captions of one half the direction that images of that half
score highest on average (their mean, made unit, and the best real caption), scored against the
true captions of the other half's images.

Needs the folder of real features (DISTNORM_REAL_DATA, or ../shared/data from the project's root).

Run: python benchmarks/honest.py [--quick]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from harness import arguments, publish
from real_features import folder

import distnorm
from distnorm.monitoring.drift import difference

METHODS = ("dot", "dn", "dn2", "nnn")
Rows = np.ndarray


def unit(name: str) -> Rows:
    """Rows of a file below the data, of unit length."""
    return distnorm.normalize(np.load(folder() / name).astype(np.float32))


def flickr() -> tuple[Rows, Rows]:
    """100 images once for each of their five captions, and these."""
    names = folder() / "flickr8k-100x5-clip-vit-b32"
    return unit(names.name + "/image_rows.npy"), unit(names.name + "/text.npy")


def calibrated(repeats: int) -> dict[str, Any]:
    """False alarms and found pairs at 1 % wanted, on images that nothing was taken from."""
    found: dict[str, Any] = {}
    images, texts = flickr()
    coco = tuple(unit(f"coco500-clip-vit-b16/{side}.npy") for side in ("image", "text"))
    for data, (left, right) in (("Flickr8k x 5", (images, texts)), ("COCO", coco)):
        _, group = np.unique(left, axis=0, return_inverse=True)
        group = group.ravel()
        for method in METHODS:
            false, true = [], []
            for seed in range(repeats):
                rng = np.random.default_rng(seed)
                half = np.isin(group, rng.permutation(group.max() + 1)[: (group.max() + 1) // 2])
                norm = distnorm.make(method).fit(images=left[half], texts=right[half])
                norm.calibrate(images=left[half], texts=right[half])
                scores = norm.similarity(left[~half], right[~half])
                match = group[~half][:, None] == group[~half][None, :]
                above = scores > float(norm.threshold(0.01))
                false.append(above[~match].mean())
                true.append(above[match].mean())
            found[f"{data}, {method}"] = {"false": np.mean(false), "true": np.mean(true)}
    return {key: {k: float(v) for k, v in cell.items()} for key, cell in found.items()}


def watched(streams: int, length: int, alpha: float) -> dict[str, float]:
    """Share of streams that alarm."""
    classes = unit("imagenet4shot-clip-vit-b32/image.npy")
    order = np.argsort(
        np.load(folder() / "imagenet4shot-clip-vit-b32" / "label.npy"), kind="stable"
    )
    classes = classes[order].reshape(-1, 4, classes.shape[1])
    coco = unit("coco500-clip-vit-b16/image.npy")

    def drawn(pool: Rows, rng: np.random.Generator, n: int) -> Rows:
        return pool[rng.integers(0, len(pool), n)]

    def mixed(rows: Rows, foreign: Rows, rng: np.random.Generator) -> Rows:
        rows = rows.copy()
        rows[rng.random(len(rows)) < 0.2] = 0
        empty = ~rows.any(axis=1)
        rows[empty] = drawn(foreign, rng, int(empty.sum()))
        return rows

    def one_by_one(rng: np.random.Generator) -> tuple[Rows, Rows]:
        flat = classes.reshape(-1, classes.shape[2])
        return drawn(flat, rng, 500), drawn(flat, rng, length)

    def bursts(rng: np.random.Generator) -> tuple[Rows, Rows]:
        fit, _ = one_by_one(rng)
        return fit, drawn(classes, rng, length // 4).reshape(length, -1)

    def per_caption(rng: np.random.Generator) -> tuple[Rows, Rows]:
        return drawn(coco, rng, 200), np.repeat(drawn(coco, rng, length // 5), 5, axis=0)

    def foreign(make: Callable[..., tuple[Rows, Rows]], pool: Rows) -> Callable[..., Any]:
        def made(rng: np.random.Generator) -> tuple[Rows, Rows]:
            fit, rows = make(rng)
            return fit, mixed(rows, pool, rng)

        return made

    kinds = {
        "quiet, one by one": one_by_one,
        "quiet, 4 of a class in a row": bursts,
        "quiet, an image once per caption": per_caption,
        "a fifth foreign, one by one": foreign(one_by_one, coco),
        "a fifth foreign, 4 of a class in a row": foreign(bursts, coco),
        "a fifth foreign, an image once per caption": foreign(per_caption, classes[:, 0]),
    }
    found = {}
    for name, make in kinds.items():
        alarms = 0
        for seed in range(streams):
            fit, rows = make(np.random.default_rng([seed, 3]))
            watch = distnorm.Watch(distnorm.make("dn").fit(images=fit), false_alarm_rate=alpha)
            alarms += watch.update(images=rows).alarm is not None
        found[name] = alarms / streams
    return found


def compared(trials: int) -> dict[str, Any]:
    """How often diff says different at level 0.01."""
    images = unit("imagenet4shot-clip-vit-b32/image.npy")
    other = unit("coco500-clip-vit-b16/image.npy")
    texts = unit("coco500-clip-vit-b16/text.npy")
    found: dict[str, Any] = {}
    for method in ("dn", "dn2"):
        for probed in (False, True):
            same = mixture = 0
            for seed in range(trials):
                order = np.random.default_rng([seed, 4]).permutation(len(images))
                parts = images[order[:150]], images[order[150:300]]
                first, second = (distnorm.make(method).fit(images=x) for x in parts)
                foreign = np.concatenate([parts[1][:105], other[order[order < 500][:45]]])
                third = distnorm.make(method).fit(images=foreign)
                probe = {"image": images[order[300:400]], "text": texts[:100]} if probed else None
                if probed:
                    for norm in (first, second, third):
                        norm.partial_fit(texts=texts)
                same += not difference(first, second, probe).interchangeable
                mixture += not difference(first, third, probe).interchangeable
            name = f"{method}, {'a probe' if probed else 'no probe'}"
            found[name] = {"one population": same / trials, "30 % foreign": mixture / trials}
    return found


def hub_texts(repeats: int) -> dict[str, Any]:
    """Share of images that prefer a hub text to each of their own captions."""
    found: dict[str, Any] = {}
    images, texts = flickr()
    coco = tuple(unit(f"coco500-clip-vit-b16/{side}.npy") for side in ("image", "text"))
    for data, (left, right) in (("Flickr8k x 5", (images, texts)), ("COCO", coco)):
        _, group = np.unique(left, axis=0, return_inverse=True)
        group = group.ravel()
        for method in ("dot", "dn", "dn2"):
            shares: dict[str, list[float]] = {"optimised": [], "real": []}
            for seed in range(repeats):
                rng = np.random.default_rng([seed, 5])
                half = np.isin(group, rng.permutation(group.max() + 1)[: (group.max() + 1) // 2])
                norm = distnorm.make(method).fit(images=left[half], texts=right[half])
                mean = left[half].mean(axis=0, keepdims=True)
                hubs = {
                    "optimised": distnorm.normalize(mean),
                    "real": right[half][[int((right[half] @ mean[0]).argmax())]],
                }
                own = norm.paired_similarity(left[~half], right[~half])
                for kind, hub in hubs.items():
                    shares[kind].append(
                        float((norm.similarity(left[~half], hub)[:, 0] > own).mean())
                    )
            found[f"{data}, {method}"] = {kind: float(np.mean(v)) for kind, v in shares.items()}
    return found


def main() -> None:
    """Measure, print, publish."""
    options = arguments(__doc__)
    if not folder().is_dir():
        raise SystemExit(f"no real features in {folder()}: set DISTNORM_REAL_DATA")
    repeats = options.repeats or (2 if options.quick else 4)
    streams, length, trials = (4, 1000, 4) if options.quick else (12, 1000, 12)
    results = {
        "calibration": calibrated(repeats),
        "hub_texts": hub_texts(repeats),
        "diff": compared(trials),
        "watch": watched(streams, length, 0.05),
    }
    rows = [
        (
            f"calibrate, {name}",
            f"{c['false']:.2%} false alarms, {c['true']:.1%} of pairs found",
            "1%",
        )
        for name, c in results["calibration"].items()
    ]
    rows += [
        (
            f"caption pairs below a hub text, {name}",
            f"{c['optimised']:.1%} optimised, {c['real']:.1%} a real caption",
            "",
        )
        for name, c in results["hub_texts"].items()
    ]
    rows += [
        (f"diff says different, {name}: {what}", f"{share:.1%}", "1%" if "one" in what else "100%")
        for name, cell in results["diff"].items()
        for what, share in cell.items()
    ]
    rows += [
        (f"watch at 0.05 alarms: {name}", f"{share:.1%}", "5%" if "quiet" in name else "100%")
        for name, share in results["watch"].items()
    ]
    settings = {"splits": repeats, "streams": streams, "rows of a stream": length, "trials": trials}
    publish("honest", options, settings, results, rows)


if __name__ == "__main__":
    main()
