"""Views of pictures and their averages."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError

Image = pytest.importorskip("PIL.Image", reason="views are of PIL images")

from distnorm.augmentation import augmix
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


def test_a_mixture_is_the_picture_and_three_chains(picture, monkeypatch):
    def brighter(image, rng):
        return Image.fromarray(np.asarray(image) + np.uint8(10))

    monkeypatch.setattr(augmix, "OPERATIONS", (brighter,))
    found = np.asarray(augmix.augmix(picture, np.random.default_rng(4)))
    rng = np.random.default_rng(4)
    weights, own = rng.dirichlet([1, 1, 1]), rng.beta(1, 1)
    lengths = []
    for _ in range(3):
        lengths.append(rng.integers(1, 4))
        [rng.integers(1) for _ in range(lengths[-1])]
    # Each link of a chain adds 10, so the mixture is the picture and so much more.
    more = 10 * (1 - own) * float(np.dot(weights, lengths))
    np.testing.assert_array_equal(found, np.rint(np.asarray(picture, dtype=float) + more))


def test_changes_are_small_ones_of_the_kind_they_are_called():
    from PIL import ImageOps

    pixels = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)

    def all_of(name, count=40):
        operation = getattr(augmix, f"_{name}")
        assert operation in augmix.OPERATIONS
        rng = np.random.default_rng(1)
        return {operation(image, rng).tobytes() for _ in range(count)}

    assert len(augmix.OPERATIONS) == 9
    assert all_of("autocontrast") == {ImageOps.autocontrast(image).tobytes()}
    assert all_of("equalize") == {ImageOps.equalize(image).tobytes()}
    assert all_of("posterize") == {(pixels & 0xF0).tobytes()}
    solarized = {np.where(pixels < t, pixels, 255 - pixels).tobytes() for t in range(231, 255)}
    assert all_of("solarize") < solarized
    assert all_of("rotate") == {image.rotate(d, resample=2).tobytes() for d in (-2, -1, 0, 1, 2)}
    for axis, name in ((1, "shift_x"), (0, "shift_y")):
        expected = set()
        for by in (-2, -1, 0, 1, 2):
            moved = np.roll(pixels, -by, axis=axis)
            gone = slice(90 - by, 90) if by > 0 else slice(0, -by)
            moved[(slice(None), gone) if axis else (gone,)] = 0
            expected.add(moved.tobytes())
        assert all_of(name) == expected
    for axis, name in ((1, "shear_x"), (0, "shear_y")):
        ends = np.take(pixels, 0, axis=1 - axis)
        for changed in all_of(name, 10):
            sheared = np.frombuffer(changed, np.uint8).reshape(pixels.shape)
            # The first line hardly moves; no line moves by more than 0.03 of the side.
            kept = np.take(sheared, 0, axis=1 - axis).astype(float) - ends
            assert np.median(np.abs(kept)) < 3
            assert sheared.tobytes() != pixels.tobytes()


def test_crops_are_mixed_where_that_is_asked_for(picture):
    plain, mixed = (random_crops(picture, 4, size=32, mix=mix) for mix in (False, True))
    assert plain[0].tobytes() != mixed[0].tobytes()
    again = random_crops(picture, 4, size=32, mix=True)
    assert [view.tobytes() for view in mixed] == [view.tobytes() for view in again]
    assert {view.size for view in mixed} == {(32, 32)}
