"""Vectors that stand in texts, bytes and nested JSON: the line that takes them out."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from distnorm.store.vector_choice import called_vectors
from distnorm.system.separated import is_number

__all__ = ["is_vector", "unpacking", "way_to_vectors"]


def is_vector(value: Any) -> bool:
    """Whether a value of JSON is a list of numbers, or of lists of them."""
    return isinstance(value, list) and len(value) > 1 and not isinstance(value[0], (str, dict))


def unpacking(value: Any) -> str | None:
    """What makes numbers of a cell of such a form, called ``v``; None for other words."""
    if isinstance(value, bytes):
        return "numpy.frombuffer(v, 'float32')"
    if isinstance(value, dict):
        return next((f"v[{key!r}]" for key, one in value.items() if isinstance(one, list)), None)
    if isinstance(value, list) and value:
        first = value[0]
        if isinstance(first, dict) and first:
            return f"[one[{next(iter(first))!r}] for one in v]"
        return f"[{'one[1]' if isinstance(first, tuple) else 'float(one)'} for one in v]"
    if not isinstance(value, str):
        return None
    if re.match(r"\s*\[\s*[-+\d.]", value):
        return "numpy.array(json.loads(v))"
    if re.match(r"(\\x|0x)([0-9a-fA-F]{8})+$", value):
        return "numpy.frombuffer(bytes.fromhex(v[2:]), 'float32')"
    numbers = re.split(r"[\s,;]+", value.strip())
    if len(numbers) > 1 and all(map(is_number, numbers)):
        return r"numpy.array(re.split(r'[\s,;]+', v.strip()), 'float32')"
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return "numpy.frombuffer(base64.b64decode(v), 'float32')" if _is_packed(content) else None


def way_to_vectors(value: Any, lines: bool) -> str | None:
    """The list of the vectors in a file of JSON, or of JSON lines, in Python; None for none.

    ``value`` is that of the file; of lines, the list of theirs.
    """
    found = _way(value, "json.load(open(FILE))", "abcdefgh", False)
    if found is None:
        return None
    end, loops = found
    text = f"[{end}{''.join(loops)}]"
    return text.replace("json.load(open(FILE))", "map(json.loads, open(FILE))") if lines else text


def _way(value: Any, place: str, names: str, called: bool) -> tuple[str, list[str]] | None:
    """The end of a comprehension and its loops, from a value to the first vector in it."""
    if isinstance(value, list) and value and isinstance(value[0], (int, float)):
        return (place, []) if len(value) > 1 else None
    if isinstance(value, str) and called:
        code = unpacking(value)
        return None if code is None else (re.sub(r"\bv\b", lambda _: place, code), [])
    if not names or not isinstance(value, (list, dict)) or not value:
        return None
    inner = next(iter(value.values())) if isinstance(value, dict) else value[0]
    if isinstance(value, list) or (len(value) > 1 and _alike(list(value.values()))):
        rows = place if isinstance(value, list) else f"{place}.values()"
        found = _way(inner, names[0], names[1:], called)
        return None if found is None else (found[0], [f" for {names[0]} in {rows}", *found[1]])
    ways = (
        _way(one, f"{place}[{key!r}]", names, called or called_vectors(key))
        for key, one in sorted(value.items(), key=lambda pair: not called_vectors(pair[0]))
    )
    return next((way for way in ways if way is not None), None)


def _alike(values: list[Any]) -> bool:
    """Whether entries of an object are vectors, or objects, of one form."""
    if all(map(is_vector, values)):
        return len({len(value) for value in values}) == 1
    if not all(isinstance(value, dict) for value in values):
        return False
    return len({tuple(value) for value in values}) == 1


def _is_packed(content: bytes) -> bool:
    return len(content) > 15 and len(content) % 4 == 0
