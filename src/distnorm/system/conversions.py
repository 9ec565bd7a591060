"""What turns files and folders that are not read into one that is."""

from __future__ import annotations

import re
from pathlib import Path

from distnorm.system.lines import POINTER

__all__ = ["CONVERSIONS", "RAW", "kind_of_file", "kind_of_folder"]

RAW = "numpy.save('rows.npy', numpy.fromfile(FILE, 'float32').reshape(-1, DIMENSIONS))"
"""For files of numbers without a head."""

_SAVE = "numpy.save('rows.npy', x)"
_TORCH = (
    "x = torch.load(FILE, map_location='cpu', weights_only=True); "
    "numpy.save('rows.npy', x.float().numpy()) # before it, of a dictionary x = x['NAME'], of a "
    "list x = torch.stack(x)"
)
_PICKLE = (
    "if you trust it, x = pandas.read_pickle(FILE); numpy.save('rows.npy', numpy.stack(list(x))) "
    "# before it, of a dictionary x = x.values() or x['NAME'], of a table x = x['NAME']"
)
_HDF5 = f"x = h5py.File(FILE)['NAME'][:]; {_SAVE}"
_FAISS = (
    f"x = faiss.read_index(FILE).reconstruct_n(); {_SAVE}; or, to search, audit or serve it as it "
    "is, write faiss: before its name"
)
_SQLITE = (
    "x = [numpy.frombuffer(v, 'float32') for (v,) in sqlite3.connect(FILE).execute("
    f"'SELECT COLUMN FROM TABLE')]; {_SAVE}; or, to search or serve it, write sqlite-vec: before "
    "its name and /TABLE behind it"
)
_DUCKDB = (
    "x = [v for (v,) in duckdb.connect(FILE).sql('SELECT COLUMN FROM TABLE').fetchall()]; "
    f"{_SAVE}; or, to search or serve it, write duckdb: before its name and /TABLE behind it"
)
_BIN = (
    "numpy.save('rows.npy', numpy.fromfile(FILE, {!r}, offset=8).astype('float32')"
    ".reshape(numpy.fromfile(FILE, 'uint32', 2)))"
)
CONVERSIONS = {
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".ckpt": _TORCH,
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".hdf": _HDF5,
    ".mat": f"x = scipy.io.loadmat(FILE)['NAME']; {_SAVE}",
    ".pkl": _PICKLE,
    ".pickle": _PICKLE,
    ".joblib": f"if you trust it, x = joblib.load(FILE); {_SAVE}",
    ".fvecs": "x = numpy.fromfile(FILE, 'int32'); "
    "numpy.save('rows.npy', x.reshape(-1, x[0] + 1)[:, 1:].view('float32'))",
    ".ivecs": "x = numpy.fromfile(FILE, 'int32'); "
    "numpy.save('rows.npy', x.reshape(-1, x[0] + 1)[:, 1:].astype('float32')) # unless it holds "
    "the neighbours of queries, as benchmarks have them",
    ".bvecs": "x = numpy.fromfile(FILE, 'uint8'); "
    "numpy.save('rows.npy', x.reshape(-1, x[:4].view('int32')[0] + 4)[:, 4:].astype('float32'))",
    ".fbin": _BIN.format("float32"),
    ".u8bin": _BIN.format("uint8"),
    ".i8bin": _BIN.format("int8"),
    ".xls": f"x = pandas.read_excel(FILE).to_numpy('float32'); {_SAVE}",
    ".xlsx": f"x = pandas.read_excel(FILE).to_numpy('float32'); {_SAVE}",
    ".orc": "pyarrow.parquet.write_table(pyarrow.orc.read_table(FILE), 'rows.parquet')",
    ".index": _FAISS,
    ".faiss": _FAISS,
    ".usearch": f"x = usearch.index.Index.restore(FILE); x = x.get(x.keys); {_SAVE}; or, to search "
    "or serve it, write usearch: before its name",
    ".ann": f"i = annoy.AnnoyIndex(DIMENSIONS, 'angular'); i.load(FILE); "
    f"x = [i.get_item_vector(n) for n in range(i.get_n_items())]; {_SAVE}",
    ".sqlite": _SQLITE,
    ".sqlite3": _SQLITE,
    ".duckdb": _DUCKDB,
    ".lfs": "it is a pointer; fetch the file that it points to: git lfs pull",
    ".gz": "unpack it first: gunzip FILE",
    ".bz2": "unpack it first: bunzip2 FILE",
    ".xz": "unpack it first: unxz FILE",
    ".zst": "unpack it first: unzstd FILE",
    ".zip": "unpack it first: unzip FILE",
}
"""What turns files that are not read into one that is, by their endings."""

