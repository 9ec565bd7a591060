"""A model of a few numbers, for tests; in a module of its own, as worker processes import it."""

from __future__ import annotations

import os
import signal
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from distnorm.encoders.base import Encoder

SIDE = 6
MIX = np.random.default_rng(5).standard_normal((SIDE * SIDE * 3, 8)).astype(np.float32)


def small(image):
    return np.asarray(image.resize((SIDE, SIDE)), dtype=np.uint8)


@dataclass(frozen=True)
class Deadly:
    """Kills its process at pictures 13 wide; with a ``mark``, only the first time."""

    mark: str | None = None

    def __call__(self, image):
        if image.width == 13 and (self.mark is None or not Path(self.mark).exists()):
            if self.mark is not None:
                Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if image.width == 14:
            raise RuntimeError("no\nthank you")
        return small(image)


@dataclass(frozen=True)
class Slow:
    """Takes its time over pictures 13 wide."""

    seconds: float

    def __call__(self, image):
        if image.width == 13:
            time.sleep(self.seconds)
        return small(image)


@dataclass(frozen=True)
class Stillborn:
    """Cannot be had in another process."""

    def __reduce__(self):
        return os._exit, (3,)

    def __call__(self, image):
        return small(image)


class Tiny(Encoder):
    def __init__(self, preprocess=small, delay=0.0, model_id="tiny"):
        self.model_id, self.dimension, self.max_tokens = model_id, 8, 5
        self.preprocess, self.delay = preprocess, delay
        self.batches, self.lengths = [], []

    def encode_pixels(self, pixels):
        time.sleep(self.delay)
        self.batches.append(len(pixels))
        flat = pixels.reshape(len(pixels), -1).astype(np.float32) / 255 + 0.1
        rows = flat @ MIX
        rows[pixels.max(axis=(1, 2, 3)) == 77] = np.nan
        return rows

    def _encode_texts(self, texts):
        time.sleep(self.delay)
        self.lengths.append([len(text.split()) for text in texts])
        seeds = [zlib.crc32(text.encode()) for text in texts]
        return np.array([np.random.default_rng(s).standard_normal(8) for s in seeds], np.float32)


def photos(folder, count, start=0):
    """Small pictures of noise, each another."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(start, start + count):
        pixels = np.random.default_rng(n).integers(0, 255, (8, 9, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n:03}.png")
    return folder
