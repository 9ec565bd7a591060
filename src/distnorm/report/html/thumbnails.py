"""Small copies of pictures, inside the page. Needs the ``embed`` extra."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from distnorm.embedding.items import PICTURES
from distnorm.embedding.pictures import open_picture
from distnorm.errors import DistnormError

__all__ = ["Thumbnails", "is_picture"]

_EDGE = 240


def is_picture(name: str) -> bool:
    """Whether a name ends like a picture's file."""
    return Path(name).suffix.lower() in PICTURES


class Thumbnails:
    """Small copies of pictures, each made once; names begin from ``folder``."""

    def __init__(self, folder: Path | None = None, edge: int = _EDGE) -> None:
        self._folder, self._edge = folder, edge
        self._made: dict[str, str | None] = {}
        self.missing: set[str] = set()

    def of(self, name: str) -> str | None:
        """A picture as a data URL, or None."""
        if name not in self._made:
            self._made[name] = self._thumbnail(name)
            if self._made[name] is None:
                self.missing.add(name)
        return self._made[name]

    def _thumbnail(self, name: str) -> str | None:
        places = [Path(name)] if self._folder is None else [self._folder / name, Path(name)]
        for path in places:
            if not path.is_file():
                continue
            try:
                picture = open_picture(path)[0]
            except DistnormError:
                return None
            picture.thumbnail((self._edge, self._edge))
            out = io.BytesIO()
            picture.save(out, format="JPEG", quality=82)
            return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
        return None
