"""A drawn collection to serve: pictures with captions, and statistics from other drawings.

Nothing of what is searched is in the statistics, and what calibrates them is in neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distnorm.arrays import Float32
from distnorm.encoders import load_encoder
from distnorm.normalization import ScoreNormalization, make
from distnorm.scenes import generate
from distnorm.system.progress import StepProgress

__all__ = ["Drawn", "draw_collection"]

_WORLD, _SIZE, _SAMPLES, _LOG = "faded", 1000, 300, 400


@dataclass(frozen=True)
class Drawn:
    """What was drawn: a folder of PNG files, their names, captions and rows (n, d)."""

    pictures: Path
    names: list[str]
    captions: list[str]
    rows: Float32
    # dn, calibrated, and one whose statistics serve all other methods
    norms: list[ScoreNormalization]
    log: list[str]  # captions of yet other scenes, as people might ask
    model: str
    encoder: Any = field(repr=False)


def draw_collection(
    folder: Path,
    *,
    size: int = _SIZE,
    samples: int = _SAMPLES,
    seed: int = 0,
    progress: StepProgress | None = None,
) -> Drawn:
    """Draw ``size`` pictures into a folder, embed them, and fit on ``samples`` other ones.

    As many again calibrate. ``progress`` is called with (what is done now, steps done, steps in
    all).
    """

    def step(words: str, done: int) -> None:
        if progress is not None:
            progress(words, done, 4)

    step("drawing", 0)
    encoder = load_encoder("builtin")
    scenes = generate(size, world=_WORLD, seed=seed)
    names, images = [], []
    for number, scene in enumerate(scenes):
        names.append(f"scene-{number:04d}.png")
        images.append(scene.image())
        images[-1].save(folder / names[-1])
    step("embedding", 1)
    rows = encoder.encode_images(images)
    step("fitting", 2)
    others = generate(2 * samples, world=_WORLD, seed=seed + 1)
    pictures = encoder.encode_images([scene.image() for scene in others])
    texts = encoder.encode_texts([scene.captions()[0] for scene in others])
    norms = []
    for method in ("dn", "is"):
        norm = make(method, model=encoder.model_id)
        norm.fit(images=pictures[:samples], texts=texts[:samples])
        norms.append(norm.calibrate(images=pictures[samples:], texts=texts[samples:]))
    step("asking", 3)
    log = [scene.captions()[0] for scene in generate(min(_LOG, size), world=_WORLD, seed=seed + 2)]
    step("done", 4)
    captions = [scene.captions()[0] for scene in scenes]
    return Drawn(folder, names, captions, rows, norms, log, "builtin", encoder)
