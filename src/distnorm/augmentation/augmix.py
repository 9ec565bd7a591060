"""AugMix: a picture mixed with three chains of small changes to it (Hendrycks et al., ICLR 2020).

    mixed = m x + (1 - m) * sum over i = 1..3 of w_i chain_i(x)
    w ~ Dirichlet(1, 1, 1)    m ~ Beta(1, 1)    chain_i: 1 to 3 of `OPERATIONS`, drawn evenly

The changes are those of severity 1, as prompt tuning uses them: level u ~ U(0.1, 1), and of it
rotations up to 2 degrees, shears up to 0.03, shifts up to a thirtieth of the side. TPT's authors
mix standardised pixels; as the weights sum to 1 that is the same as mixing pixels, which are
rounded to whole numbers here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from distnorm.arrays import Float64
from distnorm.errors import require

__all__ = ["OPERATIONS", "augmix"]

_AFFINE, _BILINEAR = 0, 2  # of PIL


def augmix(image: Any, rng: np.random.Generator) -> Any:
    """One mixture of a PIL image in RGB, of the same size."""
    weights, share = rng.dirichlet((1.0, 1.0, 1.0)), rng.beta(1.0, 1.0)
    total = share * _pixels(image)
    for weight in weights:
        changed = image
        for _ in range(rng.integers(1, 4)):
            changed = OPERATIONS[rng.integers(len(OPERATIONS))](changed, rng)
        total += (1 - share) * weight * _pixels(changed)
    return require("PIL.Image", "demo").fromarray(np.rint(total).astype(np.uint8))


def _pixels(image: Any) -> Float64:
    return np.asarray(image, dtype=np.float64)


def _level(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.1, 1.0))


def _signed(value: float, rng: np.random.Generator) -> float:
    return -value if rng.random() > 0.5 else value


def _affine(image: Any, *numbers: float) -> Any:
    return image.transform(image.size, _AFFINE, numbers, resample=_BILINEAR)


def _autocontrast(image: Any, rng: np.random.Generator) -> Any:
    return require("PIL.ImageOps", "demo").autocontrast(image)


def _equalize(image: Any, rng: np.random.Generator) -> Any:
    return require("PIL.ImageOps", "demo").equalize(image)


def _posterize(image: Any, rng: np.random.Generator) -> Any:
    # At severity 1 the level takes no bit away from four.
    return require("PIL.ImageOps", "demo").posterize(image, 4)


def _solarize(image: Any, rng: np.random.Generator) -> Any:
    return require("PIL.ImageOps", "demo").solarize(image, 256 - int(_level(rng) * 25.6))


def _rotate(image: Any, rng: np.random.Generator) -> Any:
    return image.rotate(_signed(int(_level(rng) * 3), rng), resample=_BILINEAR)


def _shear_x(image: Any, rng: np.random.Generator) -> Any:
    return _affine(image, 1, _signed(_level(rng) * 0.03, rng), 0, 0, 1, 0)


def _shear_y(image: Any, rng: np.random.Generator) -> Any:
    return _affine(image, 1, 0, 0, _signed(_level(rng) * 0.03, rng), 1, 0)


def _shift_x(image: Any, rng: np.random.Generator) -> Any:
    return _affine(image, 1, 0, _signed(int(_level(rng) * image.size[0] / 30), rng), 0, 1, 0)


def _shift_y(image: Any, rng: np.random.Generator) -> Any:
    return _affine(image, 1, 0, 0, 0, 1, _signed(int(_level(rng) * image.size[1] / 30), rng))


OPERATIONS: tuple[Callable[[Any, np.random.Generator], Any], ...] = (
    _autocontrast,
    _equalize,
    _posterize,
    _rotate,
    _solarize,
    _shear_x,
    _shear_y,
    _shift_x,
    _shift_y,
)
"""Changes, each of (picture, generator)."""
