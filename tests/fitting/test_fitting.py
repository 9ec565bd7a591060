"""Statistics from stores, vectors, photos and sentences; what they belong to; updates."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm import DistnormError
from distnorm.cli.main import cli
from distnorm.fitting import Inputs, fit_inputs, update
from distnorm.store.columns import read_names, read_tables
from distnorm.store.layout import Commit
from distnorm.store.models import check_models, prompt_of
from distnorm.store.rows import StoredRows
from distnorm.store.vectors import read_embeddings

Image = pytest.importorskip("PIL.Image", reason="photos need Pillow")
parquet = pytest.importorskip("pyarrow.parquet", reason="stores need pyarrow")

# Worker processes take the path over, and import the encoder's module from it.
HERE = str(Path(__file__).parents[1] / "helpers")
sys.path.insert(0, HERE)

from distnorm.embedding import Item, embed, open_source

tiny_encoder = importlib.import_module("tiny_encoder")
photos = tiny_encoder.photos


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    """``--model tiny`` and ``--model other`` are the tests' own models."""
    monkeypatch.setattr(
        "distnorm.encoders.load_encoder",
        lambda name, **options: tiny_encoder.Tiny(model_id=f"{name}-1"),
    )


def tiny(name="tiny"):
    import distnorm.encoders

    return distnorm.encoders.load_encoder(name)


def captions(folder):
    lines = [f"{p.name}\t{p.stem} {w}\n" for p in sorted(folder.glob("*.png")) for w in "abc"]
    (folder / "captions.tsv").write_text("path\tcaption\n" + "".join(lines))
    return folder


def stored_photos(folder, out, **options):
    options = {"model": "tiny", "workers": 0, "shard_rows": 10, **options}
    return embed(tiny(), open_source(folder), out, **options)


