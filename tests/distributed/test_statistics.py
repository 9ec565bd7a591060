"""A fit on a cluster gives the file that a local one gives."""

import json
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm.cli.main import cli
from distnorm.errors import DistnormError
from distnorm.fitting import Inputs, Reading, fit_inputs

pytest.importorskip("pyarrow")
pytest.importorskip("ray", reason="needs the extra 'ray'")
from vector_sets import lance_set, npy_folder, parquet_folder

from distnorm.distributed import fit, sources
from distnorm.distributed.statistics import open_remote


@pytest.fixture
def small(monkeypatch, rows):
    """Stretches of 100 rows."""
    monkeypatch.setattr(sources, "FRAGMENT_BYTES", 100 * rows.shape[1] * 4)


def fitted(method, inputs, opened=None, **settings):
    norm = distnorm.make(method, **settings.pop("made", {}))
    fit_inputs(norm, Inputs(inputs, opened=opened), **settings)
    return norm


def assert_same(found, expected):
    assert found.to_dict() == expected.to_dict()
    assert found.notes == expected.notes
    for side in found.sides:
        one, two = found.statistics[side], expected.statistics[side]
        assert one.moments.sketch.hashes.tolist() == two.moments.sketch.hashes.tolist()
        for name in ("sum", "squares", "weight", "second", "factor", "residual"):
            a, b = getattr(one.moments, name), getattr(two.moments, name)
            if b is None:
                assert a is None
            else:
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        if two.bank:
            assert np.array_equal(one.bank_rows(), two.bank_rows())
            assert np.array_equal(one.bank_weights(), two.bank_weights())


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("dn2", {}),
        ("is", {"samples": 90, "seed": 3, "made": {"weights": "density"}}),
        ("dn", {"made": {"weights": "density"}}),
    ],
)
def test_equals_a_local_fit(session, tmp_path, rows, small, method, settings):
    images = str(npy_folder(tmp_path / "images", rows))
    texts = str(parquet_folder(tmp_path / "texts", -rows.astype(np.float16)))
    inputs = {"image": [images], "text": [texts, texts]}
    found = fitted(method, inputs, partial(open_remote, session), **settings)
    assert_same(found, fitted(method, inputs, **settings))


def test_a_store_counts_distinct_pictures_and_keeps_its_notes(session, tmp_path, small):
    run = CliRunner()
    (tmp_path / "scenes").mkdir()
    pytest.importorskip("PIL")
    pytest.importorskip("onnxruntime")
    from PIL import Image

    for number in range(6):
        Image.new("RGB", (32, 32), (40 * number, 9, 200)).save(tmp_path / f"scenes/{number}.png")
    lines = ["path\tcaption", *(f"{n % 6}.png\tcaption {n}" for n in range(12))]
    (tmp_path / "scenes" / "captions.tsv").write_text("\n".join(lines))
    store = str(tmp_path / "store")
    made = run.invoke(
        cli, ["embed", str(tmp_path / "scenes"), "--model", "builtin", "--out", store]
    )
    assert made.exit_code == 0, made.output
    inputs = {"image": [store], "text": [store]}
    found = fitted("dn", inputs, partial(open_remote, session))
    assert found.counts == {"image": 6, "text": 12}
    assert_same(found, fitted("dn", inputs))


def test_a_lance_data_set_and_the_python_call(session, tmp_path, rows):
    lance_set(tmp_path / "set.lance", rows)
    norm = distnorm.make("dn2")
    seen = []
    done = fit(norm, images=str(tmp_path / "set.lance"), progress=lambda *n: seen.append(n))
    assert done.rows == {"image": len(rows)}
    assert seen[-1] == (len(rows), len(rows))
    expected = distnorm.make("dn2").fit(images=rows)
    np.testing.assert_allclose(
        norm.moments("image").second, expected.moments("image").second, rtol=1e-12
    )


@pytest.mark.parametrize("method", ["dn", "nnn"])
def test_a_worker_that_dies_changes_nothing(mortal, tmp_path, rows, small, method):
    np.save(tmp_path / "all.npy", rows)
    inputs = {"text": [str(tmp_path / "all.npy")]}
    found = fitted(method, inputs, partial(open_remote, mortal))
    assert mortal.marker.exists()
    assert_same(found, fitted(method, inputs))


def test_the_command_writes_the_same_file_and_json(session, tmp_path, rows, small):
    np.save(tmp_path / "images.npy", rows)
    np.save(tmp_path / "texts.npy", rows[::-1])
    told = {}
    for engine in ("local", "ray"):
        out = str(tmp_path / f"{engine}.safetensors")
        arguments = ["fit", "--images", str(tmp_path / "images.npy"), "--texts"]
        arguments += [str(tmp_path / "texts.npy"), "--engine", engine, "--out", out, "--json", "-"]
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.output
        told[engine] = json.loads(result.stdout)
    for answer in told.values():
        answer.pop("out")
    assert told["local"] == told["ray"]
    assert_same(*(distnorm.load(tmp_path / f"{e}.safetensors") for e in ("ray", "local")))


def test_what_is_wrong_is_one_line_that_names_the_fragment(session, tmp_path, rows, small):
    opened = partial(open_remote, session)
    bad = rows.copy()
    bad[250] = np.nan
    np.save(tmp_path / "nan.npy", bad)
    np.save(tmp_path / "long.npy", rows * 3)
    np.save(tmp_path / "wide.npy", np.hstack([rows, rows]))
    good = tmp_path / "good.npy"
    np.save(good, rows)
    place = r"texts of .*nan.npy, rows 200 to 299"
    for name, words in (
        ("nan", f"NaN in {place}, first in row 250"),
        ("long", r"texts of .*long.npy.* whose rows are not of unit length"),
        ("wide", r"texts of 48 dimensions in .*wide.npy; expected 24 dimensions"),
    ):
        norm = distnorm.make("dn").fit(images=rows)
        inputs = Inputs({"text": [str(tmp_path / f"{name}.npy")]}, opened=opened)
        with pytest.raises(DistnormError, match=words):
            fit_inputs(norm, inputs)
        assert norm.counts == {"image": len(rows), "text": 0}
    with pytest.raises(DistnormError, match=r"--samples 100000"):
        raise_for_a_huge_bank(session, good)


def raise_for_a_huge_bank(session, path):
    from distnorm.distributed import pieces

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "MOST", 1000)
        list(open_remote(session, str(path), "image", Reading()).take(None))


def test_options_that_do_not_go_together(tmp_path):
    for arguments, words in (
        (["--images", "x.npy", "--address", "auto"], "--address needs --engine ray"),
        (["--update", "x.safetensors", "--engine", "ray"], "leave --engine ray out"),
    ):
        result = CliRunner().invoke(cli, ["fit", *arguments, "--out", str(tmp_path / "n")])
        assert result.exit_code == 2
        assert words in result.output
