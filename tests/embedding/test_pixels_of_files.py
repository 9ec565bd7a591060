"""One file, one vector: what `embed` makes of a file, and an encoder of the opened file."""

from __future__ import annotations

import importlib
import json
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

from distnorm import DistnormError

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
pytest.importorskip("pyarrow", reason="stores need pyarrow")

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from distnorm.embedding import embed, open_source
from distnorm.embedding.pictures import open_picture
from distnorm.encoders.pixels import Pixels
from distnorm.encoders.processor import ProcessorPixels
from distnorm.encoders.st import _RawPicture
from distnorm.encoders.upright import upright_rgb
from distnorm.store.columns import read_names
from distnorm.store.vectors import read_embeddings

tiny_encoder = importlib.import_module("tiny_encoder")
SHAPE = (30, 40)


def noise(*more, top=255, kind=np.uint8):
    return np.random.default_rng(3).integers(0, top, (*SHAPE, *more)).astype(kind)


def turned(path, orientation=6, **options):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(noise(3)).save(path, exif=exif, **options)


def layered(mode):
    image = Image.fromarray(noise(3)).convert(mode)
    image.putalpha(Image.fromarray(noise()))
    return image


def palette(path):
    Image.fromarray(noise(3)).quantize(20).save(path, transparency=bytes(range(0, 240, 12)))


