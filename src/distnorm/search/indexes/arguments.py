"""What is handed in, checked: a spec's place, files and columns that must be there, queries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, Float64, as_working, check_embeddings, to_numpy
from distnorm.errors import DistnormError, first_line
from distnorm.normalization import ScoreNormalization

__all__ = [
    "existing",
    "int_ids",
    "known_columns",
    "no_connection",
    "not_there",
    "one_of",
    "query_rows",
    "quoted_password",
    "side_of",
    "split_last",
    "text",
    "whole",
]


def split_last(target: str, system: str, what: str) -> tuple[str, str]:
    """``a/b/c`` as ``a/b`` and ``c``, neither of them empty."""
    head, _, tail = target.rpartition("/")
    if not head or not tail or head.endswith(":/"):
        raise DistnormError(
            f"{system}:{target}", f"{system}:PLACE/{what.upper()}", f"name the {what} at the end"
        )
    return head, tail


def existing(path: str, what: str, *, folder: bool = False) -> Path:
    """The path of a file or folder that is there; ``what`` says of which kind."""
    place = Path(path)
    try:
        there = place.is_dir() if folder else place.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise DistnormError(
            f"no {'folder' if folder else 'file'} {path}", what, "check the path in the spec"
        )
    return place


def known_columns(names: Iterable[str], place: str, *columns: str) -> None:
    """Raise unless a table has these columns."""
    names = list(names)
    for column in columns:
        if column not in names:
            raise DistnormError(
                f"no column {column!r} in {place}",
                f"one of {', '.join(names)}",
                "name the columns of vectors and of ids: column=, id=",
            )


def one_of(name: str, value: str, choices: Iterable[str], remedy: str = "pick one") -> None:
    """Raise unless an option has one of its values."""
    if value not in choices:
        raise DistnormError(f"{name} {value!r}", ", ".join(filter(None, choices)), remedy)


def not_there(
    kind: str, name: str, place: str, those: Callable[[], Iterable[Any]]
) -> DistnormError:
    """The error for a table or collection that is not there; ``those`` lists what is, or names."""
    try:
        known = sorted(getattr(each, "name", each) for each in those())
    except Exception:
        # A server may not let everybody list what it has.
        known = []
    there = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return DistnormError(f"no {kind} {name!r} in {place}", there or f"a {kind}", f"name the {kind}")


def no_connection(place: str, error: BaseException, remedy: str) -> DistnormError:
    """The error for a server that does not answer, with the first line of the client's own."""
    return DistnormError(
        f"no connection to {place}: {first_line(error)}", "a running server", remedy
    )


def quoted_password(target: str) -> None:
    """Raise for a password in an address that would be read as something else from / ? # @ on."""
    found = re.match(r"[^:]*://[^/:@?#]*:(.*)", target, re.DOTALL)
    rest = found[1] if found else ""
    if "@" not in rest or re.match(r"[^/?#@]*@[^/?#@]*(?:[/?]|$)|\d{1,5}[/,?]", rest):
        return
    raise DistnormError(
        f"a password with / ? # or @ in {target.partition(':')[0]}://...",
        "these characters as %2F, %3F, %23 and %40",
        "write urllib.parse.quote(password, safe='') of it",
    )


def query_rows(queries: Array, dimension: int) -> Float64:
    """Queries, shape (n, dimension), of any array library in float64."""
    checked = check_embeddings(queries, "queries", dimension=dimension)
    return np.asarray(to_numpy(as_working(checked)), dtype=np.float64)


def int_ids(ids: Any, expected: str) -> npt.NDArray[np.int64]:
    """Ids that are numbers, as a filter lists them."""
    try:
        found = np.asarray(list(ids))
        if found.size and found.dtype.kind not in "iu":
            raise TypeError(found.dtype)
        return found.astype(np.int64).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        got = f"filter={str(ids)[:80]!r}"
        raise DistnormError(got, expected, "pass whole numbers") from error


def text(value: Any, name: str, expected: str) -> str:
    """A text, for what takes nothing else."""
    if not isinstance(value, str):
        raise DistnormError(f"{name}={str(value)[:80]!r}", expected, "pass a text")
    return value


def whole(value: Any, name: str) -> int:
    """A whole number from 0 on."""
    if value == 0 and not isinstance(value, (bool, float)):
        return 0
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value > 0:
        return int(value)
    raise DistnormError(f"{name} = {value!r}", "an integer from 0 on", "leave it out for 0")


def side_of(
    norm: ScoreNormalization, side: str | None, modality: str | None, *, items: bool
) -> str:
    """The side named by ``query_side`` or ``item_side``, or by its alias ``modality``.

    Left out, queries are of the text side and items of the other one, where there is a text side.
    """
    keyword = "item_side" if items else "query_side"
    named = [norm.names.resolve(each) for each in (side, modality) if each is not None]
    if len(set(named)) > 1:
        raise DistnormError(
            f"{keyword}={side!r} and modality={modality!r}", "one of them", "leave modality out"
        )
    if named:
        return named[0]
    if "text" not in norm.sides:
        raise DistnormError(
            f"a normalization of the sides {norm.sides[0]!r} and {norm.sides[1]!r}",
            f"{keyword}=, one of them",
            f"say {keyword}={norm.sides[0 if items else 1]!r} or the other",
        )
    return norm.names.other("text") if items else "text"
