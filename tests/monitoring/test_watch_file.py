"""States of a watch: the same bytes, one line for what is no state of this watch."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, Watch, storage


@pytest.fixture
def norm(rng):
    return distnorm.make("dn").fit(images=rows(rng), texts=rows(rng))


def rows(rng, n=60):
    return distnorm.normalize(rng.normal(1, 1, (n, 8)))


def test_a_state_is_the_same_bytes_each_time(norm, rng, tmp_path):
    watch = Watch(norm, window=20).update(images=rows(rng), texts=rows(rng, 17))
    for number in range(4):
        watch.save(tmp_path / f"{number}")
    Watch.load(tmp_path / "0", norm).save(tmp_path / "again")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_no_state_is_a_traceback(norm, rng, tmp_path):
    path = tmp_path / "state"
    watch = Watch(norm, window=20, false_alarm_rate=0.5)
    watch.update(images=rows(rng), texts=rows(rng, 5) * -1)
    watch.save(path)
    about, tensors, _ = storage.read(path)
    refused = 0
    changes = [(key, None) for key in about if key not in ("format_version", "watch")]
    changes += [
        (key, value) for key in about if key != "format_version"
        for value in (None, -1, "x", [], {}, {"image": -1, "text": 2}, 0.5)
    ]  # fmt: skip
    for number, (key, value) in enumerate(changes):
        other = copy.deepcopy(about)
        other[key] = value
        if number < len(about) - 2:
            del other[key]
        storage.write(path, other, tensors)
        try:
            Watch.load(path, norm).update(images=rows(rng)).to_dict()
        except DistnormError:
            refused += 1
    assert refused > 0.8 * len(changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[:3], lambda x: x[:, :5], lambda x: x * np.nan, lambda x: x.astype(np.float64),
        lambda x: x[0],
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused(norm, rng, tmp_path, change):
    path = tmp_path / "state"
    Watch(norm, window=20).update(images=rows(rng)).save(path)
    about, tensors, _ = storage.read(path)
    storage.write(path, about, {"image": np.ascontiguousarray(change(tensors["image"]))})
    with pytest.raises(DistnormError, match="state"):
        Watch.load(path, norm)


def test_other_files_are_no_states(norm, tmp_path):
    norm.save(tmp_path / "n")
    (tmp_path / "x").write_bytes(b"x" * 40)
    for name in ("n", "x", "none", "."):
        with pytest.raises(DistnormError):
            Watch.load(tmp_path / name, norm)
