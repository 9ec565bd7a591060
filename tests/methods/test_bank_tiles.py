import numpy as np
import pytest

from distnorm.exact import KLargest, show_products, tiles
from distnorm.methods.bank import inverted_softmax_bias, nearest_neighbor_bias
from distnorm.methods.coverage import Bank

TILES = [(1, 1), (3, 8), (7, 64), (510, 2040)]


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(params=TILES, ids=str)
def tile(request, monkeypatch):
    """Tiles of this size, each worth a thread of four."""
    monkeypatch.setattr(tiles, "TILE", list(request.param))
    monkeypatch.setattr(tiles, "_WORTH", 1)
    monkeypatch.setattr(tiles, "threads", lambda: 4)


def softmax_oracle(items, bank, beta, weights, own):
    scores = items.astype(np.float64) @ bank.astype(np.float64).T
    each = np.ones(len(bank)) if weights is None else weights
    counts = np.broadcast_to(each, scores.shape)
    if own is not None:
        counts = np.where(scores >= own, 0.0, counts)
    mean = (each @ bank.astype(np.float64)) / each.sum()
    exponents = beta * (scores - items.astype(np.float64) @ mean[:, None])
    peak = exponents.max(axis=1, keepdims=True)
    total = (counts * np.exp(exponents - peak)).sum(axis=1)
    some = total > 0
    share = np.log(np.where(some, total, 1) / np.where(some, counts.sum(axis=1), 1))
    log_mean = np.where(some, peak[:, 0] + share, 0)
    return items.astype(np.float64) @ mean + log_mean / beta


@pytest.mark.parametrize("beta", [5.0, 400.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("left_out", [False, True])
@pytest.mark.parametrize(("n", "m"), [(1, 41), (37, 23), (12, 1)])
def test_a_softmax_in_tiles_is_that_of_whole_rows(rng, tile, beta, weighted, left_out, n, m):
    items, bank = unit(rng.normal(0.3, 1, (n, 5))), unit(rng.normal(-0.2, 1, (m, 5)))
    weights = rng.uniform(0.2, 1, m) if weighted else None
    own = None
    if left_out:
        # Half-way between two scores of a row: float32 leaves out what float64 does.
        scores = np.sort(bank.astype(np.float64) @ items.astype(np.float64).T, axis=1)
        own = scores[:, -2:].mean(axis=1) if n > 1 else scores[:, -1] + 1
    found = inverted_softmax_bias(items, Bank(bank, weights, own), beta)
    wanted = softmax_oracle(items, bank, beta, weights, own)
    np.testing.assert_allclose(found, wanted, atol=3e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("here", [True, False], ids=["in tiles", "as other libraries"])
def test_an_item_of_which_no_row_tells_has_the_bias_of_the_mean(rng, here, monkeypatch):
    monkeypatch.setattr("distnorm.methods.bank.on_host", lambda x: here)
    items, bank = unit(rng.normal(0, 1, (3, 4))), unit(rng.normal(0, 1, (6, 4)))
    for beta in (2.0, 500.0):
        found = inverted_softmax_bias(items, Bank(bank, None, np.full(6, -2.0)), beta)
        np.testing.assert_allclose(found, items @ bank.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("order", ["drawn", "rising", "falling", "copies"])
@pytest.mark.parametrize(("n", "m", "k"), [(37, 50, 3), (1, 43, 7), (11, 30, 29), (5, 9, 1)])
def test_the_largest_in_tiles_are_those_of_a_sort(rng, tile, order, n, m, k):
    items, bank = rng.normal(0, 1, (n, 4)), rng.normal(0, 1, (m, 4))
    if order == "copies":
        bank = np.repeat(bank[: -(-m // 6)], 6, axis=0)[:m]
    elif order != "drawn":
        bank = bank[np.argsort(bank @ items[0])[:: 1 if order == "rising" else -1]]
    for dtype in (np.float16, np.float32, np.float64):
        left, right = items.astype(dtype), bank.astype(dtype)
        scores = left.astype(np.float64) @ right.astype(np.float64).T
        wanted = np.sort(scores, axis=1)[:, -k:].mean(axis=1)
        tolerance = 1e-14 if dtype == np.float64 else 3e-6
        np.testing.assert_allclose(
            nearest_neighbor_bias(left, right, k), wanted, atol=tolerance, rtol=0
        )


def test_stripes_hold_fewer_than_k_and_are_joined(rng, tile):
    left, right = rng.normal(0, 1, (1, 4)), rng.normal(0, 1, (40, 4))
    (band,) = show_products(left, lambda rows: right[rows], 40, lambda rows: KLargest(30, rows))
    first, *others = band
    for other in others:
        first.absorb(other)
    np.testing.assert_allclose(np.sort(first.values())[0], np.sort(right @ left[0])[-30:])


def test_an_error_while_a_block_is_read_reaches_the_caller(tile):
    def block(rows):
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        show_products(np.ones((9, 2)), block, 9, lambda rows: KLargest(1, rows))
