"""Small synthetic inputs, the same on every machine: float64 rows, files of them, fitted files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import distnorm

__all__ = ["pairs", "unit", "write_inputs"]


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pairs(n: int, d: int, seed: int, *, noise: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Raw rows of both sides, row i belonging to row i, with a modality gap."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, d))
    gaps = np.random.default_rng(99).standard_normal((2, d)) * 0.7
    one, two = (shared + noise * rng.standard_normal((n, d)) + gap for gap in gaps)
    return one, two


def write_inputs(folder: Path) -> None:
    """What the commands of the cases read.

    image, text (60 rows that belong together), fit_image, fit_text (50 others), more_image,
    more_text (40 of the same kind), moved (120 images from elsewhere), raw_image, raw_text;
    classes, labels, human, owner; dn, nnn, auto, calibrated, other, images_only (.safetensors).
    """
    raw = pairs(60, 12, 1)
    files = dict(zip(("raw_image", "raw_text"), raw, strict=True))
    files |= dict(zip(("image", "text"), map(unit, raw), strict=True))
    for names, n, seed in (
        (("fit_image", "fit_text"), 50, 2),
        (("more_image", "more_text"), 40, 3),
    ):
        files |= dict(zip(names, map(unit, pairs(n, 12, seed)), strict=True))
    files["moved"] = unit(pairs(120, 12, 4)[0] + 3 * np.eye(12)[3])
    files["classes"] = files["text"][:8]
    rng = np.random.default_rng(5)
    labels = np.arange(60) % 8
    files["labels"] = labels
    files["photos"] = unit(files["text"][labels] + 0.35 * rng.standard_normal((60, 12)))
    files["human"] = rng.integers(0, 5, 60).astype(np.float64)
    files["owner"] = np.arange(60) * 7 % 60
    for name, rows in files.items():
        np.save(folder / f"{name}.npy", rows)
    (folder / "class_names.txt").write_text("\n".join("abcdefga") + "\n")
    (folder / "human.csv").write_text(
        "caption,score\n" + "".join(f"c{i},{value:g}\n" for i, value in enumerate(files["human"]))
    )
    (folder / "captions.txt").write_text("\n".join(_sentences(60, 6)) + "\n")
    (folder / "references.txt").write_text("\n".join(_sentences(120, 7)) + "\n")
    np.save(folder / "references.npy", unit(pairs(120, 12, 8)[1]))
    fitted = {"images": files["fit_image"], "texts": files["fit_text"]}
    for method in ("dn", "nnn"):
        distnorm.make(method, model="m", prompt="a photo of {}.").fit(**fitted).save(
            folder / f"{method}.safetensors"
        )
    distnorm.make("auto").fit(**fitted).choose().save(folder / "auto.safetensors")
    distnorm.make("is").fit(images=files["fit_image"]).save(folder / "images_only.safetensors")
    other = {"images": files["more_image"], "texts": files["more_text"]}
    distnorm.make("dn", model="m", prompt="a photo of {}.").fit(**other).save(
        folder / "other.safetensors"
    )
    norm = distnorm.make("dn2", model="m").fit(**fitted)
    norm.calibrate(**other).save(folder / "calibrated.safetensors")


def _sentences(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    words = ("a", "red", "blue", "star", "circle", "near", "above", "small", "large", "square")
    return [" ".join(words[w] for w in rng.integers(0, len(words), 7)) for _ in range(n)]
