"""What looks like embeddings and is none is read as what it is, or refused with the way to one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, make, normalize
from distnorm.arrays import check_embeddings, to_numpy
from distnorm.methods.registry import parse_method
from distnorm.metrics import check_k

ROWS = normalize(np.random.default_rng(4).normal(0.2, 1, (10, 16)).astype(np.float32))


class Column:
    """Rows behind ``[:]``, as a column of a data set on disk."""

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, rows):
        return ROWS[rows]


REFUSED = {
    "packed bits": (np.packbits(ROWS > 0, axis=1), "unpackbits"),
    "packed bits less 128": ((np.packbits(ROWS > 0, axis=1) - 128).astype(np.int8), "packed bits"),
    "bits": (ROWS > 0, r"x \* 2\.0 - 1"),
    "tokens": (np.ones((3, 5, 16), np.float32), "pool to one row"),
    "an axis of length 1": (ROWS[:, None], r"squeeze\(1\)"),
    "no axis": (np.array(1.0), "single number"),
    "pooled output": (SimpleNamespace(pooler_output=ROWS), r"\.pooler_output"),
    "text embeds": (SimpleNamespace(text_embeds=ROWS), r"\.text_embeds"),
    "tokens alone": (SimpleNamespace(last_hidden_state=ROWS[None]), "pool its .last_hidden_state"),
    "a mapping of outputs": ({"image_embeds": ROWS}, r"\['image_embeds'\]"),
    "a mapping of items": ({"a": ROWS[0]}, r"keys: 'a'"),
    "a column": (Column(), r"x\[:\]"),
    "a generator": ((row for row in ROWS), r"numpy\.stack\(list"),
    "a path": ("rows.npy", "read the file first"),
    "words": (np.array(["a", "b"]), "distnorm embed"),
    "fields": (np.zeros(3, dtype=[("id", "i4"), ("v", "f4", 16)]), r"x\['field'\]"),
    "a huge whole number": ([[10**400, 1.0]], "too large"),
    "None in a row": ([[None, 1.0]], "no number"),
    "both features": ({"text_features": ROWS, "image_features": ROWS}, r"\['image_features'\]"),
    "both embeds": (SimpleNamespace(text_embeds=ROWS, image_embeds=ROWS), r"\.image_embeds"),
    "outputs in a tuple": ((ROWS, ROWS[:3], np.float32(100)), r"x\[0\] or x\[1\]"),
    "tokens of each": ([np.ones((n, 16)) for n in (3, 5)], "pool each to one row"),
    "an answer": (SimpleNamespace(data=[SimpleNamespace(embedding=[1.0])]), r"one\.embedding"),
    "bfloat16 as bytes": (ROWS.astype(np.float16).view("V2"), r"view\(ml_dtypes\.bfloat16\)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_with_the_way_to_a_matrix(kind):
    x, words = REFUSED[kind]
    with pytest.raises(DistnormError, match=words) as caught:
        make("dn").fit(images=x)
    assert "\n" not in str(caught.value)


def test_of_several_outputs_the_side_gets_its_own():
    for given in ({"image_embeds": ROWS, "text_embeds": ROWS}, {"text_embeds": ROWS}):
        with pytest.raises(DistnormError, match=r"\['text_embeds'\]"):
            make("dn").fit(texts=given)


def test_the_ways_to_a_matrix_lead_to_one():
    bits = ROWS > 0
    wanted = bits * 2.0 - 1
    packed = np.packbits(bits, axis=1)
    np.testing.assert_array_equal(np.unpackbits(packed, axis=1) * 2.0 - 1, wanted)
    signed = (packed.astype(int) - 128).astype(np.int8)
    again = np.unpackbits((signed.astype("int16") + 128).astype("uint8"), axis=1) * 2.0 - 1
    np.testing.assert_array_equal(again, wanted)
    np.testing.assert_array_equal(check_embeddings(ROWS[:, None].squeeze(1), "x"), ROWS)


def test_masked_entries_are_refused_and_unmasked_arrays_read():
    masked = np.ma.masked_array(ROWS, np.zeros(ROWS.shape, bool))
    assert type(check_embeddings(masked, "x")) is np.ndarray
    masked[3, 2] = np.ma.masked
    for given in (masked, list(masked)):
        with pytest.raises(DistnormError, match="first masked in row 3"):
            make("dn").fit(texts=given)
    assert len(np.ma.compress_rows(masked)) == len(ROWS) - 1


def test_numpy_matrices_are_arrays():
    with pytest.warns(PendingDeprecationWarning):
        given = np.matrix(3 * ROWS)
    np.testing.assert_allclose(normalize(given), ROWS, rtol=1e-6)


def test_transposed_rows_are_told():
    with pytest.raises(DistnormError, match=r"transposed.*x\.T"):
        distnorm.evaluate_classification(None, ROWS, ROWS[:3].T, np.zeros(10, int))


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_sparse_tensors_and_matrices():
    torch = pytest.importorskip("torch")
    for sparse in (torch.tensor(ROWS).to_sparse(), torch.tensor(ROWS).to_sparse_csr()):
        with pytest.raises(DistnormError, match=r"sparse tensor.*to_dense"):
            make("dn").fit(images=sparse)
        with pytest.raises(DistnormError, match="to_dense"):
            to_numpy(sparse)
    with pytest.raises(DistnormError, match="'meta'"):
        make("dn").fit(images=torch.ones(3, 4, device="meta"))
    with pytest.raises(DistnormError, match=r"torch\.stack"):
        make("dn").fit(images=list(torch.tensor(ROWS).bfloat16()))


def test_sparse_matrices_of_scipy():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(DistnormError, match=r"sparse matrix.*toarray"):
        make("dn").fit(images=sparse.csr_matrix(ROWS))


@pytest.mark.parametrize("factor", [1e-25, 1e-40, 1e30, 1e37])
def test_normalize_where_squares_leave_float32(factor):
    given = ROWS.copy()
    given[2] *= np.float32(factor)
    found = normalize(given)
    kept = np.delete(np.arange(len(ROWS)), 2)
    np.testing.assert_array_equal(found[kept], normalize(ROWS)[kept])
    assert np.linalg.norm(found[2]) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found[2], ROWS[2], atol=1e-4)


@pytest.mark.parametrize("value", [1e30, -1e7, 10**400, 10**5000], ids=range(4))
def test_strengths_and_parameters_that_overflow(value):
    for make_one in (
        lambda: make("dn", strength=value),
        lambda: make("dn", strength={"text": value}),
        lambda: make("is", beta=abs(value)),
    ):
        with pytest.raises(DistnormError, match="at most"):
            make_one()


def test_the_largest_strength_gives_numbers():
    for method in ("dn", "dn2", "is", "nnn", "centered"):
        norm = make(method, strength=1e6).fit(images=ROWS, texts=-ROWS)
        assert np.isfinite(norm.similarity(ROWS, -ROWS)).all()


def test_strength_as_a_parameter_of_a_name():
    assert parse_method("dn:strength=0.3") == parse_method("dn@0.3") == ("dn", 0.3, {})
    assert parse_method("nnn:k=4, strength=0.3") == ("nnn", 0.3, {"k": 4})
    for text in ("dn@0.3:strength=0.3", "nnn:k=4,k=5"):
        with pytest.raises(DistnormError, match="twice"):
            parse_method(text)
    for text in ("dn:model=3", "dn:sides=2", "nnn:kk=3"):
        with pytest.raises(DistnormError, match="parameter"):
            parse_method(text)


def test_k_as_an_array_without_axes():
    assert check_k(np.array(5)) == (5,)
    assert sorted(check_k({1, 5})) == [1, 5]
    with pytest.raises(DistnormError, match="integers from 1 on"):
        check_k(np.array(2.5))


def test_scores_judgements_and_biases_that_are_no_numbers():
    masked = np.ma.masked_array(np.arange(10.0), np.arange(10) == 4)
    for bad in ("x", {"a": 1}, [10**400] * 10, masked, object(), np.array(["a"] * 10)):
        with pytest.raises(DistnormError):
            distnorm.kendall_tau(bad, np.arange(10))
        with pytest.raises(DistnormError):
            distnorm.topk(ROWS, ROWS, k=2, bias=bad)
    assert distnorm.kendall_tau(list(range(10)), np.arange(10)) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "int64", "int64 of signed bytes"])
def test_packed_bits_in_numbers_of_any_width_get_a_remedy_that_is_true(kind, rng):
    rows = rng.normal(size=(9, 16))
    packed = np.packbits(rows > 0, axis=1)
    if kind in ("int8", "int64 of signed bytes"):
        packed = (packed.astype(int) - 128).astype(np.int8)
    x = packed.astype(kind.partition(" ")[0])
    with pytest.raises(distnorm.DistnormError, match="packed bits") as error:
        distnorm.make("dn").fit(images=x)
    made = error.value.remedy.partition(": ")[2].partition(";")[0]
    assert ((eval(made, {"numpy": np, "x": x}) > 0) == (rows > 0)).all()


def test_other_whole_numbers_are_converted():
    with pytest.raises(distnorm.DistnormError, match="convert with astype"):
        distnorm.make("dn").fit(images=np.full((4, 3), 3000))


@pytest.mark.parametrize("factor", [1e30, 1e-40, 1e18])
def test_rows_whose_products_floats_do_not_hold(factor):
    given = ROWS * np.float32(factor)
    for method in ("dot", "dn", "dn2", "nnn"):
        norm = make(method, input="any").fit(images=9 * ROWS, texts=9 * ROWS)
        with pytest.raises(DistnormError, match=r"distnorm\.normalize"):
            norm.similarity(given, given)


def test_methods_and_sizes_of_other_types():
    for methods in ([None], [3], None, [make("dot")]):
        with pytest.raises(DistnormError, match="method"):
            distnorm.compare_retrieval(ROWS, ROWS, methods=methods, repeats=1)
    with pytest.raises(DistnormError, match="update"):
        distnorm.Moments(ROWS)


def test_remedies_for_tensors_are_of_tensors():
    torch = pytest.importorskip("torch")
    packed = torch.tensor(np.packbits(ROWS > 0, axis=1))
    with pytest.raises(DistnormError) as caught:
        make("dn").fit(images=packed)
    code = caught.value.remedy.partition("numpy.")[2].partition("; quantised")[0]
    found = eval(f"numpy.{code}", {"numpy": np, "x": packed})
    np.testing.assert_array_equal(found, (ROWS > 0) * 2.0 - 1)
    assert check_k(torch.tensor(5)) == (5,)
    with pytest.raises(DistnormError, match="without values"):
        make("dn").fit(images=torch.nn.UninitializedParameter())


def test_tables_name_their_column():
    pandas = pytest.importorskip("pandas")
    for table in (pandas.DataFrame({"id": range(10), "vec": list(ROWS)}), pandas.DataFrame(ROWS)):
        with pytest.raises(DistnormError) as caught:
            make("dn").fit(images=table)
        assert ("['vec']" in str(caught.value)) == ("vec" in table)
    arrow = pytest.importorskip("pyarrow")
    with pytest.raises(DistnormError, match=r"x\['NAME'\]\.to_pylist"):
        make("dn").fit(images=arrow.table({"vec": ROWS.tolist()}))
