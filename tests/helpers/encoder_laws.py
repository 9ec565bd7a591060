"""What holds for the encoder of any family, and the pictures and texts to try it with."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np

TEXTS = ["a red bus", "two dogs on a sofa", "a", "the bus and the dog and the red sofa", "dog"]
WORDS = sorted({word for text in TEXTS for word in text.split()})


def pictures():
    """Noise of several shapes and modes."""
    from PIL import Image

    rng = np.random.default_rng(5)
    shapes = ((40, 61), (53, 32), (32, 32), (9, 90), (1, 1))
    found = [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in shapes]
    return [*found, found[0].convert("L"), found[1].convert("RGBA")]


def check(encoder, images=True) -> None:
    """The protocol: unit float32 rows, whatever the batch, the order and the process."""
    check_rows(encoder, encoder.encode_texts, TEXTS)
    assert encoder.encode_texts([]).shape == (0, encoder.dimension)
    counts = encoder.count_tokens(TEXTS)
    assert counts.shape == (len(TEXTS),)
    assert counts[3] > counts[0] > 0
    assert encoder.temperature is None or encoder.temperature > 0
    assert all("{c}" in prompt for prompt in encoder.prompts)
    assert encoder.dimension > 0
    travelled = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_allclose(
        travelled.encode_texts(TEXTS), encoder.encode_texts(TEXTS), atol=1e-6
    )
    if not images:
        assert encoder.preprocess is None
        return
    check_rows(encoder, encoder.encode_images, pictures())
    packed = pickle.dumps(encoder.preprocess)
    assert len(packed) < 20_000, "preprocess holds weights"
    again = pickle.loads(packed)
    np.testing.assert_array_equal(again(pictures()[0]), encoder.preprocess(pictures()[0]))


def check_rows(encoder, encode, given) -> None:
    rows = encode(given)
    assert rows.shape == (len(given), encoder.dimension)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.linalg.matrix_rank(rows - rows.mean(0)) > 1, "all rows are alike"
    raw = encode(given, normalize=False)
    np.testing.assert_allclose(
        raw / np.linalg.norm(raw, axis=1, keepdims=True), rows, atol=1e-5, rtol=0
    )
    np.testing.assert_allclose(encode(given, batch_size=2), rows, atol=1e-5)
    np.testing.assert_allclose(encode(given[::-1], batch_size=3)[::-1], rows, atol=1e-5)


def same_in_a_fresh_process(encoder, folder) -> None:
    """A worker that has nothing but the pickle makes the same pixels, without torch."""
    (folder / "preprocess.pkl").write_bytes(pickle.dumps(encoder.preprocess))
    pictures()[0].save(folder / "picture.png")
    code = (
        "import json, pickle, sys; from PIL import Image\n"
        "found = pickle.load(open('preprocess.pkl', 'rb'))(Image.open('picture.png'))\n"
        "print(json.dumps([float(found.sum()), 'torch' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    total, torch_loaded = json.loads(done.stdout)
    assert total == float(encoder.preprocess(pictures()[0]).sum())
    assert not torch_loaded
