"""Lines of text files. Only line feed, carriage return and both end a line, as for an editor.

``str.splitlines`` also ends one at U+2028, U+0085, form feeds and other characters that captions
from the web hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from distnorm.errors import DistnormError

__all__ = ["text_lines"]


def text_lines(path: str | os.PathLike[str], label: str | None = None) -> Iterator[str]:
    """Lines of a UTF-8 file without their ends; a byte order mark is left out.

    Parameters
    ----------
    path : path
    label : str, optional
        What messages call it, if not by its path.

    Raises
    ------
    DistnormError
        For a file that cannot be read, or is no UTF-8.
    """
    name = os.fspath(path) if label is None else label
    try:
        with open(path, encoding="utf-8-sig") as file:
            for line in file:
                yield line.removesuffix("\n")
    except UnicodeDecodeError as error:
        raise DistnormError(f"{name}, which is no text", "UTF-8 lines", "convert it") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise DistnormError(f"{name}: {why}", "a file of lines", "check the path") from error
