"""Abstaining, probabilities and the watch on real features.

Classification that may say "none of these": 500 ImageNet classes are known, images of the other
500 must be rejected. Probabilities: fitted on 250 COCO pairs, judged on 250 others at the stated
prior. Watch: streams drawn with replacement from the same rows as the statistics (an alarm is
false), and streams that change to another world or model after 1,000 rows.

Needs the folder of real features (DISTNORM_REAL_DATA, or ../shared/data from the project's root),
scikit-learn, and for the built-in model's worlds the extra ``demo``.

Run: python benchmarks/trust.py [--quick]
"""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import arguments, publish
from real_features import folder

import distnorm
from calibration import world
from distnorm.calibration import reliability

METHODS = ("dot", "dn", "dn2")
WANTED = (0.2, 0.05, 0.01)
PRIORS = (0.5, 0.1, 0.01)
ALPHAS = (0.2, 0.05)

Rows = np.ndarray


def open_set(repeats: int) -> dict[str, Any]:
    """Method -> wanted rate -> shares of unknown and known images that get a class."""
    data = folder() / "imagenet4shot-clip-vit-b32"
    images = distnorm.normalize(np.load(data / "image.npy").astype(np.float32))
    labels = np.load(data / "label.npy")
    texts = distnorm.normalize(np.load(data / "class_text_raw.npy"))
    found: dict[str, Any] = {}
    for method in METHODS:
        for wanted in WANTED:
            rows = []
            for seed in range(repeats):
                rng = np.random.default_rng(seed)
                known = np.sort(rng.permutation(1000)[:500])
                own = rng.permutation(np.flatnonzero(np.isin(labels, known)))
                unknown = np.flatnonzero(~np.isin(labels, known))
                norm = distnorm.make(method).fit(images=images[own[:300]], texts=texts[known])
                classifier = distnorm.ZeroShotClassifier(norm, false_alarm_rate=wanted)
                classifier.fit(texts[known], known).calibrate(images[own[300:900]])
                got = classifier.predict(images[own[900:]])
                right = got == labels[own[900:]]
                classifier.set_params(false_alarm_rate=None)
                plain = classifier.predict(images[own[900:]]) == labels[own[900:]]
                classifier.set_params(false_alarm_rate=wanted)
                rows.append(
                    {
                        "unknown_accepted": (classifier.predict(images[unknown]) != -1).mean(),
                        "known_accepted": (got != -1).mean(),
                        "accepted_acc1": right[got != -1].mean(),
                        "acc1_without": plain.mean(),
                    }
                )
            found.setdefault(method, {})[f"{wanted:g}"] = {
                key: float(np.mean([row[key] for row in rows])) for key in rows[0]
            }
    return found


def probabilities(repeats: int) -> dict[str, Any]:
    """Curve -> prior -> expected calibration error as stated and on rows never seen."""
    data = folder() / "coco500-clip-vit-b16"
    images, texts = (np.load(data / f"{side}.npy") for side in ("image", "text"))
    found: dict[str, Any] = {}
    for curve in ("isotonic", "platt"):
        for prior in PRIORS:
            stated, unseen = [], []
            for seed in range(repeats):
                order = np.random.default_rng(seed).permutation(500)
                fit, sample, judged = order[:50], order[50:300], order[300:]
                norm = distnorm.make("dn2").fit(images=images[fit], texts=texts[fit])
                norm.calibrate_probability(
                    images=images[sample], texts=texts[sample], prior=prior, method=curve
                )
                scores = norm.similarity(images[judged], texts[judged])
                match = np.eye(len(judged), dtype=bool)
                p = norm.probability(scores)
                unseen.append(reliability(p.ravel(), match.ravel(), prior=prior)[1])
                stated.append(norm.notes.probability["expected_calibration_error"])
            found.setdefault(curve, {})[f"{prior:g}"] = {
                "stated": float(np.mean(stated)),
                "unseen": float(np.mean(unseen)),
            }
    return found