WRITERS = {
    "rgb.png": lambda p: Image.fromarray(noise(3)).save(p),
    "rgb.jpg": lambda p: Image.fromarray(noise(3)).save(p),
    "turned.jpg": turned,
    "turned.png": lambda p: turned(p, 8),
    "turned.webp": lambda p: turned(p, 3, lossless=True),
    "turned.tif": lambda p: turned(p, 5),
    "rgba.png": lambda p: layered("RGB").save(p),
    "rgba.webp": lambda p: layered("RGB").save(p, lossless=True),
    "la.png": lambda p: layered("L").save(p),
    "palette.png": lambda p: Image.fromarray(noise(3)).quantize(20).save(p),
    "transparent-palette.png": palette,
    "transparent-colour.png": lambda p: Image.fromarray(noise(3) // 128 * 128).save(
        p, transparency=(0, 128, 0)),
    "transparent-grey.png": lambda p: Image.fromarray(noise() // 64).save(p, transparency=2),
    "palette.gif": lambda p: Image.fromarray(noise(3)).quantize(20).save(p, transparency=3),
    "grey.png": lambda p: Image.fromarray(noise()).save(p),
    "bit.png": lambda p: Image.fromarray(noise() > 99).save(p),
    "bit.tif": lambda p: Image.fromarray(noise() > 99).save(p),
    "16.png": lambda p: Image.fromarray(noise(top=65535, kind=np.uint16)).save(p),
    "16.tif": lambda p: Image.fromarray(noise(top=65535, kind=np.uint16)).save(p),
    "16.pgm": lambda p: Image.fromarray(noise(top=65535, kind=np.uint16)).save(p),
    "32.tif": lambda p: Image.fromarray(noise(top=2**20, kind=np.int32)).save(p),
    "float.tif": lambda p: Image.fromarray(noise(kind=np.float32) / 300 - 0.2).save(p),
    "cmyk.jpg": lambda p: Image.fromarray(noise(3)).convert("CMYK").save(p),
    "cmyk.tif": lambda p: Image.fromarray(noise(3)).convert("CMYK").save(p),
    "ycbcr.tif": lambda p: Image.fromarray(noise(3)).convert("YCbCr").save(p),
    "lab.tif": lambda p: Image.fromarray(noise(3)).convert("LAB").save(p),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, write in WRITERS.items():
        write(folder / name)
    return folder


class Processor:
    """A picture processor as transformers has them, which takes RGB alone."""

    def __call__(self, images, **_):
        assert images.mode == "RGB"
        return {"pixel_values": [np.asarray(images.resize((8, 8)), dtype=np.float32)]}


def test_embed_and_encode_images_agree_on_every_mode(files, tmp_path):
    encoder = tiny_encoder.Tiny()
    # In full: otherwise JPEGs far larger than the model's input are decoded at a fraction.
    done = embed(encoder, open_source(files), tmp_path / "s", model="t", workers=0, full=True)
    assert (done.written, done.failed) == (len(WRITERS), 0)
    stored = dict(zip(read_names(tmp_path / "s"), read_embeddings(tmp_path / "s"), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in WRITERS:
            with Image.open(files / name) as opened:
                row = encoder.encode_images([opened])[0]
            np.testing.assert_allclose(stored[name], row, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("name", WRITERS)
def test_every_preprocess_makes_the_same_of_a_file(files, name):
    expected = open_picture(files / name)[0]
    assert expected.mode == "RGB"
    kinds = [Pixels((16, 16)), ProcessorPixels(Processor()), lambda x: _RawPicture()(x)[()]]
    for preprocess in kinds:
        with Image.open(files / name) as opened:
            np.testing.assert_array_equal(preprocess(opened), preprocess(expected))


def test_the_built_in_model_makes_the_same_of_a_file(files):
    pytest.importorskip("onnxruntime", reason="the built-in model needs onnxruntime")
    from distnorm.encoders.builtin import pixels_of

    for name in WRITERS:
        with Image.open(files / name) as opened:
            found = pixels_of(opened)
        np.testing.assert_array_equal(found, pixels_of(open_picture(files / name)[0]), name)


def test_what_is_upright_already_stays_as_it_is():
    image = Image.new("RGB", (3, 2))
    assert upright_rgb(image) is image
    for mode in ("La", "RGBa", "PA", "HSV", "I;16B", "1"):
        assert upright_rgb(Image.new(mode, (3, 2))).mode == "RGB"


def test_only_pictures_are_pictures():
    encoder = tiny_encoder.Tiny()
    for wrong in ("a.png", np.zeros((4, 4, 3), np.uint8), None):
        with pytest.raises(DistnormError, match=r"as a picture; expected a PIL image.*Image\.open"):
            encoder.encode_images([wrong])
    endless = Image.fromarray(np.full((4, 4), np.nan, np.float32))
    with pytest.raises(ValueError, match="no finite numbers"):
        encoder.encode_images([endless])


def test_twelve_bits_in_sixteen_are_noticed(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for n, top in enumerate((4095, 1000, 60_000)):
        Image.fromarray(noise(top=top, kind=np.uint16)).save(folder / f"{n}.png")
    Image.fromarray(np.zeros(SHAPE, np.uint16)).save(folder / "black.png")
    done = embed(tiny_encoder.Tiny(), open_source(folder), tmp_path / "s", model="t", workers=0)
    assert done.written == 4
    (note,) = done.notes
    assert note.startswith("2 pictures keep 12 bits or fewer in 16")
    assert "by 16" in note
    with pytest.warns(UserWarning, match="12 bits or fewer"):
        tiny_encoder.Tiny().encode_images([Image.open(folder / "0.png")])


def twelve_bits(path):
    """A TIFF of two pixels that says that it has twelve bits: 0 and 4,095."""
    entries = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, 1),
               (273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 3)]  # fmt: skip
    body = b"\x00\x0f\xff\x00"
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHLL", *e) for e in entries)
    path.write_bytes(struct.pack("<2sHL", b"II", 42, 12) + body + table + bytes(4))


def test_a_file_that_says_twelve_bits_is_spread_over_them(tmp_path):
    twelve_bits(tmp_path / "a.tif")
    pixels = np.asarray(open_picture(tmp_path / "a.tif")[0])
    assert pixels[0, :, 0].tolist() == [0, 255]
    with Image.open(tmp_path / "a.tif") as opened:
        np.testing.assert_array_equal(np.asarray(upright_rgb(opened)), pixels)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("at", ["first", "last"])
@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_a_png_with_many_notes_has_its_pixels(tmp_path, kind, at):
    Image.fromarray(noise(3)).save(tmp_path / "a.png")
    plain = (tmp_path / "a.png").read_bytes()
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(noise(3)).save(tmp_path / "b.png", exif=exif)
    large = zlib.compress(bytes(1_500_000))
    head = {b"iCCP": b"p\0\0", b"zTXt": b"note\0\0", b"iTXt": b"note\0\1\0\0\0"}[kind]
    for name in ("a.png", "b.png"):
        data = (tmp_path / name).read_bytes()
        place = 33 if at == "first" else len(data) - 12
        (tmp_path / name).write_bytes(data[:place] + chunk(kind, head + large) + data[place:])
    (tmp_path / "plain.png").write_bytes(plain)
    pixels = [np.asarray(open_picture(tmp_path / f"{n}.png")[0]) for n in ("plain", "a", "b")]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    np.testing.assert_array_equal(np.rot90(pixels[0], -1), pixels[2])


def test_photos_through_the_built_in_model_are_told_of_once(tmp_path):
    pytest.importorskip("onnxruntime", reason="the built-in model needs onnxruntime")
    from asking import invoke

    from distnorm.scenes import save_scenes

    save_scenes(tmp_path / "scenes", 4)
    tiny_encoder.photos(tmp_path / "photos", 4)
    for name, told in (("scenes", 0), ("photos", 1)):
        out = tmp_path / f"{name}-store"
        done = invoke("embed", tmp_path / name, "--model", "builtin", "--out", out, "--workers",
                      "0", "--json", "-")  # fmt: skip
        assert done.exit_code == 0, done.output
        assert done.stderr.count("knows drawn scenes only") == told
        assert str(json.loads(done.stdout)["notes"]).count("knows drawn scenes only") == told
        done = invoke("search", out, "a red star", "--json", "-")
        assert done.stderr.count("knows drawn scenes only") == told
        assert len(json.loads(done.stdout)["notes"]) == told
