"""Views of pictures and their averages."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError

Image = pytest.importorskip("PIL.Image", reason="views are of PIL images")

from distnorm.augmentation.views import VIEWS, augmented_rows, count_views, random_crops, views_of


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
    kinds = ("identity", "flip", "five-crop", "scales")
    assert set(kinds) < set(VIEWS)
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


def test_numbers_of_views_can_be_chosen(picture):
    views = views_of(picture, ("scales:3", "random:2", "random"), crop=0.5)
    assert len(views) == count_views(("scales:3", "random:2", "random")) == 13
    assert [view.size for view in views] == [(40, 20), (20, 10), (10, 5)] + [(40, 40)] * 10


def test_random_crops_are_those_of_their_seed_and_picture(picture):
    def bytes_of(image, **options):
        return [view.tobytes() for view in random_crops(image, 5, **options)]

    assert bytes_of(picture) == bytes_of(picture.copy())
    assert bytes_of(picture, seed=1) != bytes_of(picture)
    assert len(set(bytes_of(picture))) == 5
    other = picture.copy()
    other.putpixel((0, 0), (9, 9, 9))
    assert bytes_of(other) != bytes_of(picture)
    assert bytes_of(picture.convert("RGBA")) == bytes_of(picture)


def test_random_crops_cover_the_share_and_shape_they_are_said_to():
    # Red counts columns and green rows, so a view's corners tell what was cut out.
    pixels = np.zeros((200, 250, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(250), np.arange(200)[:, None]
    views = random_crops(Image.fromarray(pixels), 400, size=32)
    assert {view.size for view in views} == {(32, 32)}
    corners = np.array([[np.asarray(v)[0, 0], np.asarray(v)[-1, -1]] for v in views], dtype=float)
    # Between the centres of the first and the last pixel lie 31 / 32 of a side.
    sides = (corners[:, 1] - corners[:, 0])[:, :2] * 32 / 31
    areas = np.abs(sides[:, 0]) * sides[:, 1] / (200 * 250)
    shapes = np.abs(sides[:, 0]) / sides[:, 1]
    assert 0.06 < areas.min() < 0.12
    assert 0.9 < areas.max() < 1.05
    assert abs(areas.mean() - 0.5) < 0.05
    assert 0.7 < shapes.min() < 0.85
    assert 1.2 < shapes.max() < 1.4
    mirrored = np.mean(sides[:, 0] < 0)
    assert 0.42 < mirrored < 0.58


def test_a_picture_of_no_wanted_shape_gives_its_middle():
    line = Image.fromarray(np.arange(100, dtype=np.uint8)[None].repeat(2, 0))
    views = random_crops(line, 3, size=4)
    middles = [np.asarray(view)[..., 0] for view in views]
    assert all(45 < middle.min() <= middle.max() < 55 for middle in middles)
