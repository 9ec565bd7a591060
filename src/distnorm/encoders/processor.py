"""The image settings that Hugging Face models keep, ``preprocessor_config.json``, as `Pixels`.

A stored recipe resizes, crops, rescales and standardises: ((f * pixels - o) - m) / s, with o = 1
where ``rescale_offset`` is set. With k = 255 f that is (pixels / 255 - (o + m) / k) / (s / k).
What does more than this (patches of varying shape, masks) is left to the library's own processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.pixels import Pixels
from distnorm.encoders.upright import upright_rgb
from distnorm.system.schema import (
    Mismatch,
    either,
    flag,
    list_of,
    number,
    optional,
    record,
    text,
    whole,
)

__all__ = ["SETTINGS", "ProcessorPixels", "pixels_of_processor", "recipe"]

_SHORTEST = ("CLIP", "ChineseCLIP", "Flava", "Align", "EfficientNet")
_EDGES = ("shortest_edge", "longest_edge", "height", "width")
_SWITCHES = (
    "do_resize",
    "do_pad",
    "do_center_crop",
    "do_rescale",
    "do_normalize",
    "rescale_offset",
    "include_top",
)
_RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}


def _resample(value: Any, place: str) -> None:
    if str(value).lower() not in _RESAMPLE:
        raise Mismatch(place, value, f"one of {', '.join(_RESAMPLE)}")


_pixels = whole(1, 1 << 14)
_size = optional(
    either(_pixels, list_of(_pixels, 2), record({}, dict.fromkeys(_EDGES, optional(_pixels))))
)
_positive = number(1e-9)
SETTINGS = record(
    {},
    {
        **dict.fromkeys(_SWITCHES, optional(flag)),
        "size": _size,
        "crop_size": _size,
        "image_mean": optional(either(number(), list_of(number(), 3))),
        "image_std": optional(either(_positive, list_of(_positive, 3))),
        "rescale_factor": optional(_positive),
        "resample": optional(either(whole(0, 5), _resample)),
        "image_processor_type": optional(text),
        "feature_extractor_type": optional(text),
    },
)
"""Form of a ``preprocessor_config.json``."""


def recipe(settings: Mapping[str, Any]) -> Pixels | None:
    """Settings of a ``preprocessor_config.json`` as a recipe; None if it takes more than that."""
    if not settings.get("do_resize", True) or settings.get("include_top") or "size" not in settings:
        return None
    if settings.get("do_pad") or settings.get("max_num_patches") or settings.get("patch_size"):
        return None
    kind = str(settings.get("image_processor_type") or settings.get("feature_extractor_type") or "")
    aim = _aim(settings["size"], kind.startswith(_SHORTEST))
    if aim is None:
        return None
    resize, before = aim
    size = before
    if settings.get("do_center_crop", kind.startswith(_SHORTEST)):
        crop = _aim(settings.get("crop_size") or before[0], shortest=False)
        if crop is None or crop[1][0] > before[0] or crop[1][1] > before[1]:
            return None
        size = crop[1]
    elif resize == "shortest":
        return None  # each picture keeps a shape of its own
    scale = float(settings.get("rescale_factor") or 1 / 255)
    if not settings.get("do_rescale", True):
        scale = 1.0
    offset = 1.0 if settings.get("rescale_offset") else 0.0
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    if settings.get("do_normalize", True):
        mean = _channels(settings.get("image_mean"), 0.5)
        std = _channels(settings.get("image_std"), 0.5)
    k = 255 * scale
    resample = 3 if settings.get("resample") is None else settings["resample"]
    return Pixels(
        size,
        resize=resize,
        mean=tuple((offset + m) / k for m in mean),
        std=tuple(s / k for s in std),
        resample=_RESAMPLE.get(str(resample).lower(), resample),
        before=before,
        centre="floor",
    )


def pixels_of_processor(processor: Any) -> Any:
    """A processor's work without the library, if it comes out the same; else the processor's own.

    The recipe hands over a quarter of the bytes, without transformers in workers; both are tried.
    """
    whole = ProcessorPixels(processor)
    light = recipe({"image_processor_type": type(processor).__name__, **processor.to_dict()})
    if light is not None:
        try:
            same = all(
                np.allclose(light.scaled(light(image)[None])[0], whole(image), atol=1e-5, rtol=0)
                for image in _trials()
            )
        except ValueError:
            same = False
        if same:
            return light
    return whole


class ProcessorPixels:
    """A processor of transformers as a callable: a PIL image to one float32 array.

    Models of patches (SigLIP 2, native shapes) get per patch: values, mask, grid height and width.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, image: Any) -> npt.NDArray[np.float32]:
        """One array of the PIL image."""
        image = upright_rgb(image)
        # Stated, not guessed: of a picture with one pixel the channels cannot be guessed.
        output = self.processor(
            images=image, return_tensors="np", input_data_format="channels_last"
        )
        values = np.asarray(output["pixel_values"][0], dtype=np.float32)
        if "spatial_shapes" not in output:
            return values
        more = np.empty((len(values), 3), dtype=np.float32)
        more[:, 0] = output["pixel_attention_mask"][0]
        more[:, 1:] = output["spatial_shapes"][0]
        return np.concatenate([values, more], axis=1)


def _aim(size: Any, shortest: bool) -> tuple[str, tuple[int, int]] | None:
    """Kind of resizing and its height and width."""
    if size is None:
        return None
    if isinstance(size, int):
        return "shortest" if shortest else "squash", (size, size)
    if isinstance(size, Sequence):
        return "squash", (int(size[0]), int(size[1]))
    sides = {key: value for key, value in dict(size).items() if value is not None}
    if set(sides) == {"shortest_edge"}:
        return "shortest", (int(sides["shortest_edge"]),) * 2
    if set(sides) == {"height", "width"}:
        return "squash", (int(sides["height"]), int(sides["width"]))
    return None


def _channels(values: Any, default: float) -> tuple[float, ...]:
    if values is None:
        return (default,) * 3
    return (float(values),) * 3 if isinstance(values, int | float) else tuple(map(float, values))


def _trials() -> list[Any]:
    from PIL import Image

    rng = np.random.default_rng(0)
    shapes = ((37, 54), (61, 36), (40, 40), (301, 402), (420, 290))
    return [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in shapes]
