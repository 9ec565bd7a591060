"""Pictures to a store against the model alone: what decoding, hashing and writing cost.

For each model and set of pictures, in turn, ``repeats`` times: the model on ready pixels in full
batches, and `embed` from files to a new store. Also each step by itself, in one process: seconds of
processor time a picture, which say what bounds the whole: with c cores and a model that keeps all
of them busy, no pipeline is faster than (model + everything else) / c.

Needs the ``demo`` and ``embed`` extras; ViT-B/32 (random weights) the ``open_clip`` extra.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from harness import arguments, in_child, measure, publish, ratio, spread

BATCH = 64
VIT = "open_clip:ViT-B-32/random"


def coco_folder() -> Path | None:
    """The real photos, where there are some."""
    named = os.environ.get("DISTNORM_REAL_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = root / "coco159-images" / "images"
    return folder if folder.is_dir() else None


def make_scenes(folder: Path, count: int) -> Path:
    """Drawn scenes of 64 x 64 pixels, the built-in model's own pictures."""
    from distnorm.scenes import save_scenes

    save_scenes(folder, count)
    (folder / "captions.tsv").unlink(missing_ok=True)
    return folder


def make_photos(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Photo-like JPEGs of one size: COCO's, enlarged and cut, each another."""
    from PIL import Image

    found = coco_folder()
    files = sorted(found.iterdir()) if found else []
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        if files:
            with Image.open(files[number % len(files)]) as photo:
                picture = photo.convert("RGB").resize(size)
        else:
            coarse = rng.integers(0, 255, (size[1] // 16, size[0] // 16, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize(size, 3)
        picture.putpixel((0, 0), (number % 256, number // 256 % 256, 7))
        picture.save(folder / f"{number:06}.jpg", quality=90)
    return folder


def encoder_of(name: str) -> Any:
    """The model, quietly."""
    from distnorm.encoders import load_encoder

    if name.startswith("open_clip"):
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
        import torchvision_shim

        torchvision_shim.install()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_encoder(name)


def pipeline(name: str, kind: str, count: int, repeats: int, workers: int | None) -> Any:
    """The model alone and the whole, in turn."""
    from distnorm.embedding import embed, open_source

    encoder = encoder_of(name)
    work = Path(tempfile.mkdtemp(prefix="benchmark-", dir=Path.cwd()))
    try:
        folder = pictures(work, kind, count)
        probe = decoded(folder, encoder)
        ready = [probe[at : at + BATCH] for at in range(0, count, BATCH)]

        def model() -> None:
            for batch in ready:
                encoder.encode_pixels(batch)

        def whole() -> None:
            store = work / "store"
            shutil.rmtree(store, ignore_errors=True)
            done = embed(encoder, open_source(folder), store, model=name, workers=workers)
            assert (done.written, done.failed) == (count, 0), done

        timings = measure({"model": model, "pipeline": whole}, repeats)
        return {**timings, "steps": steps(folder, encoder, ready)}
    finally:
        shutil.rmtree(work)


def pictures(work: Path, kind: str, count: int) -> Path:
    """A folder of one kind of pictures."""
    if kind == "scenes":
        folder = make_scenes(work / "in", max(1, count // 5 + 1))
        extra = sorted(folder.iterdir())
        for path in extra[count:]:
            path.unlink()
        for number in range(len(extra), count):
            shutil.copy(extra[number % len(extra)], folder / f"more-{number:06}.png")
        return distinct(folder)
    sizes = {"coco": (640, 480), "12mp": (4000, 3000)}
    return make_photos(work / "in", count, sizes[kind])


def distinct(folder: Path) -> Path:
    """No two files of one content: bytes after a PNG's end mean nothing."""
    for number, path in enumerate(sorted(folder.iterdir())):
        with path.open("ab") as file:
            file.write(number.to_bytes(4, "little"))
    return folder


def decoded(folder: Path, encoder: Any) -> np.ndarray:
    """All pictures' pixels."""
    from distnorm.embedding.decoding import Recipe, decode
    from distnorm.embedding.sources import find_items

    recipe = Recipe.of(encoder.preprocess)
    items = find_items(folder)
    pixels = np.empty((len(items), *recipe.shape), dtype=recipe.dtype)
    for item, out in zip(items, pixels, strict=True):
        decode(item, None, recipe, out)
    return pixels


def steps(folder: Path, encoder: Any, ready: list[np.ndarray]) -> dict[str, float]:
    """Milliseconds of processor time a picture of each step."""
    import hashlib

    from distnorm.embedding.pictures import decode_picture

    sample = sorted(folder.iterdir())[:BATCH]
    contents = [path.read_bytes() for path in sample]
    side = max(n for n in ready[0].shape[1:] if n > 4)
    opened = [decode_picture(data, "x", (side, side))[0] for data in contents]
    n = len(sample)
    return {
        "read": _each(n, lambda: [path.read_bytes() for path in sample]),
        "hash": _each(n, lambda: [hashlib.sha256(data).digest() for data in contents]),
        "decode": _each(n, lambda: [decode_picture(d, "x", (side, side)) for d in contents]),
        "decode in full": _each(n, lambda: [decode_picture(data, "x") for data in contents]),
        "preprocess": _each(n, lambda: [encoder.preprocess(picture) for picture in opened]),
        "write": _each(n, lambda: np.save(io.BytesIO(), np.ones((n, 512), np.float16))),
        "model": _each(len(ready[0]), lambda: encoder.encode_pixels(ready[0])),
    }


def _each(count: int, function: Any) -> float:
    function()
    start = time.process_time()
    for _ in range(3):
        function()
    return (time.process_time() - start) / 3 / count * 1e3


CASES = {
    "builtin scenes": ("builtin", "scenes", 8192, 64),
    "builtin coco": ("builtin", "coco", 1024, 16),
    f"{VIT} coco": (VIT, "coco", 512, 8),
    f"{VIT} 12mp": (VIT, "12mp", 192, 2),
}


def main() -> None:
    """Run all, in processes of their own, and publish."""
    options = arguments(__doc__)
    repeats = options.repeats or (1 if options.quick else 5)
    workers = os.environ.get("EMBED_WORKERS")
    if options.child:
        model, kind, full, quick = CASES[options.child]
        count = quick if options.quick else full
        found = pipeline(model, kind, count, repeats, int(workers) if workers else None)
        print(json.dumps({**found, "pictures": count}))
        return
    passed_on = [*(["--quick"] if options.quick else []), "--repeats", str(repeats)]
    results, rows = {}, []
    for name, (model, kind, *_) in CASES.items():
        if model == VIT and not _has_open_clip():
            rows.append((name, "not measured: open_clip is not installed", ""))
            continue
        only = os.environ.get("EMBED_CASES")
        if only and only not in name:
            continue
        found = results[name] = in_child(__file__, name, *passed_on)
        count, cost = found["pictures"], found["steps"]
        per = {key: found["pipeline"][key] / count * 1000 for key in ("median", "min", "max")}
        around = sum(cost[key] for key in ("read", "hash", "decode", "preprocess"))
        share = 1 + around / cost["model"]
        wanted = "<= 1.15" if kind in ("scenes", "coco") and share <= 1.15 else f"bound {share:.2f}"
        rows += [
            (f"{name}: pipeline / model alone", spread(ratio(found, "pipeline", "model")), wanted),
            (f"{name}: a thousand pictures", spread(per, " s", 1), ""),
            (
                f"{name}: processor ms a picture",
                f"model {cost['model']:.2f}, decode {cost['decode']:.2f} "
                f"(in full {cost['decode in full']:.2f}), preprocess {cost['preprocess']:.2f}, "
                f"read and hash {cost['read'] + cost['hash']:.2f}",
                "",
            ),
        ]
    settings = {"batch": BATCH, "repeats": repeats, "workers": workers or "one a core"}
    publish("embed", options, settings, results, rows)


def _has_open_clip() -> bool:
    import importlib.util

    return importlib.util.find_spec("open_clip") is not None


if __name__ == "__main__":
    main()
