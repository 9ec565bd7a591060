"""Parts of a spec's place, and files that must be there."""

from __future__ import annotations

from pathlib import Path

from distnorm.errors import DistnormError

__all__ = ["existing", "split_last"]


def split_last(target: str, system: str, what: str) -> tuple[str, str]:
    """``a/b/c`` as ``a/b`` and ``c``.

    Raises
    ------
    DistnormError
        If either part is empty.
    """
    head, _, tail = target.rpartition("/")
    if not head or not tail or head.endswith(":/"):
        raise DistnormError(
            f"{system}:{target}", f"{system}:PLACE/{what.upper()}", f"name the {what} at the end"
        )
    return head, tail


def existing(path: str, what: str, *, folder: bool = False) -> Path:
    """The path, if it is there.

    Raises
    ------
    DistnormError
        If it is not.
    """
    found = Path(path)
    try:
        there = found.is_dir() if folder else found.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise DistnormError(
            f"no {'folder' if folder else 'file'} {path}", what, "check the path in the spec"
        )
    return found
