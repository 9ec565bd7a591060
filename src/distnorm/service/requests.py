"""What a request's JSON asks for, checked before anything is computed.

Everything that a client can do wrong is found here and said in one line, with status 400 or 413;
what fails later is the store, the index or the service.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import Float32
from distnorm.service.limits import Limits, Refusal

__all__ = ["Asked", "Wanted", "asked", "parsed", "picture_of", "rows_of", "text_of", "wanted_of"]

_SEARCH = frozenset(
    {"query", "vector", "picture", "k", "filter", "method", "strength", "also", "side"}
)

_DEEP = 20  # levels of lists and objects in each other


@dataclass(frozen=True)
class Wanted:
    """A list that is asked for: method and strength, None for the service's own."""

    method: str | None = None
    strength: float | None = None


@dataclass(frozen=True)
class Asked:
    """One search: exactly one of text, picture and row; ``brief`` for ids and scores alone."""

    k: int
    text: str | None = None
    picture: bytes | None = None
    row: Float32 | None = None
    filter: Any = None
    wanted: Wanted = Wanted()
    also: Wanted | None = None
    brief: bool = False


def parsed(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; no NaN, no infinity, no key twice, and no deep nesting."""
    try:
        found = json.loads(
            body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_distinct
        )
    except Refusal:
        raise
    except (ValueError, RecursionError) as error:
        what = "too deep" if isinstance(error, RecursionError) else "no JSON"
        raise Refusal(400, f"a body that is {what}", "a JSON object", "send one") from error
    if sum(map(body.count, (b"[", b"{"))) > _DEEP and _is_deep(found):
        raise Refusal(400, "JSON that is too deep", f"at most {_DEEP} levels", "flatten it")
    if not isinstance(found, dict):
        raise Refusal(400, "JSON that is no object", "an object", 'send {"query": "..."}')
    return found


def asked(values: dict[str, Any], limits: Limits, dimension: int) -> Asked:
    """The search that an object describes; refused for unknown keys, types and bounds."""
    unknown = sorted(set(values) - _SEARCH)
    if unknown:
        raise Refusal(
            400, f"the key {unknown[0][:40]!r}", ", ".join(sorted(_SEARCH)), "leave it out"
        )
    given = [key for key in ("query", "vector", "picture") if values.get(key) is not None]
    if len(given) != 1:
        raise Refusal(
            400, f"{len(given)} of query, vector and picture", "exactly one", "send one of them"
        )
    k = values.get("k", 10)
    if type(k) is not int or not 1 <= k <= limits.k:
        raise Refusal(400, f"k = {_short(k)}", f"1 to {limits.k}", "ask for as many")
    also = values.get("also")
    if also is not None and not isinstance(also, dict):
        raise Refusal(400, f"also = {_short(also)}", "an object", 'e.g. {"method": "dn"}')
    if also is not None and set(also) - {"method", "strength"}:
        raise Refusal(400, "also with other keys", "method and strength", "leave them out")
    text, picture, row = None, None, None
    if given[0] == "query":
        text = text_of(values["query"], limits)
    elif given[0] == "picture":
        picture = picture_of(values["picture"], limits)
    else:
        row = rows_of([values["vector"]], dimension, 1, "vector")
    return Asked(
        k,
        text,
        picture,
        row,
        values.get("filter"),
        wanted_of(values),
        None if also is None else wanted_of(also),
    )


def text_of(value: Any, limits: Limits) -> str:
    """A query in words."""
    if not isinstance(value, str) or not value.strip():
        raise Refusal(400, f"query = {_short(value)}", "words", "send a text that is not empty")
    if len(value) > limits.text:
        raise Refusal(
            413, f"a query of {len(value)} characters", f"at most {limits.text}", "shorten it"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Refusal(400, "a query of broken characters", "Unicode text", "mend it") from error
    return value


def picture_of(value: Any, limits: Limits) -> bytes:
    """A picture's bytes from base64, bare or as a data URL."""
    if not isinstance(value, str):
        raise Refusal(400, f"picture = {_short(value)}", "base64 text", "send it so")
    code = value.partition(",")[2] if value.startswith("data:") else value
    if len(code) > 4 * (limits.picture // 3 + 1):
        raise Refusal(413, "a picture that is too large", f"{limits.picture} bytes", "shrink it")
    try:
        content = base64.b64decode(code, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, "a picture that is no base64", "base64 text", "send it so") from error
    if not content:
        raise Refusal(400, "an empty picture", "the bytes of a file", "send them in base64")
    return content


def rows_of(values: Any, dimension: int, most: int, name: str = "vectors") -> Float32:
    """Vectors (n, d), at most so many: finite numbers, no row of zeros; others are refused."""
    if not isinstance(values, list) or not values:
        raise Refusal(400, f"{name} = {_short(values)}", "a list of vectors", "send [[...], ...]")
    if len(values) > most:
        raise Refusal(413, f"{len(values)} vectors", f"at most {most}", "send fewer at a time")
    for row in values:
        if not isinstance(row, list) or len(row) != dimension:
            size = f"{len(row)} numbers" if isinstance(row, list) else _short(row)
            raise Refusal(
                400, f"a vector of {size}", f"{dimension} numbers", "use the vectors of the model"
            )
        # Sums are quick; a bool or a text in between is no number here.
        if not all(type(x) is float or type(x) is int for x in row):
            raise Refusal(400, "a vector with what is no number", "numbers", "mend it")
    try:
        with np.errstate(over="ignore"):
            rows = np.array(values, dtype=np.float64).astype(np.float32)
    except (OverflowError, ValueError) as error:
        raise Refusal(400, "a vector with a huge number", "finite ones", "mend it") from error
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    if not np.isfinite(rows).all() or not (lengths > 1e-12).all() or lengths.max() > 1e6:
        raise Refusal(
            400, "a vector of no use", "finite numbers that are not all 0", "encode it again"
        )
    return rows


def wanted_of(values: dict[str, Any]) -> Wanted:
    """Method and strength of an object."""
    method, strength = values.get("method"), values.get("strength")
    if method is not None and not isinstance(method, str):
        raise Refusal(400, f"method = {_short(method)}", "a name", "see /config")
    if strength is not None:
        if type(strength) not in (int, float) or not 0 <= strength <= 8:
            raise Refusal(400, f"strength = {_short(strength)}", "0 to 8", "leave it out")
        strength = float(strength)
    return Wanted(method, strength)


def _is_deep(value: Any) -> bool:
    """Whether lists and objects lie in each other deeper than anything here needs."""
    level = [value]
    for _ in range(_DEEP):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list) and each and isinstance(each[0], (list, dict)):
                inner += each
            elif isinstance(each, list):
                inner += [x for x in each if isinstance(x, (list, dict))]
        level = [each for each in inner if isinstance(each, (list, dict))]
        if not level:
            return False
    return True


def _no_constant(name: str) -> Any:
    raise Refusal(400, f"the number {name}", "finite numbers", "JSON has no NaN and no infinity")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refusal(400, "a key that comes twice", "each once", "leave one out")
    return found


def _short(value: Any) -> str:
    words = " ".join(repr(value).split())
    return words if len(words) <= 40 else f"{words[:40]}..."
