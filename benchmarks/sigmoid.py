"""What the methods give after training with a sigmoid per pair (SigLIP) and with InfoNCE (CLIP).

Two small heads, one per side, are trained twice on the same frozen features: same pairs in the
same order, first weights, steps and optimizer; only the loss differs. B pairs in a batch, s = x.y.

    InfoNCE    mean over rows and columns of -log softmax(t s)     t = 1/.07 at first
    sigmoid    1/B sum over pairs of -log sigmoid(z (t s + b))     t = 10, b = -10 at first

(Zhai, Mustafa, Kolesnikov, Beyer, ICCV 2023, arXiv 2303.15343.) z is 1 for a
pair, else -1; t, at most 100, and b are learned, at ten times the heads' rate.
Sets, each in three parts of different images (training, statistics, evaluation):

    scenes      pixels, averaged in squares of four, and words and pairs of neighbouring words;
                two-layer heads. Trained in the world ``matched``, measured there and in ``faded``
    COCO        the 500 pairs of CLIP B/16; linear heads; 250, 100, 150
    ImageNet    4 images of 1,000 classes and their names, CLIP B/32; linear; classes: 500, 250, 250

R@1 in both directions, hit-type. ``spread`` is the standard deviation over items of
log mean_j exp(t q_j.y), in nats, with the learned t: what a softmax divides out in training.

Needs the folder of real features: DISTNORM_REAL_DATA, or ../shared/data from the project's root.

Run: python benchmarks/sigmoid.py [--quick] [--repeats SEEDS]
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from harness import arguments, publish
from real_features import folder
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, softplus

import distnorm
from distnorm.scenes import WORLDS, generate
from distnorm.scenes.sampling import TRAINING, draw_scene

METHODS = ("dn*", "dn", "dn2", "is", "nnn")
LOSSES = ("InfoNCE", "sigmoid")
WAYS = ("image→text", "text→image")
_CAPTIONS = 5


@dataclass(frozen=True)
class Part:
    """Features of either side; a text and an image match if their numbers are equal."""

    images: np.ndarray
    texts: np.ndarray
    image_numbers: np.ndarray
    text_numbers: np.ndarray


@dataclass(frozen=True)
class Problem:
    """What is trained on, and (statistics, evaluated) of each name."""

    train: Part
    batch: int
    steps: int
    hidden: int
    measured: dict[str, tuple[Part, Part]]

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """One image and one text of each of so many numbers, none twice."""
        sides = [self.train.image_numbers, self.train.text_numbers]
        orders = [np.argsort(numbers, kind="stable") for numbers in sides]
        found = [np.unique(numbers, return_counts=True)[1] for numbers in sides]
        for _ in range(self.steps):
            chosen = rng.permutation(len(found[0]))[: self.batch]
            rows = []
            for order, counts in zip(orders, found, strict=True):
                first = (np.cumsum(counts) - counts)[chosen]
                rows.append(order[first + rng.integers(counts[chosen])])
            yield rows[0], rows[1]


def scenes(seed: int, quick: bool) -> Problem:
    """Towers from pixels and words, trained in the matched world."""
    counts = (300, 60, 60) if quick else (8000, 500, 1000)
    drawn = [draw_scene(WORLDS["matched"], (TRAINING, 90 + seed, i)) for i in range(counts[0])]
    words = Counter(
        w for scene in drawn for text in scene.captions(_CAPTIONS) for w in set(grams(text))
    )
    places = {word: place for place, (word, _) in enumerate(words.most_common(1000))}
    train = look(drawn, places, _CAPTIONS)
    centre, width = train.images.mean(axis=0), train.images.std(axis=0) + 1e-3

    def scaled(part: Part) -> Part:
        images = (part.images - centre) / width
        return Part(images, part.texts, part.image_numbers, part.text_numbers)

    measured = {}
    for world in ("matched", "faded"):
        found = generate(counts[1] + counts[2], world=world, seed=700 + seed)
        parts = [look(part, places, 1) for part in (found[: counts[1]], found[counts[1] :])]
        measured[f"scenes, {world}"] = (scaled(parts[0]), scaled(parts[1]))
    return Problem(scaled(train), 32 if quick else 128, 20 if quick else 1500, 128, measured)


def grams(text: str) -> list[str]:
    """Words of a sentence, and pairs of neighbours."""
    words = re.findall(r"[a-z-]+", text.lower())
    return [*words, *(f"{a} {b}" for a, b in pairwise(words))]


def look(found: list[Any], places: dict[str, int], captions: int) -> Part:
    """Averaged pixels and counted words of scenes."""
    pixels = np.stack([scene.render() for scene in found]).astype(np.float32) / 255
    images = pixels.reshape(len(found), 16, 4, 16, 4, 3).mean(axis=(2, 4)).reshape(len(found), -1)
    texts = np.zeros((len(found) * captions, len(places)), dtype=np.float32)
    for row, text in enumerate(t for scene in found for t in scene.captions(captions)):
        for gram in grams(text):
            if gram in places:
                texts[row, places[gram]] = 1
    numbers = np.arange(len(found))
    return Part(images, texts, numbers, np.repeat(numbers, captions))


def coco(seed: int, quick: bool) -> Problem:
    """Linear heads on CLIP's vectors of 250 pairs."""
    sides = [np.load(folder() / "coco500-clip-vit-b16" / f"{s}.npy") for s in ("image", "text")]
    order = np.random.default_rng([1, seed]).permutation(len(sides[0]))
    parts = [
        Part(sides[0][rows], sides[1][rows], rows, rows) for rows in np.split(order, [250, 350])
    ]
    return Problem(parts[0], 125, 10 if quick else 400, 0, {"COCO": (parts[1], parts[2])})


