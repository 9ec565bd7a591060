"""A hook of MkDocs: links to files of the checkout, which the site does not hold, name the file."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["on_page_markdown"]

_LINK = re.compile(r"\[([^\]]+)\]\(\.\./([^)\s]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page, with `[words](../FILE)` as words and the file's name."""

    def named(found: re.Match[str]) -> str:
        words, file = found.groups()
        return words if words.strip("`") == file else f"{words} (`{file}` in the checkout)"

    return _LINK.sub(named, markdown)