_STARTS = {
    re.compile(POINTER): ".lfs",
    re.compile(rb"\x93NUMPY"): ".npy",
    re.compile(rb"PK\x03\x04.{26}[^/]*/(data\.pkl|\.format_version)", re.DOTALL): ".pt",
    re.compile(rb"PK\x03\x04"): ".npz",
    re.compile(rb"PAR1"): ".parquet",
    re.compile(rb"ARROW1"): ".arrow",
    re.compile(rb"\x89HDF"): ".h5",
    re.compile(rb"\x80[\x02-\x05]"): ".pkl",
    re.compile(rb"\x1f\x8b"): ".gz",
    re.compile(rb"ORC"): ".orc",
    re.compile(rb"SQLite format 3"): ".sqlite",
    re.compile(rb".{8}DUCK", re.DOTALL): ".duckdb",
    re.compile(rb"usearch"): ".usearch",
    re.compile(rb"I[xwHBM2]\w\w"): ".faiss",
}

# By what lies in them.
_FOLDERS = {
    ("zarr.json", ".zarray", ".zgroup"): (
        "a Zarr array or group",
        f"x = zarr.open(FILE)[:]; {_SAVE} # of a group zarr.open(FILE)['NAME'][:]",
    ),
    ("_delta_log",): (
        "a Delta table, whose files also hold rows that were deleted",
        "pyarrow.parquet.write_table(deltalake.DeltaTable(FILE).to_pyarrow_table(), "
        "'rows.parquet')",
    ),
    ("dataset_info.json", "dataset_dict.json"): (
        "a data set of the library datasets",
        f"x = numpy.asarray(datasets.load_from_disk(FILE)['NAME'][:]); {_SAVE}",
    ),
    ("*.lance",): (
        "a folder of LanceDB",
        "x = numpy.stack(lancedb.connect(FILE).open_table('TABLE').to_arrow()['NAME'].to_pylist())"
        f"; {_SAVE}; or, to search or serve it, write lancedb:FOLDER/TABLE",
    ),
    ("collection/*/storage.sqlite",): (
        "a folder of Qdrant",
        "x = [p.vector for p in qdrant_client.QdrantClient(path=FILE).scroll('NAME', "
        f"limit=10**9, with_vectors=True)[0]]; {_SAVE}; or, to search or serve it, write "
        "qdrant:FOLDER/NAME",
    ),
    ("chroma.sqlite3",): (
        "a folder of Chroma",
        "x = chromadb.PersistentClient(FILE).get_collection('NAME').get(include=['embeddings'])"
        f"['embeddings']; {_SAVE}; or, to search or serve it, write chroma:FOLDER/NAME",
    ),
}


def kind_of_file(path: Path) -> str | None:
    """The ending that a file's first bytes call for."""
    with path.open("rb") as file:
        start = file.read(128)
    return next((end for magic, end in _STARTS.items() if magic.match(start)), None)


def kind_of_folder(folder: Path) -> tuple[str, str] | None:
    """What a folder of another system is, and what converts it; None for any other."""
    for names, kind in _FOLDERS.items():
        if any(any(folder.glob(name)) for name in names):
            return kind
    return None