def imagenet(seed: int, quick: bool) -> Problem:
    """Linear heads on CLIP's vectors of half of the classes."""
    place = folder() / "imagenet4shot-clip-vit-b32"
    images = distnorm.normalize(np.load(place / "image.npy").astype(np.float32))
    texts = distnorm.normalize(np.load(place / "class_text_raw.npy"))
    labels = np.load(place / "label.npy").astype(np.intp)
    order = np.random.default_rng([2, seed]).permutation(len(texts))
    parts = []
    for classes in np.split(order, [500, 750]):
        rows = np.flatnonzero(np.isin(labels, classes))
        parts.append(Part(images[rows], texts[classes], labels[rows], classes))
    steps = 10 if quick else 800
    return Problem(parts[0], 250, steps, 0, {"ImageNet": (parts[1], parts[2])})


def head(inputs: int, hidden: int) -> nn.Module:
    """A linear map, or two with a ReLU between them."""
    if not hidden:
        return nn.Linear(inputs, 64)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 64))


def infonce(scores: Tensor, bias: Tensor) -> Tensor:
    """The mean of both directions; ``bias`` has no part in it."""
    own = torch.arange(len(scores))
    return (cross_entropy(scores, own) + cross_entropy(scores.T, own)) / 2


def sigmoid(scores: Tensor, bias: Tensor) -> Tensor:
    """All pairs of a batch one by one, in sum, per row."""
    signs = 2 * torch.eye(len(scores)) - 1
    return softplus(-signs * (scores + bias)).sum() / len(scores)


def trained(problem: Problem, loss: str, seed: int) -> tuple[list[nn.Module], float, float]:
    """Both heads, the scale and the bias."""
    torch.manual_seed(seed)
    train = problem.train
    heads = [head(side.shape[1], problem.hidden) for side in (train.images, train.texts)]
    start = math.log(1 / 0.07) if loss == "InfoNCE" else math.log(10)
    scale, bias = nn.Parameter(torch.tensor(start)), nn.Parameter(torch.tensor(-10.0))
    weights = [w for part in heads for w in part.parameters()]
    groups = [{"params": weights, "lr": 1e-3}, {"params": [scale, bias], "lr": 1e-2}]
    optimizer = torch.optim.Adam(groups)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, problem.steps)
    criterion = infonce if loss == "InfoNCE" else sigmoid
    images, texts = torch.from_numpy(train.images), torch.from_numpy(train.texts)
    for image_rows, text_rows in problem.batches(np.random.default_rng([3, seed])):
        x, y = (
            normalize(part(side[torch.from_numpy(rows)]))
            for part, side, rows in zip(
                heads, (images, texts), (image_rows, text_rows), strict=True
            )
        )
        optimizer.zero_grad()
        criterion(scale.exp() * x @ y.T, bias).backward()
        optimizer.step()
        decay.step()
        with torch.no_grad():
            scale.clamp_(max=math.log(100))
    return heads, scale.exp().item(), bias.item()


