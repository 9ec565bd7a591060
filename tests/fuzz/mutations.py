"""Changes of files and texts: what disks, editors, other programs and hands do to them."""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Callable
from typing import Any

__all__ = [
    "mutate_bytes",
    "mutate_json",
    "mutate_npy",
    "mutate_table",
    "mutate_text",
    "mutate_value",
]

NUMBERS = (
    "nan", "inf", "-inf", "-1", "0", "1e400", "-0.0", "1e-400", "9" * 30, "9" * 5000, "0x10",
    "\uff11\uff12", "1_0", "1,5", "", " ", "+1", "1e", "2147483648", "9223372036854775808",
)  # fmt: skip
PIECES = (
    "\u2028", "\u0085", "\x00", "\ufeff", "\u202e", "\x1b[31m", "\r", "\r\n", "\n\n", "\t", ",",
    ";", '"', "'", "[", "]", "{", "}", "{c}", "{}", "{0}", "%s", "|", "=", ":", "@", "?", "&",
    "#", "/", "..", "~", "*", "[/b]", "\\", "\U0001f469\u200d\U0001f52c", "e\u0301", "-", "--",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "x", "\u202e\x1b[31m", "nan", "1", [], {}, [None], [[]], {"": None},
    [0] * 3, ["x", 1],
)  # fmt: skip


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """A few bits, a cut, a hole, a copy, a run of one byte."""
    if not data:
        return rng.randbytes(rng.randint(1, 40))
    changed = bytearray(data)
    at, size = rng.randrange(len(data)), rng.choice((1, 2, 4, 8, 64, 512))
    what = rng.randrange(8)
    if what <= 1:
        for _ in range(1 if what == 0 else rng.randint(2, 20)):
            place = rng.randrange(len(changed))
            changed[place] ^= 1 << rng.randrange(8)
    elif what == 2:
        del changed[at:]
    elif what == 3:
        del changed[at : at + size]
    elif what == 4:
        changed[at:at] = changed[at : at + size]
    elif what == 5:
        changed[at : at + size] = rng.choice((b"\0", b"\xff", b" ", b"\n")) * size
    elif what == 6:
        changed[at:at] = rng.randbytes(size)
    else:
        # The beginning, where headers are.
        place = rng.randrange(min(len(changed), 96))
        changed[place] = rng.randrange(256)
    return bytes(changed)


def mutate_text(rng: random.Random, text: str) -> str:
    """Lines gone, doubled or turned, numbers that are none, odd characters, other separators."""
    lines = text.split("\n")
    at, what = rng.randrange(len(lines)), rng.randrange(13)
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(at, lines[at])
    elif what == 2:
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif what == 3:
        lines[at] = rng.choice(("", " ", "\t", ",", "a head", "x" * 3000, "# note", '"'))
    elif what <= 6:
        found = list(re.finditer(r"[-+\d.][\d.eE+-]*", text))
        if found:
            one = rng.choice(found)
            return text[: one.start()] + rng.choice(NUMBERS) + text[one.end() :]
    elif what <= 9:
        place = rng.randint(0, len(text))
        return text[:place] + rng.choice(PIECES) + text[place + rng.randint(0, 2) :]
    elif what == 10:
        return text.replace(*rng.choice(((",", ";"), (",", "\t"), ("\n", "\r\n"), ("\n", "\r"))))
    elif what == 11:
        return text[: rng.randint(0, len(text))]
    else:
        return rng.choice(("\ufeff", "\n", " ", "x\n", "a,b\n")) + text
    return "\n".join(lines)


def encoded(rng: random.Random, text: str) -> bytes:
    """Mostly UTF-8."""
    kind = rng.choice(("utf-8",) * 8 + ("utf-16", "latin-1"))
    return text.encode(kind, "surrogatepass" if kind != "latin-1" else "replace")


def mutate_value(rng: random.Random, value: Any) -> Any:
    """Plain values with one part gone, renamed or of another kind."""
    value = json.loads(json.dumps(value))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        keys = (
            node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        )
        for key in list(keys)[:200]:
            places.append((node, key))
            walk(node[key])

    walk(value)
    if not places or rng.random() < 0.03:
        return rng.choice(VALUES)
    node, key = rng.choice(places)
    what = rng.randrange(6)
    if what == 0:
        del node[key]
    elif what == 1 and isinstance(node, dict):
        node[key + rng.choice(("", " ", "s", "\u200b")) or "x"] = node.pop(key)
    elif what == 2 and isinstance(node[key], (int, float)):
        node[key] = rng.choice((-node[key], node[key] * 10**9, str(node[key]), [node[key]], 0))
    elif what == 3 and isinstance(node[key], str):
        node[key] = mutate_text(rng, node[key])
    elif what == 4 and isinstance(node[key], list):
        node[key] = (node[key] * 2)[: rng.randint(0, 2 * len(node[key]))]
    else:
        node[key] = rng.choice(VALUES)
    return value


def mutate_json(rng: random.Random, data: bytes) -> bytes:
    """JSON with another part; now and then nested without end."""
    try:
        value = json.loads(data)
    except ValueError:
        lines = data.decode(errors="replace").split("\n")
        at = rng.randrange(len(lines))
        try:
            lines[at] = json.dumps(mutate_value(rng, json.loads(lines[at])))
        except ValueError:
            return encoded(rng, mutate_text(rng, "\n".join(lines)))
        return "\n".join(lines).encode()
    if rng.random() < 0.01:
        return b"[" * 20000 + b"]" * 20000
    return json.dumps(mutate_value(rng, value)).encode()


def mutate_npy(rng: random.Random, data: bytes) -> bytes:
    """Another header of the same length."""
    end = 10 + int.from_bytes(data[8:10], "little")
    head = data[10:end].decode("latin-1")
    found = list(re.finditer(r"\d+|True|False|<f\d|'[a-z]+'", head))
    one = rng.choice(found)
    new = rng.choice(
        ("0", "-1", "7", str(2**31), str(2**62), "True", "'<i8'", "'|O'", "None", "<U9")
    )
    text = (head[: one.start()] + new + head[one.end() :]).rstrip("\n ")
    body = text.encode("latin-1")[: end - 11].ljust(end - 11) + b"\n"
    return data[:10] + body + data[end:]


def mutate_table(rng: random.Random, data: bytes) -> bytes:
    """Parquet with a column gone, renamed, of another type, with nulls, or fewer rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    at, what = rng.randrange(table.num_columns), rng.randrange(6)
    name, column = table.column_names[at], table.column(at)
    changes: tuple[Callable[[], Any], ...] = (
        lambda: table.remove_column(at),
        lambda: table.rename_columns([n if n != name else n + "_" for n in table.column_names]),
        lambda: table.set_column(at, name, pa.array([None] * len(table), column.type)),
        lambda: table.slice(0, rng.randint(0, len(table))),
        lambda: table.set_column(at, name, pa.array(range(len(table)))),
        lambda: table.set_column(at, name, pa.array([str(v)[:40] for v in column.to_pylist()])),
    )
    out = io.BytesIO()
    pq.write_table(changes[what](), out)
    return out.getvalue()
