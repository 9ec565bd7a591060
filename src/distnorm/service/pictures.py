"""Small copies of a collection's pictures, by row: no name in a request is ever opened.

The file of a row lies below the folder that the store names (`Catalog.file`); what is sent is
decoded and written anew as JPEG, so that no file's own bytes leave.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from distnorm.service.limits import Limits

__all__ = ["Thumbnails"]

_EDGE = 320
_FILE = 64 << 20


class Thumbnails:
    """Small JPEGs of files, kept up to a number of bytes; made anew when a file changes."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._lock = limits, threading.Lock()
        self._kept: OrderedDict[Any, bytes] = OrderedDict()
        self._bytes = 0

    def of(self, path: Path) -> tuple[bytes, str] | None:
        """JPEG and its tag; None for what is no picture or too large."""
        try:
            about = path.stat()
            key = (str(path), about.st_mtime_ns, about.st_size)
            if about.st_size > _FILE:
                return None
        except OSError:
            return None
        with self._lock:
            content = self._kept.get(key)
            if content is not None:
                self._kept.move_to_end(key)
        if content is None:
            content = self._made(path)
            if content is None:
                return None
            self._keep(key, content)
        return content, hashlib.blake2b(content, digest_size=12).hexdigest()

    def _made(self, path: Path) -> bytes | None:
        from distnorm.embedding.pictures import decode_picture, picture_size, read_contents

        try:
            contents = read_contents(str(path))
            width, height = picture_size(contents.data)
            if width * height > self._limits.pixels:
                return None
            picture, _ = decode_picture(contents.data, path.name, (_EDGE, _EDGE))
        except Exception:  # Pillow's decoders raise whatever they please.
            return None
        picture.thumbnail((_EDGE, _EDGE))
        out = io.BytesIO()
        picture.save(out, format="JPEG", quality=85)
        return out.getvalue()

    def _keep(self, key: Any, content: bytes) -> None:
        with self._lock:
            self._bytes += len(content) - len(self._kept.pop(key, b""))
            self._kept[key] = content
            while self._bytes > self._limits.thumbnails and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])