def embedded(heads: list[nn.Module], part: Part) -> list[np.ndarray]:
    """Unit rows of both sides."""
    with torch.no_grad():
        sides = zip(heads, (part.images, part.texts), strict=True)
        return [normalize(tower(torch.from_numpy(rows))).numpy() for tower, rows in sides]


def recalls(norm: Any, rows: list[np.ndarray], part: Part) -> list[float]:
    """R@1 of images that look for texts, and of texts that look for images, percent."""
    numbers = (part.image_numbers, part.text_numbers)
    found = []
    for query, side in enumerate(("image", "text")):
        best = norm.ranking(rows[query], rows[1 - query], side).scores().argmax(axis=1)
        found.append(float(100 * np.mean(numbers[1 - query][best] == numbers[query])))
    return found


def spreads(banks: list[np.ndarray], rows: list[np.ndarray], scale: float) -> list[float]:
    """Standard deviation over items of their log-partition: texts by images, images by texts."""
    found = []
    for query in (0, 1):
        scores = scale * rows[1 - query] @ banks[query].T
        top = scores.max(axis=1)
        found.append(float(np.std(top + np.log(np.exp(scores - top[:, None]).mean(axis=1)))))
    return found


def measure(problem: Problem, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Of each set and loss: recalls of each method, scale, bias and spreads."""
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in problem.measured}
    for loss in LOSSES:
        heads, scale, bias = trained(problem, loss, seed)
        for name, (statistics, evaluated) in problem.measured.items():
            banks, rows = embedded(heads, statistics), embedded(heads, evaluated)
            figures: dict[str, Any] = {"scale": scale, "bias": bias}
            figures["spread"] = spreads(banks, rows, scale)
            for method in ("dot", *METHODS):
                norm = distnorm.make(method).fit(images=banks[0], texts=banks[1])
                figures[method] = recalls(norm, rows, evaluated)
            found[name][loss] = figures
    return found


def words(values: np.ndarray, sign: str = "+") -> str:
    """Means of both directions and their standard errors."""
    errors = values.std(axis=0, ddof=min(1, len(values) - 1)) / math.sqrt(len(values))
    means = "{:{s}.1f} / {:{s}.1f}".format(*values.mean(axis=0), s=sign)
    return means + " (s.e. {:.1f} / {:.1f})".format(*errors)


def table(runs: dict[str, dict[str, list[dict[str, Any]]]]) -> list[tuple[str, str, str]]:
    """Of each set and loss: recalls, changes, scale, bias and spreads; of each set, both losses."""
    rows = []
    for name, losses in runs.items():
        values = {
            loss: {key: np.array([one[key] for one in found]) for key in found[0]}
            for loss, found in losses.items()
        }
        for loss, figures in values.items():
            what = f"{name}, {loss}"
            rows.append((f"{what}, dot", words(figures["dot"], ""), ""))
            rows += [(f"{what}, {m}", words(figures[m] - figures["dot"]), "") for m in METHODS]
            ends = f"{figures['scale'].mean():.0f}"
            ends += f", {figures['bias'].mean():.1f}" if loss == "sigmoid" else ""
            rows.append((f"{what}: scale, bias", ends, ""))
            spread = "{:.2f} / {:.2f}".format(*figures["spread"].mean(axis=0))
            rows.append((f"{what}: spread of texts / of images, nats", spread, ""))
        gains = [values[loss]["dn"] - values[loss]["dot"] for loss in reversed(LOSSES)]
        rows.append((f"{name}, dn: sigmoid less InfoNCE", words(gains[0] - gains[1]), ""))
    return rows


def main() -> None:
    """Train and measure with every seed, print and publish."""
    options = arguments(__doc__)
    if not folder().is_dir():
        raise SystemExit(f"no real features in {folder()}: set DISTNORM_REAL_DATA")
    seeds = options.repeats or (1 if options.quick else 5)
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for make in (coco, imagenet, scenes):
        for seed in range(seeds):
            for name, losses in measure(make(seed, options.quick), seed).items():
                for loss, figures in losses.items():
                    runs.setdefault(name, {}).setdefault(loss, []).append(figures)
    settings = {"seeds": f"0 to {seeds - 1}", "dimensions": 64, "directions": " / ".join(WAYS)}
    publish("sigmoid", options, settings, runs, table(runs))


if __name__ == "__main__":
    main()
