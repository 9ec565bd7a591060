"""Files of vectors on the command line: keys, unit length, columns of both sides, notes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from distnorm import normalize
from distnorm.cli.main import cli

RNG = np.random.default_rng(8)
IMAGES = normalize(RNG.normal(0.2, 1, (30, 12)).astype(np.float32))
TEXTS = normalize(IMAGES + RNG.normal(0, 0.5, (30, 12)).astype(np.float32))


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lengths = RNG.uniform(5, 15, (30, 1)).astype(np.float32)
    np.save("x.npy", IMAGES)
    np.save("y.npy", TEXTS)
    np.save("raw.npy", IMAGES * lengths)
    np.savez("ab.npz", a=IMAGES, b=TEXTS)
    np.savez("one.npz", rows=IMAGES)


def run(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def recall(*words):
    found = run("evaluate", "retrieval", *words, "--json", "-")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)["metrics"]


PLAIN = ("--images", "x.npy", "--texts", "y.npy")


def test_raw_rows_are_refused_or_given_unit_length():
    raw = ("--images", "raw.npy", "--texts", "y.npy")
    for words in (("evaluate", "retrieval", *raw), ("compare", "retrieval", *raw, "--repeats", 1)):
        found = run(*words)
        assert found.exit_code == 1
        assert "not of unit length" in found.output
        assert "--normalize" in found.output
    assert recall(*raw, "--normalize") == pytest.approx(recall(*PLAIN))
    found = run("evaluate", "retrieval", *raw, "--input", "any", "--json", "-")
    assert json.loads(found.stdout)["score"]["text"]["is_cosine"] is False


def test_keys_for_one_side_and_for_both():
    both = ("--images", "ab.npz", "--texts", "ab.npz")
    found = run("evaluate", "retrieval", *both)
    assert found.exit_code == 1
    assert "--key image=a" in found.output
    assert recall(*both, "--key", "image=a,text=b") == recall(*PLAIN)
    assert recall("--images", "ab.npz", "--texts", "y.npy", "--key", "image=a") == recall(*PLAIN)
    for key in ("image=a,audio=b", "image=", "image=a,b"):
        assert run("evaluate", "retrieval", *both, "--key", key).exit_code == 1


def test_a_key_for_rows_without_names_is_refused():
    assert run("fit", *PLAIN, "--out", "n.safetensors").exit_code == 0
    for words in (
        ("fit", *PLAIN, "--out", "m.safetensors"),
        ("evaluate", "retrieval", *PLAIN),
        ("compare", "retrieval", *PLAIN),
        ("calibrate", "n.safetensors", *PLAIN),
        ("watch", "n.safetensors", "--images", "x.npy"),
        ("search", "x.npy", "--query-vectors", "y.npy"),
        ("index", "hubs", "x.npy", "--queries", "y.npy"),
    ):
        found = run(*words, "--key", "rows")
        assert found.exit_code == 1
        assert "leave the key out" in found.output
    for words in (("watch", "n.safetensors", "--stdin", "image"), ("card", "n.safetensors")):
        found = run(*words, "--key", "rows")
        assert found.exit_code == 2
        assert "leave it out" in found.output


def test_keys_of_matrices_of_scores():
    np.savez("s.npz", first=IMAGES[:9] @ TEXTS[:9].T, second=IMAGES[9:] @ TEXTS[:9].T)
    words = ("evaluate", "retrieval", "--scores", "s.npz", "--json", "-")
    assert "--key score=first" in run(*words).output
    assert run(*words, "--key", "first").exit_code == 0
    banked = (*words, "--image-bank", "s.npz", "--method", "is", "--key")
    assert "--key image_bank=first" in run(*banked, "score=first").output
    assert run(*banked, "score=first,image_bank=second").exit_code == 0
    assert "--normalize" in run(*words, "--normalize").output


def test_one_array_is_not_taken_for_both_sides():
    found = run("evaluate", "retrieval", "--images", "one.npz", "--texts", "one.npz")
    assert found.exit_code == 1
    assert "the same rows for both" in found.output


def test_fit_takes_keys_unit_length_and_tables():
    np.savetxt("x.csv", np.c_[np.arange(30), IMAGES], delimiter=",")
    found = run("fit", *PLAIN, "--out", "plain.safetensors", "--json", "-")
    assert found.exit_code == 0
    for number, words in enumerate(
        (
            ("--images", "ab.npz", "--texts", "ab.npz", "--key", "image=a,text=b"),
            ("--images", "raw.npy", "--texts", "y.npy", "--normalize"),
            ("--images", "x.csv", "--texts", "y.npy"),
            ("--images", "raw.npy", "--texts", "y.npy", "--normalize", "--samples", 30),
        )
    ):
        other = run("fit", *words, "--out", f"{number}.safetensors")
        assert other.exit_code == 0, other.output
        assert ("note: x.csv: left out" in other.output) == ("x.csv" in words)
        same = run("diff", "plain.safetensors", f"{number}.safetensors")
        assert same.exit_code == 0, same.output


def test_other_commands_take_them_too():
    both = ("--images", "ab.npz", "--texts", "ab.npz", "--key", "image=a,text=b")
    assert run("fit", *both, "--out", "n.safetensors").exit_code == 0
    for words in (
        ("calibrate", "n.safetensors", *both),
        ("card", "n.safetensors", *both),
        ("watch", "n.safetensors", *both),
        ("diff", "n.safetensors", "n.safetensors", *both),
        ("compare", "retrieval", *both, "--repeats", 1, "--methods", "dn"),
    ):
        found = run(*words)
        assert found.exit_code == 0, found.output


def test_transposed_files():
    np.save("t.npy", np.ascontiguousarray(IMAGES.T))
    np.save("u.npy", np.ascontiguousarray(TEXTS.T))
    for words in (("t.npy", "y.npy"), ("t.npy", "u.npy"), ("x.npy", "u.npy")):
        found = run("evaluate", "retrieval", "--images", words[0], "--texts", words[1])
        assert found.exit_code == 1
        assert "transposed" in found.output


def test_images_repeated_for_every_caption():
    rows = np.repeat(IMAGES[:6], 5, axis=0)
    texts = normalize(rows + RNG.normal(0, 0.5, rows.shape).astype(np.float32))
    np.save("rows.npy", rows)
    np.save("captions.npy", texts)
    np.save("distinct.npy", IMAGES[:6])
    np.save("owner.npy", np.repeat(np.arange(6), 5))
    given = ("--images", "rows.npy", "--texts", "captions.npy")
    for words in (("evaluate", "retrieval"), ("compare", "retrieval", "--repeats", 1)):
        found = run(*words, *given)
        assert found.exit_code == 1
        assert "30 images of which 6 are distinct (row 1 repeats row 0)" in found.output
        assert "--repeated-images" in found.output
    wanted = recall(
        "--images", "distinct.npy", "--texts", "captions.npy", "--image-of-text", "owner.npy"
    )
    assert recall(*given, "--repeated-images") == wanted
    found = run(
        "evaluate", "retrieval", *given, "--repeated-images", "--image-of-text", "owner.npy"
    )
    assert found.exit_code == 2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.array(3.0), "single number"),
        (IMAGES[0], r"x[None, :]"),
        (np.stack([IMAGES, IMAGES]), "pool to one row"),
        (np.packbits(IMAGES > 0, axis=1), "unpackbits"),
        (np.array(["a", "b"]), "embed these words"),
        (np.zeros(3, dtype=[("id", "i4")]), "structured_to_unstructured"),
        (IMAGES[:0], "at least one row"),
    ],
    ids=["number", "row", "tokens", "bits", "words", "fields", "nothing"],
)
def test_files_that_hold_no_matrix(rows, words):
    np.save("z.npy", rows)
    for command in (
        ("fit", "--images", "z.npy", "--out", "n.safetensors"),
        ("evaluate", "retrieval", "--images", "z.npy", "--texts", "y.npy"),
        ("evaluate", "retrieval", "--images", "z.npy", "--texts", "y.npy", "--normalize"),
        ("compare", "retrieval", "--images", "x.npy", "--texts", "z.npy", "--repeats", 1),
    ):
        found = run(*command)
        assert found.exit_code == 1, found.output
        assert words in found.output
        assert not isinstance(found.exception, (TypeError, IndexError, AttributeError))


def test_search_takes_the_array_that_its_refusal_names():
    queries = ("--query-vectors", "y.npy", "--k", 3, "--json", "-")
    refused = run("search", "ab.npz", *queries)
    assert refused.exit_code == 1
    assert "--key image=a" in refused.output
    found = json.loads(run("search", "ab.npz", *queries, "--key", "image=a").stdout)
    plain = json.loads(run("search", "x.npy", *queries).stdout)
    assert found["results"] == plain["results"]
    both = ("search", "ab.npz", "--query-vectors", "ab.npz", "--key", "image=a,text=b")
    found = json.loads(run(*both, "--k", 3, "--json", "-").stdout)
    assert found["results"] == plain["results"]


def test_hubs_are_counted_in_one_array_of_several():
    words = ("index", "hubs", "ab.npz", "--queries", "ab.npz", "--k", 3, "--json", "-")
    assert "--key image=a" in run(*words, "--key", "b").output
    found = json.loads(run(*words, "--key", "image=a,text=b").stdout)
    plain = json.loads(run("index", "hubs", "x.npy", "--queries", "y.npy", *words[5:]).stdout)
    assert found["hubs"] == plain["hubs"]


def test_a_table_of_odd_vectors_gives_its_reason_and_asks_for_no_model(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    nested = arrow.array([[list(map(float, row)), list(map(float, row))] for row in IMAGES])
    small = arrow.array([[int(100 + 20 * v) for v in row] for row in IMAGES])
    single = arrow.array([[list(map(float, row))] for row in IMAGES])
    ids = [f"p{i}" for i in range(30)]
    reasons = {"several vectors in a cell": nested, "dtype int64": small}
    for reason, column in reasons.items():
        parquet.write_table(arrow.table({"id": ids, "clip_embedding": column}), "t.parquet")
        refused = run("fit", "--images", "t.parquet", "--out", "n.safetensors")
        assert refused.exit_code == 1
        assert reason in refused.output
        assert "--model" not in refused.output
    parquet.write_table(arrow.table({"id": ids, "embedding": single}), "t.parquet")
    np.testing.assert_allclose(
        recall("--images", "t.parquet", "--texts", "y.npy")["text_retrieval_recall@1"],
        recall(*PLAIN)["text_retrieval_recall@1"],
    )
