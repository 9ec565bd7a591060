"""Of several matrices in a file, and of several series in a folder, the side's own is taken."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from distnorm.errors import DistnormError
from distnorm.store.vectors import has_vectors, open_embeddings, read_embeddings

IMAGES = np.random.default_rng(5).normal(0, 1, (12, 4)).astype(np.float32)
TEXTS = IMAGES + 1

SIDES = [
    ("embedding", "text_embedding"),
    ("image_embedding", "embedding"),
    ("img_emb", "txt_emb"),
    ("imageFeatures", "textFeatures"),
    ("photos", "captions"),
    ("visual.features", "language.features"),
]


def write(path, arrays):
    """Arrays by name, in a file of any kind that holds several."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        save_file(arrays, path)
    else:
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(arrow.table({k: list(v) for k, v in arrays.items()}), path)


@pytest.mark.parametrize("end", ["npz", "safetensors", "parquet"])
@pytest.mark.parametrize("names", SIDES, ids=" ".join)
def test_each_side_takes_its_own(tmp_path, end, names):
    path = tmp_path / f"x.{end}"
    write(path, dict(zip(names, (IMAGES, TEXTS), strict=True)))
    np.testing.assert_array_equal(read_embeddings(path, "image"), IMAGES)
    np.testing.assert_array_equal(read_embeddings(path, "text"), TEXTS)
    np.testing.assert_array_equal(read_embeddings(path, "image", key=names[1]), TEXTS)


@pytest.mark.parametrize("end", ["npz", "safetensors", "parquet"])
def test_what_is_not_plain_is_refused_with_the_key(tmp_path, end):
    path = tmp_path / f"x.{end}"
    write(path, {"first": IMAGES, "second": TEXTS})
    with pytest.raises(DistnormError, match=r"'first', 'second'.*--key image=first"):
        read_embeddings(path, "image")
    with pytest.raises(DistnormError, match="expected 'third'"):
        read_embeddings(path, "image", key="third")
    write(path, {"text_embedding": TEXTS})
    with pytest.raises(DistnormError, match="--key image=text_embedding"):
        read_embeddings(path, "image")
    np.testing.assert_array_equal(read_embeddings(path, "query", key="text_embedding"), TEXTS)


def test_a_key_for_a_matrix_without_a_name_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    (tmp_path / "x.json").write_text(str(IMAGES.tolist()))
    np.savetxt(tmp_path / "x.csv", IMAGES, delimiter=",")
    for folder in ("store/img_emb", "plain"):
        (tmp_path / folder).mkdir(parents=True)
        np.save(tmp_path / folder / "part_0.npy", IMAGES)
    for name in ("x.npy", "x.json", "x.csv", "store", "store/img_emb"):
        assert len(read_embeddings(tmp_path / name)) == 12
        with pytest.raises(DistnormError, match=r"the key 'rows' for .*; leave the key out"):
            read_embeddings(tmp_path / name, key="rows")
    assert len(read_embeddings(tmp_path / "plain", key="part")) == 12


def test_other_arrays_beside_the_matrix(tmp_path):
    np.savez(tmp_path / "x.npz", rows=IMAGES, ids=np.array(["a"] * 12), labels=np.arange(12))
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.npz"), IMAGES)
    save_file({"x": IMAGES, "logit_scale": np.ones(1)}, tmp_path / "x.safetensors")
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.safetensors"), IMAGES)


