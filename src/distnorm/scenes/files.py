"""A folder of scenes as pictures and captions, for trying the other commands by hand."""

from __future__ import annotations

from pathlib import Path

from distnorm.errors import DistnormError
from distnorm.scenes.sampling import generate
from distnorm.system.files import atomic_write

__all__ = ["save_scenes"]


def save_scenes(folder: Path, n: int, *, world: str = "matched", seed: int = 0) -> None:
    """Write ``n`` PNG pictures and ``captions.tsv`` (path, caption; five a picture).

    Raises
    ------
    DistnormError
        If the folder exists and is not empty, or as `generate`.
    """
    scenes = generate(n, world=world, seed=seed)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DistnormError(f"{folder}, which exists", "a new folder", "choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path\tcaption"]
    for number, scene in enumerate(scenes):
        name = f"{world}-{number:06d}.png"
        scene.image().save(folder / name)
        lines += [f"{name}\t{caption}" for caption in scene.captions()]
    with atomic_write(folder / "captions.tsv") as file:
        file.write(("\n".join(lines) + "\n").encode())
