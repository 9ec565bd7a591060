"""Views of pictures and their averages."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError

Image = pytest.importorskip("PIL.Image", reason="views are of PIL images")

from distnorm.augmentation.views import VIEWS, augmented_rows, count_views, views_of


class Corners:
    """Rows are the four corner pixels' red, and a constant."""

    def encode_images(self, images):
        rows = []
        for image in images:
            pixels = np.asarray(image, dtype=np.float32)[..., 0]
            rows.append([pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1], 50])
        found = np.array(rows, dtype=np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture
def picture():
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[..., 0] = np.arange(80)
    return Image.fromarray(pixels)


def test_views_are_as_many_and_as_large_as_said(picture):
    kinds = tuple(VIEWS)
    views = views_of(picture, kinds, crop=0.5)
    assert len(views) == count_views(kinds) == 9
    assert [view.size for view in views] == [(80, 40)] * 2 + [(40, 20)] * 6 + [(20, 10)]
    assert np.asarray(views[1])[0, 0, 0] == 79
    assert [np.asarray(view)[0, 0, 0] for view in views[2:7]] == [0, 40, 0, 40, 20]


def test_rows_are_the_unit_mean_of_unit_views(picture):
    encoder = Corners()
    each = encoder.encode_images(views_of(picture, ("identity", "flip", "five-crop")))
    mean = each.mean(axis=0)
    many = augmented_rows(encoder, [picture] * 90)
    assert many.shape == (90, 5)
    np.testing.assert_allclose(many, np.tile(mean / np.linalg.norm(mean), (90, 1)), atol=1e-6)


@pytest.mark.parametrize(("kinds", "crop"), [(("spin",), 0.9), ((), 0.9), (("scales",), 1.5)])
def test_what_is_no_view_is_said(picture, kinds, crop):
    with pytest.raises(DistnormError):
        views_of(picture, kinds, crop=crop)