def test_lengths_of_lists_and_not_their_sum_are_compared(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for cells, words in (
        ([[1.0, 2, 3], [4.0, 5, 6, 7, 8]], r"different lengths \(3, 5\)"),
        ([[1.0, 2], None], "1 empty cells, first in row 1"),
        ([[[1.0, 2], [5.0, 6]], [[3.0, 4]]], "several vectors in a cell"),
        ([b"1234", b"5678"], "frombuffer.*x.parquet'.*embedding"),
        (["[1.0, 2.0]", "[3.0, 4.0]"], "json.loads"),
    ):
        parquet.write_table(arrow.table({"embedding": cells}), tmp_path / "x.parquet")
        with pytest.raises(DistnormError, match=words):
            read_embeddings(tmp_path / "x.parquet")


def test_columns_of_numbers_feather_and_tensors(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    wide = {"id": list("abcdefghijkl"), **{f"{n}": IMAGES[:, n] for n in range(4)}}
    parquet.write_table(arrow.table(wide), tmp_path / "wide.parquet")
    storage = arrow.FixedSizeListArray.from_arrays(arrow.array(IMAGES.ravel()), 4)
    kind = arrow.fixed_shape_tensor(arrow.float32(), [4])
    tensors = arrow.table({"embedding": arrow.ExtensionArray.from_storage(kind, storage)})
    parquet.write_table(tensors, tmp_path / "tensors.parquet")
    feather.write_feather(arrow.table({"embedding": list(IMAGES)}), str(tmp_path / "x.feather"))
    groups = arrow.table({"embedding": list(IMAGES)})
    parquet.write_table(groups, tmp_path / "groups.parquet", row_group_size=5)
    for name in ("wide.parquet", "tensors.parquet", "x.feather", "groups.parquet"):
        np.testing.assert_array_equal(read_embeddings(tmp_path / name), IMAGES)


def test_plain_folders_of_shards(tmp_path):
    for number, kind in ((2, np.float16), (10, np.float32)):
        part = IMAGES[:6] if number == 2 else IMAGES[6:]
        np.save(tmp_path / f"part-{number}.npy", part.astype(kind))
    np.save(tmp_path / "labels.npy", np.arange(12))
    found = open_embeddings(tmp_path)
    assert found.shape == (12, 4)
    assert found[:2].dtype == found[[0, 11]].dtype == np.float32
    np.testing.assert_allclose(found[:], IMAGES, atol=2e-3)
    assert has_vectors(tmp_path)


def test_a_folder_with_series_of_both_sides(tmp_path):
    for number, rows in enumerate((slice(0, 7), slice(7, 12))):
        np.save(tmp_path / f"img_emb_{number}.npy", IMAGES[rows])
        np.save(tmp_path / f"text_emb_{number}.npy", TEXTS[rows])
    np.testing.assert_array_equal(read_embeddings(tmp_path, "image"), IMAGES)
    np.testing.assert_array_equal(read_embeddings(tmp_path, "text"), TEXTS)


def test_the_folder_of_one_side_of_a_store(tmp_path):
    folder = tmp_path / "img_emb"
    folder.mkdir()
    np.save(folder / "img_emb_0.npy", IMAGES)
    np.testing.assert_array_equal(read_embeddings(folder, "image"), IMAGES)
    with pytest.raises(DistnormError, match="text_emb"):
        read_embeddings(folder, "text")


def test_shards_that_do_not_belong_together(tmp_path):
    np.save(tmp_path / "x_0.npy", IMAGES)
    for other in (IMAGES[:, :2], IMAGES.astype(np.int8)):
        np.save(tmp_path / "x_1.npy", other)
        with pytest.raises(DistnormError, match=r"x_1\.npy"):
            read_embeddings(tmp_path)


@pytest.mark.parametrize("end", ["pt", "pth", "h5", "hdf5", "mat", "pkl", "fvecs", "csv.gz"])
def test_other_formats_name_what_converts_them(tmp_path, end):
    path = tmp_path / f"x.{end}"
    path.write_bytes(b"0" * 16)
    with pytest.raises(DistnormError, match=str(path)) as caught:
        read_embeddings(path)
    assert "numpy.save('rows.npy'" in str(caught.value) or "gunzip" in str(caught.value)


def test_what_converts_them_works(tmp_path, monkeypatch):
    torch, scipy_io = pytest.importorskip("torch"), pytest.importorskip("scipy.io")
    import scipy

    monkeypatch.chdir(tmp_path)
    torch.save(torch.from_numpy(IMAGES), "x.pt")
    scipy_io.savemat("x.mat", {"NAME": IMAGES})
    scipy.sparse.save_npz("x.npz", scipy.sparse.csr_matrix(IMAGES))
    np.hstack([np.full((12, 1), 4, np.int32), IMAGES.view(np.int32)]).tofile("x.fvecs")
    np.save("x.npy", {"a": IMAGES[0]}, allow_pickle=True)
    for name in ("x.pt", "x.mat", "x.npz", "x.fvecs"):
        with pytest.raises(DistnormError) as caught:
            read_embeddings(name)
        exec(
            caught.value.remedy.removeprefix("convert it: "),
            {"numpy": np, "torch": torch, "scipy": scipy},
        )
        np.testing.assert_allclose(read_embeddings("rows.npy"), IMAGES, rtol=1e-6)
    with pytest.raises(DistnormError, match="Python objects"):
        read_embeddings("x.npy")


def test_a_file_whose_ending_says_nothing(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    (tmp_path / "x.npy").rename(tmp_path / "rows")
    np.testing.assert_array_equal(read_embeddings(tmp_path / "rows"), IMAGES)
    (tmp_path / "x.bin").write_bytes(pickle.dumps(IMAGES))
    with pytest.raises(DistnormError, match=r"a \.pkl file"):
        read_embeddings(tmp_path / "x.bin")
    (tmp_path / "x.bin").write_bytes(b"something else")
    with pytest.raises(DistnormError, match=r"of type \.bin"):
        read_embeddings(tmp_path / "x.bin")
