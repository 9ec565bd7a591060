"""A page with the results of one search: dot on the left, normalized on the right.

It loads nothing: thumbnails are inside. Needs the ``report`` and ``embed`` extras.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from distnorm.embedding.items import PICTURES
from distnorm.embedding.pictures import open_picture
from distnorm.errors import DistnormError
from distnorm.report.html.page import fill, write_page
from distnorm.report.terminal import rank_change

__all__ = ["render_sheet", "write_sheet"]

_EDGE = 240


def write_sheet(path: Path, found: dict[str, Any], pictures: Path | None = None) -> int:
    """Write the page of a search result, whole or not at all."""
    page, missing = render_sheet(found, pictures)
    write_page(path, page)
    return missing


def render_sheet(found: dict[str, Any], pictures: Path | None = None) -> tuple[str, int]:
    """The page, and how many pictures are missing in it."""
    thumbnails = _Thumbnails(pictures)
    normalized = found["method"] != "dot" or found["side"] == "both"
    lists = []
    if "dot" in found or not normalized:
        plain = found.get("dot", found["results"])
        lists.append(("dot product", [_card(entry, found, thumbnails) for entry in plain]))
    if normalized:
        name = found["method"] if found["side"] != "both" else f"{found['method']}, by side"
        title = f"{name}, strength {found['strength']:g}" if found["strength"] else name
        results = found["results"]
        lists.append((title, [_card(entry, found, thumbnails) for entry in results]))
    query = thumbnails.of(found["query"]) if found["query_side"] == "image" else None
    page = fill("sheet.html.j2", found=found, lists=lists, query_picture=query)
    return page, len(thumbnails.missing)


def _card(entry: dict[str, Any], found: dict[str, Any], thumbnails: _Thumbnails) -> dict[str, Any]:
    card = {**entry, "picture": None, "change": "", "kind": ""}
    side = entry.get("side", found["side"])
    if side == "image" and Path(entry["name"]).suffix.lower() in PICTURES:
        card["picture"] = thumbnails.of(entry["name"])
    if "rank_by_dot" in entry:
        before, change = rank_change(entry, found)
        card["change"] = "=" if change == "=" else f"{change}, was {before}"
        card["kind"] = "" if change == "=" else "up" if change[0] in "+n" else "down"
    return card


class _Thumbnails:
    """Small copies of pictures, each made once."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
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
            picture.thumbnail((_EDGE, _EDGE))
            out = io.BytesIO()
            picture.save(out, format="JPEG", quality=82)
            return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
        return None
