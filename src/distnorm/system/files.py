"""Files that are written whole or not at all."""

from __future__ import annotations

import difflib
import errno
import glob
import os
import re
import shlex
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from distnorm.errors import DistnormError

if TYPE_CHECKING:
    from distnorm.arrays import NDArray

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "ARRAY_ERRORS",
    "atomic_write",
    "check_ending",
    "check_folder",
    "check_writable",
    "missing_file",
    "path_error",
    "plain_errors",
    "remove_stale",
    "save_array",
    "shared_name",
    "write_text",
]

# A running index as the command line names it, system:place; one letter is a drive.
_INDEX = re.compile(r"(?!https?:)[a-z][a-z-]+:\S")

ARRAY_ERRORS = (
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy raises for damaged files of arrays: it reads heads as Python, and archives."""


_KINDS = frozenset(
    (
        *(".arrow", ".avif", ".bmp", ".csv", ".db", ".duckdb", ".faiss", ".feather", ".gif", ".go"),
        *(".gz", ".h5", ".hdf5", ".heic", ".htm", ".html", ".index", ".ipynb", ".jpeg", ".jpg"),
        *(".js", ".json", ".jsonl", ".md", ".mjs", ".ndjson", ".npy", ".npz", ".onnx", ".parquet"),
        *(".pdf", ".pickle", ".pkl", ".png", ".pt", ".pth", ".py", ".safetensors", ".sql"),
        *(".sqlite", ".sqlite3", ".svg", ".tar", ".tgz", ".tif", ".tiff", ".toml", ".tsv"),
        *(".txt", ".usearch", ".webp", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip"),
    )
)


def check_ending(path: str | os.PathLike[str], what: str, *ends: str) -> None:
    """Raise if a name ends as files of another kind than ``what`` do; any unknown ending will do.

    The remedy is a name that ends in the first of ``ends``, those of its own kind.
    """
    pure = Path(path)
    if pure.suffix.lower() not in _KINDS.difference(ends):
        return
    better = pure.with_suffix(ends[0] if ends else "")
    raise DistnormError(
        f"{pure} for {what}",
        f"a name that ends in {ends[0]}" if ends else "the name of a folder",
        f"call it {better}",
    )


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``; flush it and rename it over ``path`` at the end.

    A crash or an error leaves the old file or the new one, never a part. The temporary file of a
    process that was killed is removed by the next one that writes to ``path``. A link goes on
    leading to its file; what is no file, such as ``/dev/null`` or a pipe, is written to.

    Raises `DistnormError` if the target is a directory, its folder is missing or read-only, or the
    disk is full.
    """
    target = _target(path)
    if _is_stream(target):
        try:
            with open(target, "wb") as stream:
                yield stream
        except OSError as error:
            raise _unwritable(target, error) from error
        return
    try:
        remove_stale(target.parent.glob(f".{glob.escape(target.name)}.*.tmp"))
        handle, name = _temporary(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:  # under its lock
                _put(name, target)
        if fcntl is None:
            _put(name, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        Path(name).unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text in UTF-8, whole or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise, before any work, what `atomic_write` would raise in the end; writes nothing."""
    target = _target(path)
    try:
        if _is_stream(target):
            if not os.access(target, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        handle, name = _temporary(target)
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        raise _unwritable(target, error) from error


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raise, before any work, for a folder that cannot be made or filled, or a file there."""
    with plain_errors(path):
        full = Path(path).absolute()
        place = next(place for place in (full, *full.parents) if place.exists())
        if not place.is_dir():
            raise DistnormError(f"the file {place}", "a folder", "choose another path")
    check_writable(place / ".distnorm")


@contextmanager
def plain_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the system says of a path that it cannot look at into a DistnormError."""
    if "\0" in os.fspath(path):
        raise DistnormError(f"a path with a NUL, {os.fspath(path)!r}", "a path", "check the path")
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _unwritable(Path(path), error) from error
        raise path_error(error, path) from error


def path_error(error: OSError, path: str | os.PathLike[str] | None = None) -> DistnormError:
    """The error for what the system says of a path."""
    name = path or error.filename or "a file"
    reasons = {
        errno.ENAMETOOLONG: ("a shorter name", "choose another path"),
        errno.ENOTDIR: ("folders in front of the last name", "check the path"),
        errno.EACCES: ("the right to do so", "check its owner and permissions"),
        errno.EPERM: ("the right to do so", "check its owner and permissions"),
        errno.EROFS: ("a disk that can be written", "choose another path"),
    }
    expected, remedy = reasons.get(error.errno or 0, ("a path that can be used", "check the path"))
    return DistnormError(f"{error.strerror or error} for {name}", expected, remedy)


def save_array(file: BinaryIO, values: NDArray) -> None:
    """As `numpy.save`, which does not say of a full disk that it is full."""
    from numpy.lib.format import write_array

    write_array(_Stream(file), values, allow_pickle=False)


class _Stream:
    """A file that NumPy does not take for one, and so writes to by Python's means."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, content: bytes) -> int:
        return self._file.write(content)


def remove_stale(paths: Iterable[Path]) -> None:
    """Remove temporary files that no process is writing any more: it was killed."""
    for path in paths:
        with suppress(OSError):
            handle = os.open(path, os.O_RDWR)
            try:
                if _locked(handle):
                    path.unlink()
            finally:
                os.close(handle)


def shared_name(path: str | os.PathLike[str]) -> str:
    """What to call a path in a file that others get: as it was given, or its last name.

    An absolute path, and one that leads upwards, would say how a machine is laid out.
    """
    pure = Path(path)
    return pure.name if pure.is_absolute() or ".." in pure.parts else pure.as_posix()


def missing_file(path: Path, what: str = "an existing file") -> DistnormError:
    """The error for a file that is not there, with the nearest name that is."""
    if _INDEX.match(str(path)):
        return DistnormError(
            f"an index, {path}",
            what,
            "an index goes to distnorm index, search and serve; to fit, leave the items out: "
            "ranking needs the queries alone; for thresholds and comparisons save a sample of "
            "its rows as .npy",
        )
    near = []
    with suppress(OSError):
        folder = path.parent if path.parent.is_dir() else Path()
        near = difflib.get_close_matches(path.name, os.listdir(folder), n=1)
    return DistnormError(
        f"no file {path}", what, f"did you mean {folder / near[0]}?" if near else "check the path"
    )


def _target(path: str | os.PathLike[str]) -> Path:
    """The file to be written, behind links; raises for a folder."""
    with plain_errors(path):
        target = Path(path)
        if target.is_dir():
            raise DistnormError(f"the directory {target}", "a file to write", "name a file in it")
        return Path(os.path.realpath(target)) if target.is_symlink() else target


def _is_stream(target: Path) -> bool:
    return target.exists() and not target.is_file()


def _temporary(target: Path) -> tuple[int, str]:
    """A new file beside ``target``, open and locked for as long as it is written."""
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        # Whoever removes stale files may have come in between.
        if _locked(handle, wait=True) and os.path.exists(name):
            return handle, name
        os.close(handle)


def _put(name: str, target: Path) -> None:
    os.chmod(name, _permissions(target))
    os.replace(name, target)


def _locked(handle: int, *, wait: bool = False) -> bool:
    """Whether this process now holds an open file, where the system tells (else it does)."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks
        return wait
    return True


def _permissions(target: Path) -> int:
    """Those of the file that is replaced, else what the process gives new files."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _unwritable(target: Path, error: OSError) -> DistnormError:
    if error.errno == errno.EFBIG:
        return DistnormError(
            f"a limit on the size of files while writing {target}",
            "room for the file",
            "raise the limit: ulimit -f unlimited",
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DistnormError(
            f"a full disk while writing {target}", "room for the file", "free some and run again"
        )
    if error.errno == errno.ENOENT:
        return DistnormError(
            f"no folder {target.parent}",
            "an existing folder",
            f"create it: mkdir -p {shlex.quote(str(target.parent))}",
        )
    return DistnormError(
        f"{error.strerror or error} for {target}", "a writable place", "choose another path"
    )
