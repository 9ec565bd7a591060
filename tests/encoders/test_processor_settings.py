"""Settings of pictures that a folder may hold: a recipe, none, or one line."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.encoders.processor import SETTINGS, recipe
from distnorm.system import schema

GOOD = {
    "do_resize": True, "size": {"shortest_edge": 24}, "resample": 3, "do_center_crop": True,
    "crop_size": {"height": 24, "width": 24}, "do_rescale": True, "rescale_factor": 1 / 255,
    "do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    "image_processor_type": "CLIPImageProcessor",
}  # fmt: skip
BAD = (None, "x", -1, 0, 2.5, True, [], {}, [1], [24, 24], {"height": 24}, {"height": None},
       {"height": "x", "width": 3}, [0.0, 0.0, 0.0], ["a", "b", "c"], float("nan"))  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_no_setting_is_a_traceback(name):
    image = pytest.importorskip("PIL.Image").fromarray(np.full((30, 40, 3), 7, np.uint8))
    assert recipe(schema.check(GOOD, SETTINGS, file="f", remedy="r"))
    for value in BAD:
        settings = {**GOOD, name: value}
        try:
            schema.check(settings, SETTINGS, file="preprocessor_config.json", remedy="save again")
        except DistnormError:
            continue
        pixels = recipe(settings)
        if pixels is not None:
            assert np.isfinite(pixels.scaled(pixels(image)[None])).all()
