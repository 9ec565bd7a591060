"""What a store already has, in flat arrays: about 110 bytes per row, and no object per row.

A row is found by where it comes from (source, name, text) or, wherever it came from, by what it is
(name, text, hash of the content).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.store.origins import source_mark

__all__ = ["KeySet", "Known", "key_of"]

_KEY = 16
_DIGEST = 32
_MERGE = 1 << 16


def key_of(*parts: str | bytes | None) -> bytes:
    """Sixteen bytes for some words: no two rows of any store share them."""
    digest = hashlib.blake2b(digest_size=_KEY)
    for part in parts:
        data = b"\1" if part is None else part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


class KeySet:
    """A growing set of keys at 16 bytes each: sorted, with a small part that is not yet."""

    def __init__(self) -> None:
        self._sorted = np.empty(0, dtype=f"S{_KEY}")
        self._recent: set[bytes] = set()

    def add(self, key: bytes) -> bool:
        """Add a key; whether it is new."""
        if key in self._recent or _find(self._sorted, key) >= 0:
            return False
        self._recent.add(key)
        if len(self._recent) >= max(_MERGE, len(self._sorted) // 8):
            recent = np.array(list(self._recent), dtype=f"S{_KEY}")
            self._sorted = np.sort(np.concatenate([self._sorted, recent]))
            self._recent = set()
        return True


class Known:
    """Index of a store's rows, made of (shard number, columns) of its metadata.

    Only rows of the source of label ``source`` count as its ``own``, which can be changed or gone.
    Rows are ``seen`` in this pass, ``stale`` when replaced, ``touched`` with new size or time.
    """

    def __init__(
        self, tables: Iterable[tuple[int, Mapping[str, Sequence[Any]]]] = (), source: str = ""
    ) -> None:
        parts: list[dict[str, npt.NDArray[Any]]] = [_columns(0, {"hash": []}, source)]
        parts += [_columns(number, table, source) for number, table in tables]
        rows = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        self.shard, self.own = rows["shard"], rows["own"]
        self.size, self.mtime, self._digest = rows["size"], rows["mtime"], rows["digest"]
        self._origin, self._origin_row = _sorted(rows["origin"])
        self._content, self._content_row = _sorted(rows["content"])
        n = len(self.shard)
        self.seen, self.stale, self.touched = (np.zeros(n, dtype=bool) for _ in range(3))
        # A run that was killed between adding a newer row and dropping the older one left both.
        twice = self._origin[1:] == self._origin[:-1]
        self.stale[self._origin_row[:-1][twice]] = True

    def __len__(self) -> int:
        """Rows of the store."""
        return len(self.shard)

    def by_origin(self, key: bytes) -> int:
        """The newest row of a source, name and text, -1 if there is none."""
        at = _find(self._origin, key)
        return -1 if at < 0 else int(self._origin_row[at])

    def by_content(self, key: bytes) -> int:
        """The newest row of a name, text and content, -1 if there is none."""
        at = _find(self._content, key)
        row = -1 if at < 0 else int(self._content_row[at])
        return -1 if row >= 0 and self.stale[row] else row

    def digest(self, row: int) -> bytes:
        """Hash of a row's content."""
        return bytes(self._digest[row])

    def touch(self, row: int, size: int, mtime: int) -> None:
        """The content is the same, the file's size or time is not."""
        if (self.size[row], self.mtime[row]) != (size, mtime):
            self.size[row], self.mtime[row], self.touched[row] = size, mtime, True

    @property
    def gone(self) -> npt.NDArray[np.bool_]:
        """Rows of this source that were not met."""
        return self.own & ~self.seen & ~self.stale


def _columns(
    number: int, table: Mapping[str, Sequence[Any]], source: str
) -> dict[str, npt.NDArray[Any]]:
    hashes = table["hash"]
    n = len(hashes)
    absent = [None] * n
    sources, paths, captions, sizes, mtimes = (
        table.get(key, absent) for key in ("source", "image_path", "caption", "size", "mtime")
    )
    marks = [source_mark(s) for s in sources]
    own = source_mark(source)
    digests = [bytes.fromhex(text) for text in hashes]
    names = [path if path is not None else text for path, text in zip(paths, captions, strict=True)]
    keys = zip(marks, names, captions, digests, strict=True)
    both = [(key_of(s, name, text), key_of(name, text, digest)) for s, name, text, digest in keys]
    return {
        "shard": np.full(n, number, dtype=np.int64),
        "own": np.array([mark == own for mark in marks], dtype=bool),
        "size": np.array([-1 if v is None else v for v in sizes], dtype=np.int64),
        "mtime": np.array([-1 if v is None else v for v in mtimes], dtype=np.int64),
        "digest": np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(n, _DIGEST),
        "origin": np.array([origin for origin, _ in both], dtype=f"S{_KEY}"),
        "content": np.array([content for _, content in both], dtype=f"S{_KEY}"),
    }


def _sorted(keys: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    order = np.argsort(keys, kind="stable")
    return keys[order], order


def _find(keys: npt.NDArray[Any], key: bytes) -> int:
    """Where a key stands in sorted ones, the last of equal ones; -1 if it does not."""
    if not len(keys):
        return -1  # a new store: asked three times for every picture
    at = int(np.searchsorted(keys, np.bytes_(key), side="right")) - 1
    return at if at >= 0 and keys[at] == key.rstrip(b"\0") else -1
