"""What turns files that are not read into one that is."""

from __future__ import annotations

__all__ = ["CONVERSIONS"]

_SAVE = "numpy.save('rows.npy', x)"
_TORCH = f"x = torch.load(FILE, map_location='cpu', weights_only=True).float().numpy(); {_SAVE}"
_PICKLE = f"if you trust it, x = numpy.stack(list(pandas.read_pickle(FILE))); {_SAVE}"
_HDF5 = f"x = h5py.File(FILE)['NAME'][:]; {_SAVE}"
_FAISS = (
    f"x = faiss.read_index(FILE).reconstruct_n(); {_SAVE}; or, to search, audit or serve it as it "
    "is, write faiss: before its name"
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
    ".xls": f"x = pandas.read_excel(FILE).to_numpy('float32'); {_SAVE}",
    ".xlsx": f"x = pandas.read_excel(FILE).to_numpy('float32'); {_SAVE}",
    ".index": _FAISS,
    ".faiss": _FAISS,
    ".gz": "unpack it first: gunzip FILE",
    ".bz2": "unpack it first: bunzip2 FILE",
    ".xz": "unpack it first: unxz FILE",
    ".zst": "unpack it first: unzstd FILE",
    ".zip": "unpack it first: unzip FILE",
}
"""What turns files that are not read into one that is, by their endings."""