def run(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def fitted(method="dn", **names):
    norm = distnorm.make(method)
    options = {k: names.pop(k) for k in ("model", "prompt", "samples", "seed") if k in names}
    sampling = {k: options.pop(k) for k in ("samples", "seed") if k in options}
    given = {side: list(map(str, names.get(side, ()))) for side in ("image", "text")}
    done = fit_inputs(norm, Inputs(given, workers=0, **options), **sampling)
    return norm, done


def mean(norm, side="image"):
    return norm.moments(side).mean


def encoded(paths):
    return tiny().encode_images([Image.open(path).convert("RGB") for path in sorted(paths)])


def test_a_mix_of_everything(tmp_path):
    first, second = photos(tmp_path / "a", 6), photos(tmp_path / "b", 5, start=6)
    stored_photos(captions(first), tmp_path / "s")
    np.save(tmp_path / "v.npy", np.eye(8, dtype=np.float32))
    (tmp_path / "t.txt").write_text("one\ntwo\ntwo\n")
    norm, done = fitted(
        image=[tmp_path / "s", second, tmp_path / "v.npy"],
        text=[tmp_path / "t.txt", tmp_path / "s"], model="tiny",
    )  # fmt: skip
    # Distinct pictures of the store; sentences as often as they come.
    assert done.rows == norm.counts == {"image": 6 + 5 + 8, "text": 3 + 18}
    expected = [encoded(first.glob("*.png")), encoded(second.glob("*.png")), np.eye(8)]
    np.testing.assert_allclose(mean(norm), np.concatenate(expected).mean(axis=0), atol=1e-3)
    texts = ["one", "two", "two", *read_names(tmp_path / "s", "text")]
    np.testing.assert_allclose(
        mean(norm, "text"), tiny().encode_texts(texts).mean(axis=0), atol=1e-3
    )
    assert norm.model == "tiny-1"


def test_all_rows_at_once(tmp_path):
    stored_photos(captions(photos(tmp_path / "a", 4)), tmp_path / "s")
    folder = photos(tmp_path / "b", 2, start=4)
    given = {"image": [str(tmp_path / "s"), str(folder)], "text": [str(tmp_path / "s")]}
    rows = Inputs(given, model="tiny", workers=0).rows()
    assert (rows["image"].shape, rows["text"].shape) == ((6, 8), (12, 8))


def test_samples_are_drawn_over_all_inputs_with_a_seed(tmp_path):
    folder = photos(tmp_path / "a", 30)
    stored_photos(photos(tmp_path / "b", 30, start=30), tmp_path / "s")
    inputs = {"image": [folder, tmp_path / "s"], "model": "tiny", "samples": 20}
    means = [mean(fitted(seed=seed, **inputs)[0]) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(means[0], means[1])
    assert np.abs(means[0] - means[2]).max() > 1e-4
    # What cannot be read is replaced by the next drawn.
    for n in range(0, 30, 3):
        (folder / f"{n:03}.png").write_bytes(b"broken")
    norm, done = fitted(**inputs)
    assert norm.counts["image"] == 20
    assert done.failed > 0
    with pytest.raises(DistnormError, match="60 image rows; expected at least --samples 61"):
        fitted(**{**inputs, "samples": 61})
    with pytest.raises(DistnormError, match="of which 10 too few can be read"):
        fitted(**{**inputs, "samples": 60})


def test_a_sample_is_the_encoders_own_rows(tmp_path):
    folder = photos(tmp_path / "a", 12)
    norm, _ = fitted("nnn", image=[folder], model="tiny", samples=5, seed=3)
    chosen = np.sort(np.random.default_rng(3).permutation(12)[:5])
    bank = norm.statistics["image"].bank_rows()
    np.testing.assert_allclose(bank, encoded(folder.glob("*.png"))[chosen], atol=1e-6)


def test_pictures_count_once_and_prompts_go_around(tmp_path):
    folder = captions(photos(tmp_path / "a", 4))
    table = folder / "captions.tsv"
    norm, done = fitted(image=[table], text=[table], model="tiny", prompt="a photo of ")
    assert done.rows == {"image": 4, "text": 12}
    texts = [f"a photo of {item.text}" for item in open_source(table)]
    expected = tiny().encode_texts(texts).mean(axis=0)
    np.testing.assert_allclose(mean(norm, "text"), expected, atol=1e-6)
    assert norm.prompt == "a photo of "
    # A store hands its prompt on, and holds against another.
    stored_photos(folder, tmp_path / "s", prompt="a photo of ")
    assert fitted(text=[tmp_path / "s"])[0].prompt == "a photo of "
    with pytest.raises(DistnormError, match="prompt 'a photo of '; expected 'this is '"):
        fitted(text=[tmp_path / "s"], prompt="this is ")
    stored_photos(folder, tmp_path / "plain")
    with pytest.raises(DistnormError, match="prompt ''; expected 'a photo of '"):
        prompt_of(tmp_path / "s", tmp_path / "plain")


def test_text_to_text_sides(tmp_path):
    (tmp_path / "q.txt").write_text("one\ntwo\n")
    (tmp_path / "d.txt").write_text("three\nfour\nfive\n")
    out = tmp_path / "n.safetensors"
    result = run("fit", "--images", tmp_path / "q.txt", "--texts", tmp_path / "d.txt",
                 "--sides", "query,document", "--model", "tiny", "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert distnorm.load(out).counts == {"query": 2, "document": 3}


def difference(tmp_path, method="dn", **options):
    """A store, a fit, then files added, changed, deleted; the store and the old fit."""
    folder = photos(tmp_path / "in", 40)
    store = tmp_path / "s"
    stored_photos(captions(folder), store, **options)
    norm, _ = fitted(method, image=[store], text=[store])
    norm.save(tmp_path / "n.safetensors")
    photos(folder, 6, start=40)
    shutil.copy(folder / "045.png", folder / "003.png")
    for n in (8, 9, 30):
        (folder / f"{n:03}.png").unlink()
    (folder / "044.png").write_bytes((folder / "011.png").read_bytes())
    stored_photos(captions(folder), store, prune=True, **options)
    # Once more, so that rows came and went between.
    (folder / "041.png").unlink()
    stored_photos(captions(folder), store, prune=True, **options)
    return store, distnorm.load(tmp_path / "n.safetensors")


@pytest.mark.parametrize("method", ["dn", "dn2", "nnn"])
def test_an_update_equals_a_fresh_fit(tmp_path, method):
    store, norm = difference(tmp_path, method)
    fresh, _ = fitted(method, image=[store], text=[store])
    changes = update(norm, [store])
    assert norm.counts == fresh.counts == {"image": 40, "text": 126}
    for side in ("image", "text"):
        np.testing.assert_allclose(mean(norm, side), mean(fresh, side), rtol=0, atol=1e-6)
        if method == "dn2":
            first, second = (n.moments(side).covariance() for n in (norm, fresh))
            np.testing.assert_allclose(first, second, rtol=0, atol=1e-6)
    items = read_embeddings(store)
    biases = [n.item_bias(items, modality="image") for n in (norm, fresh)]
    np.testing.assert_allclose(*biases, atol=1e-4)
    # New are 40, 42, 43, 45 (44 is a copy of 11, 3 one of 45); 3, 8, 9 and 30 have left.
    assert changes.added["image"] == 4
    assert changes.removed["image"] == 4
    assert update(norm, [store]).added == {"image": 0, "text": 0}


def test_an_update_reads_no_row_that_stayed(tmp_path, monkeypatch):
    store, norm = difference(tmp_path)
    read = []
    original = StoredRows.read

    def counted(self, rows):
        read.append(len(rows))
        return original(self, rows)

    monkeypatch.setattr(StoredRows, "read", counted)
    changes = update(norm, [store])
    assert sum(read) == changes.added["image"] + changes.added["text"] == 4 + 18


def test_updates_on_the_command_line(tmp_path):
    store, _ = difference(tmp_path)
    file = tmp_path / "n.safetensors"
    fresh = mean(fitted(image=[store], text=[store])[0])
    result = run("fit", "--update", file, "--out", tmp_path / "m.safetensors", "--json", "-")
    assert result.exit_code == 0, result.output
    assert "4 image rows added, 4 taken out" in result.stderr
    assert json.loads(result.stdout)["added"]["image"] == 4
    np.testing.assert_allclose(mean(distnorm.load(tmp_path / "m.safetensors")), fresh, atol=1e-6)
    # The store has moved, and the file itself is replaced.
    shutil.move(store, tmp_path / "moved")
    gone = run("fit", "--update", file)
    assert gone.exit_code == 1
    assert "no store, or another one, at" in gone.stderr
    result = run("fit", "--update", file, "--images", tmp_path / "moved")
    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(mean(distnorm.load(file)), fresh, atol=1e-6)


def test_no_file_says_where_things_lay(tmp_path, monkeypatch):
    """Statistics and stores are shared: they keep names, and stores their ids."""
    store, _ = difference(tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.png").write_bytes(b"no picture")
    shutil.copy(tmp_path / "in" / "000.png", tmp_path / "more")
    monkeypatch.chdir(tmp_path)
    assert run("embed", tmp_path / "more", "--model", "tiny", "--out", tmp_path / "t",
               "--workers", 0).exit_code == 1  # fmt: skip
    np.save("x.npy", read_embeddings(store))
    norm, _ = fitted(image=[tmp_path / "x.npy", store, "t"], text=[store])
    norm.save("m.safetensors")
    inputs = norm.notes.fitted_on["inputs"]
    assert [note.get("name") or note["store"] for note in inputs["image"]] == ["x.npy", "s", "t"]
    place = str(tmp_path).encode()
    for path in tmp_path.rglob("*"):
        if path.suffix in (".safetensors", ".jsonl", ".json", ".parquet"):
            assert place not in path.read_bytes(), path
    (_, table), *_ = read_tables(Commit.read(store), ("source",))
    sources = {source.partition("#")[0] for source in table.column("source").to_pylist()}
    assert sources == {"../in/captions.tsv"}


def test_a_store_of_an_older_version_is_gone_on_with(tmp_path):
    """Rows whose source is a path are those of this path's source."""
    folder, label = photos(tmp_path / "in", 4), str((tmp_path / "in").resolve())
    stored_photos(folder, tmp_path / "s")
    file = tmp_path / "s" / "metadata" / "metadata_0.parquet"
    table = parquet.read_table(file)
    at = table.column_names.index("source")
    parquet.write_table(table.set_column(at, "source", [[label] * 4]), file)
    (folder / "002.png").unlink()
    done = stored_photos(folder, tmp_path / "s", prune=True)
    assert (done.known, done.written, done.pruned) == (3, 0, 1)


def test_updates_that_are_refused_change_nothing(tmp_path):
    store, norm = difference(tmp_path)
    before = mean(norm)
    shutil.move(store / "removed", tmp_path / "elsewhere")
    with pytest.raises(DistnormError, match="vectors of removed rows; fit anew"):
        update(norm, [store])
    np.testing.assert_array_equal(mean(norm), before)
    sampled, _ = fitted(image=[store], samples=5)
    with pytest.raises(DistnormError, match="fitted on a sample"):
        update(sampled)
    with pytest.raises(DistnormError, match="names no store"):
        update(distnorm.make("dn").fit(images=np.eye(8)))
    shutil.move(tmp_path / "elsewhere", store / "removed")
    rows = {"image": np.arange(len(StoredRows(Commit.read(store), "image"))) + 1.0}
    weighed = distnorm.make("dn")
    fit_inputs(weighed, Inputs({"image": [str(store)]}), weights=rows)
    with pytest.raises(DistnormError, match=r"rows that were given weights; .* fit anew"):
        update(weighed, [store])
    with pytest.raises(DistnormError, match="names no store"):
        update(fitted(image=[photos(tmp_path / "x", 2)], model="tiny")[0])


def test_rows_are_removed_from_statistics(rng):
    x = rng.standard_normal((30, 6))
    y = rng.standard_normal((20, 6))
    for method in ("dn", "dn2", "is"):
        norm = distnorm.make(method, input="any").fit(images=x, texts=y)
        norm.remove(images=x[:7], texts=y[3:4])
        fresh = distnorm.make(method, input="any").fit(images=x[7:], texts=np.delete(y, 3, axis=0))
        assert norm.counts == fresh.counts
        np.testing.assert_allclose(norm.similarity(x, y), fresh.similarity(x, y), atol=1e-8)
    with pytest.raises(DistnormError, match="row 0, which the bank does not hold"):
        norm.remove(images=x[:1])
    with pytest.raises(DistnormError, match="fewer rows than there are"):
        norm.remove(images=x)
    with pytest.raises(DistnormError, match="no statistics of the image side"):
        distnorm.make("dn").remove(images=x)


def test_another_models_vectors_are_refused_by_name(tmp_path):
    folder = captions(photos(tmp_path / "a", 8))
    store, other = tmp_path / "s", tmp_path / "o"
    stored_photos(folder, store)
    embed(tiny("other"), open_source(folder), other, model="other", workers=0)
    norm = tmp_path / "n.safetensors"
    assert run("fit", "--images", store, "--texts", store, "--out", norm).exit_code == 0
    np.savetxt(tmp_path / "l.txt", np.zeros(24), fmt="%d")
    mixed = ("--images", store, "--texts", other)
    of_other = ("--images", other, "--texts", other, "--normalization", norm)
    labels = ("--labels", tmp_path / "l.txt")
    classes = ("--images", other, "--classes", other, *labels)
    for command in (
        ("fit", *mixed, "--out", tmp_path / "x"),
        ("fit", "--images", store, "--images", other, "--out", tmp_path / "x"),
        ("fit", "--images", store, "--texts", folder, "--model", "other", "--out", tmp_path / "x"),
        ("fit", "--images", store, "--model", "other-1", "--out", tmp_path / "x"),
        ("compare", "retrieval", *mixed),
        ("compare", "retrieval", "--images", store, "--texts", store, "--fit-texts", other),
        ("compare", "classification", "--images", store, "--classes", other, *labels),
        ("compare", "captions", "--images", store, "--captions", other, "--human",
         tmp_path / "l.txt"),
        ("evaluate", "retrieval", *mixed),
        ("evaluate", "retrieval", *of_other),
        ("evaluate", "classification", *classes, "--normalization", norm),
        ("evaluate", "captions", "--images", other, "--captions", other, "--human",
         tmp_path / "l.txt", "--normalization", norm),
        ("search", other, "a star", "--normalization", norm),
    ):  # fmt: skip
        result = run(*command)
        assert result.exit_code == 1, (command, result.output)
        assert len(result.stderr.strip().splitlines()) == 1, (command, result.stderr)
        assert "'tiny-1'" in result.stderr, (command, result.stderr)
        assert "'other" in result.stderr, (command, result.stderr)
    same = ("--images", store, "--texts", store)
    done = run("evaluate", "retrieval", *same, "--normalization", norm)
    assert done.exit_code == 0, done.output
    check_models(None, store, None)


def test_sources_without_a_model_or_a_side(tmp_path):
    folder = photos(tmp_path / "a", 3)
    with pytest.raises(DistnormError, match="no model; expected --model"):
        fitted(image=[folder])
    with pytest.raises(DistnormError, match="without texts; expected some for the text side"):
        fitted(text=[folder], model="tiny")
    stored_photos(folder, tmp_path / "s")
    # A store's model embeds what stands beside it.
    more = photos(tmp_path / "b", 3, start=3)
    assert fitted(image=[tmp_path / "s", more])[0].counts["image"] == 6
    with pytest.raises(DistnormError, match="has image embeddings alone"):
        fitted(text=[tmp_path / "s"])
    result = run("fit", "--images", tmp_path / "s")
    assert result.exit_code == 2
    assert "give --out" in result.stderr


def test_standard_input_to_fit(tmp_path):
    out = tmp_path / "n.safetensors"
    words = ["fit", "--texts", "-", "--model", "tiny", "--out", str(out)]
    result = CliRunner().invoke(cli, words, input="one\none\n" + "a b c d e f g\n")
    assert result.exit_code == 0, result.output
    assert distnorm.load(out).counts["text"] == 3
    assert "1 of the inputs were cut" in result.stderr
    assert sys.stdin is not None
    texts = [Item("x", None, "x")]
    embed(tiny(), texts, tmp_path / "t", model="tiny")
    assert fitted(text=[tmp_path / "t"])[0].counts["text"] == 1