def stream(rows: Rows, n: int, rng: np.random.Generator) -> Rows:
    """``n`` of the rows, drawn with replacement."""
    return rows[rng.integers(0, len(rows), n)]


def watched(pools: dict[str, Rows], streams: int, length: int) -> dict[str, Any]:
    """Alarms without a change, and rows until the alarm with one."""
    found: dict[str, Any] = {"false": {}, "change": {}}
    changes = {
        "matched to faded world": ("matched", "faded"),
        "COCO, CLIP B/16 to ImageNet, CLIP B/32": ("coco", "imagenet"),
    }
    for name in ("coco", "matched"):
        for alpha in ALPHAS:
            alarms = 0
            for seed in range(streams):
                rng = np.random.default_rng([seed, 1])
                norm = distnorm.make("dn").fit(images=stream(pools[name], 200, rng))
                watch = distnorm.Watch(norm, false_alarm_rate=alpha)
                alarms += watch.update(images=stream(pools[name], length, rng)).alarm is not None
            found["false"][f"{name}, {alpha:g}"] = alarms / streams
    for title, (before, after) in changes.items():
        delays, missed = [], 0
        for seed in range(max(2, streams // 5)):
            rng = np.random.default_rng([seed, 2])
            norm = distnorm.make("dn").fit(images=stream(pools[before], 200, rng))
            watch = distnorm.Watch(norm, false_alarm_rate=0.01)
            watch.update(images=stream(pools[before], 1000, rng))
            watch.update(images=stream(pools[after], 2000, rng))
            if watch.alarm is None:
                missed += 1
            else:
                delays.append(watch.alarm.rows - 1000)
        found["change"][title] = {
            "median_rows": float(np.median(delays)) if delays else None,
            "missed": missed,
            "streams": max(2, streams // 5),
        }
    return found


def main() -> None:
    """Measure, print, publish."""
    options = arguments(__doc__)
    if not folder().is_dir():
        raise SystemExit(f"no real features in {folder()}: set DISTNORM_REAL_DATA")
    repeats = options.repeats or (2 if options.quick else 5)
    streams, length = (10, 1500) if options.quick else (12 * repeats, 2000)
    data = folder()
    pools = {
        "coco": np.load(data / "coco500-clip-vit-b16" / "image.npy"),
        "imagenet": distnorm.normalize(
            np.load(data / "imagenet4shot-clip-vit-b32" / "image.npy").astype(np.float32)
        ),
        "matched": world("matched", 500)[0],
        "faded": world("faded", 500)[0],
    }
    results = {
        "open_set": open_set(repeats),
        "probability": probabilities(repeats),
        "watch": watched(pools, streams, length),
    }
    rows = []
    for method, rates in results["open_set"].items():
        for wanted, cell in rates.items():
            rows.append(
                (
                    f"ImageNet 4-shot, unknown images that get a class, {method}",
                    f"{cell['unknown_accepted']:.1%}; {cell['known_accepted']:.1%} of the known, "
                    f"{cell['accepted_acc1']:.1%} of them right (all: {cell['acc1_without']:.1%})",
                    f"{float(wanted):.0%}",
                )
            )
    for curve, priors in results["probability"].items():
        for prior, cell in priors.items():
            rows.append(
                (
                    f"COCO, expected calibration error, {curve}, prior {prior}",
                    f"{cell['unseen']:.4f} unseen, {cell['stated']:.4f} stated",
                    "",
                )
            )
    for what, share in results["watch"]["false"].items():
        rows.append((f"watch, {length} rows, streams that alarm: {what}", f"{share:.1%}", "less"))
    for what, cell in results["watch"]["change"].items():
        rows.append(
            (
                f"watch at 0.01, rows until the alarm: {what}",
                f"{cell['median_rows']} ({cell['missed']} of {cell['streams']} missed)",
                "",
            )
        )
    settings = {"splits": repeats, "streams": streams, "rows of a stream": length}
    publish("trust", options, settings, results, rows)


if __name__ == "__main__":
    main()
