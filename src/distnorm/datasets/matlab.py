"""MATLAB files, read in a process of their own: damaged ones can end their reader."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from distnorm.errors import DistnormError, require

__all__ = ["read_mat"]

_SECONDS, _BYTES = 120, 1 << 32
_CODE = """
import json, pickle, sys
sys.path[:] = json.loads(sys.argv[2])
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]),) * 2)
except (ImportError, ValueError, OSError):
    pass
import scipy.io
names = json.loads(sys.argv[4])
found = scipy.io.loadmat(sys.argv[1], squeeze_me=True, variable_names=names)
sys.stdout.buffer.write(pickle.dumps({name: found[name] for name in names if name in found}))
"""


def read_mat(path: Path, *names: str) -> dict[str, Any]:
    """Variables of a MATLAB file, sizes of 1 squeezed; needs SciPy.

    Raises a DistnormError for a file that cannot be read, that ends or holds up the process that
    reads it, or that lacks a variable.
    """
    require("scipy.io", "datasets")
    arguments = [str(path), json.dumps(sys.path), str(_BYTES), json.dumps(names)]
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _CODE, *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unreadable(path, f"not read in {_SECONDS} seconds") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if done.returncode < 0:
        raise _unreadable(path, f"its reader was ended by signal {-done.returncode}")
    if done.returncode:
        raise _unreadable(path, "unreadable")
    variables: dict[str, Any] = pickle.loads(done.stdout)
    missing = [name for name in names if name not in variables]
    if missing:
        raise DistnormError(
            f"{path} without {', '.join(missing)}", "the official file", "get it again"
        )
    return variables


def _unreadable(path: Path, why: str) -> DistnormError:
    return DistnormError(f"{path}, {why}", "a MATLAB file of version 5", "get the official file")
