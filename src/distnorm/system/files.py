"""Files that are written whole or not at all."""

from __future__ import annotations

import difflib
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from distnorm.errors import DistnormError

__all__ = ["atomic_write", "missing_file"]


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``; flush it and rename it over ``path`` at the end.

    A crash or an error leaves the old file or the new one, never a part, and no temporary
    file unless the process itself is killed.

    Raises
    ------
    DistnormError
        If the target is a directory, its folder is missing or read-only, or the disk is full.
    """
    target = Path(path)
    if target.is_dir():
        raise DistnormError(f"the directory {target}", "a file to write", "name a file in it")
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _permissions(target))
        os.replace(name, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        Path(name).unlink(missing_ok=True)


def missing_file(path: Path) -> DistnormError:
    """The error for a file that is not there, with the nearest name that is."""
    folder = path.parent if path.parent.is_dir() else Path()
    near = difflib.get_close_matches(path.name, os.listdir(folder), n=1)
    return DistnormError(
        f"no file {path}",
        "an existing file",
        f"did you mean {folder / near[0]}?" if near else "check the path",
    )


def _permissions(target: Path) -> int:
    """Those of the file that is replaced, else what the process gives new files."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _unwritable(target: Path, error: OSError) -> DistnormError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DistnormError(
            f"a full disk while writing {target}", "room for the file", "free some and run again"
        )
    if error.errno == errno.ENOENT:
        return DistnormError(
            f"no folder {target.parent}",
            "an existing folder",
            f"create it: mkdir -p {target.parent}",
        )
    return DistnormError(
        f"{error.strerror or error} for {target}", "a writable place", "choose another path"
    )
