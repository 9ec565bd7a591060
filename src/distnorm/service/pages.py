"""The service's HTML, filled on the server: its tabs and the description of the API.

Templates and script lie in ``templates/`` and ``static/`` beside this file, the style that reports
have too in their room; `STATIC` names the files that are served, so that no name in a request
reaches the file system.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from distnorm.report.html.page import fill, stylesheet

__all__ = ["STATIC", "TABS", "page", "static"]

STATIC = {
    "style.css": "text/css; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
}
TABS = {"/": "Search", "/hubs": "Hubs", "/map": "Map", "/compare": "Compare", "/docs": "API"}


def page(name: str, **values: Any) -> str:
    """A template with values, which are text and stay text."""
    return fill(f"templates/{name}", package="distnorm.service", tabs=TABS, **values)


@cache
def static(name: str) -> bytes | None:
    """A file of `STATIC`."""
    if name not in STATIC:
        return None
    if name == "style.css":
        return stylesheet().encode()
    return resources.files("distnorm.service").joinpath(f"static/{name}").read_bytes()
