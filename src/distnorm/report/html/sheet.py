"""A page with the results of one search: dot on the left, normalized on the right.

It loads nothing: thumbnails are inside. Needs the ``report`` and ``embed`` extras.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distnorm.report.html.page import fill, write_page
from distnorm.report.html.thumbnails import Thumbnails, is_picture
from distnorm.report.terminal import rank_change

__all__ = ["render_sheet", "write_sheet"]


def write_sheet(path: Path, found: dict[str, Any], pictures: Path | None = None) -> int:
    """Write the page of a search result, whole or not at all."""
    page, missing = render_sheet(found, pictures)
    write_page(path, page)
    return missing


def render_sheet(found: dict[str, Any], pictures: Path | None = None) -> tuple[str, int]:
    """The page, and how many pictures are missing in it."""
    thumbnails = Thumbnails(pictures)
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
    page = fill(
        "sheet.html.j2", title=found["query"], found=found, lists=lists, query_picture=query
    )
    return page, len(thumbnails.missing)


def _card(entry: dict[str, Any], found: dict[str, Any], thumbnails: Thumbnails) -> dict[str, Any]:
    card = {**entry, "picture": None, "change": "", "kind": ""}
    side = entry.get("side", found["side"])
    if side == "image" and is_picture(entry["name"]):
        card["picture"] = thumbnails.of(entry["name"])
    if "rank_by_dot" in entry:
        before, change = rank_change(entry, found)
        card["change"] = "=" if change == "=" else f"{change}, was {before}"
        card["kind"] = "" if change == "=" else "up" if change[0] in "+n" else "down"
    return card
