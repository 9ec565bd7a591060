"""What the process with the model does for each picture, beside workers that decode: CPU time.

A stand-in model takes no time, so that what is left is the pipeline: `embed` from files to a store,
and the usual loop of torch's DataLoader over the same pictures with the same preprocessing, which
keeps its rows in memory. Processor time of this process alone (its workers' is not counted) bounds
pictures per second whatever the number of cores and the speed of the model: 1 / (time a picture).
Seconds on the clock are told as well; where decoding is slower they say nothing of that bound.

Run: python benchmarks/embed_main.py [--quick]
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import arguments, publish, spread, summary

SIDE = 224


class StandIn:
    """A model of no cost."""

    model_id, dimension, max_tokens = "stand-in", 512, None

    def __init__(self) -> None:
        from distnorm.encoders.pixels import Pixels

        self.preprocess = Pixels(size=(SIDE, SIDE))

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Rows that are all alike."""
        return np.ones((len(pixels), self.dimension), dtype=np.float32)


class Pictures:
    """A data set as DataLoader takes it."""

    def __init__(self, paths: list[Path], preprocess: Any) -> None:
        self.paths, self.preprocess = paths, preprocess

    def __len__(self) -> int:
        """Pictures."""
        return len(self.paths)

    def __getitem__(self, number: int) -> np.ndarray:
        """One picture's pixels."""
        from PIL import Image

        with Image.open(self.paths[number]) as picture:
            return np.asarray(self.preprocess(picture.convert("RGB")))


def make(folder: Path, count: int) -> list[Path]:
    """Small JPEGs, which workers decode quickly."""
    from PIL import Image

    rng = np.random.default_rng(0)
    paths = [folder / f"{number:06}.jpg" for number in range(count)]
    folder.mkdir()
    for path in paths:
        coarse = rng.integers(0, 255, (10, 10, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((160, 120)).save(path, quality=80)
    return paths


def main() -> None:
    """Time both in turn."""
    options = arguments(__doc__)
    from torch.utils.data import DataLoader

    from distnorm.embedding import embed, open_source

    count = 200 if options.quick else 1500
    repeats = options.repeats or (1 if options.quick else 3)
    work = Path(tempfile.mkdtemp())
    times: dict[str, list[float]] = {"embed": [], "DataLoader": []}
    clock: dict[str, list[float]] = {"embed": [], "DataLoader": []}
    try:
        paths = make(work / "in", count)
        model = StandIn()
        loader = DataLoader(Pictures(paths, model.preprocess), batch_size=64, num_workers=2)

        def ours() -> None:
            shutil.rmtree(work / "store", ignore_errors=True)
            done = embed(model, open_source(work / "in"), work / "store", model="m", workers=2)
            assert done.written == count, done

        def usual() -> None:
            rows = [model.encode_pixels(np.asarray(batch)) for batch in loader]
            assert sum(map(len, rows)) == count

        for round_ in range(repeats + 1):
            for name, function in (("embed", ours), ("DataLoader", usual)):
                start, processor = time.perf_counter(), time.process_time()
                function()
                if round_:  # the first is for imports
                    times[name].append((time.process_time() - processor) / count * 1e3)
                    clock[name].append((time.perf_counter() - start) / count * 1e3)
    finally:
        shutil.rmtree(work)
    found = {name: summary(values) for name, values in times.items()}
    rows = [
        (
            f"{name}: ms of this process per picture",
            spread(value),
            "" if name != "embed" else "<= 0.5",
        )
        for name, value in found.items()
    ]
    rows += [(f"{name}: ms on the clock", spread(summary(v)), "") for name, v in clock.items()]
    settings = {"pictures": count, "workers": 2, "repeats": repeats}
    publish("embed_main", options, settings, {"processor": found, "clock": clock}, rows)


if __name__ == "__main__":
    main()
