"""The service's HTML, filled on the server: the search page and the description of the API.

Templates, style and script lie in ``templates/`` and ``static/`` beside this file; `STATIC` names
the files that are served, so that no name in a request reaches the file system.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from distnorm.errors import require
from distnorm.text import plain

__all__ = ["STATIC", "page", "static"]

STATIC = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}


@cache
def _template(name: str) -> Any:
    jinja = require("jinja2", "serve")
    source = resources.files("distnorm.service").joinpath(f"templates/{name}").read_text("utf-8")
    environment = jinja.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    return environment.from_string(source)


def page(name: str, **values: Any) -> str:
    """A template with values, which are text and stay text."""
    text: str = _template(name).render(**values)
    return text


@cache
def static(name: str) -> bytes | None:
    """A file of `STATIC`."""
    if name not in STATIC:
        return None
    return resources.files("distnorm.service").joinpath(f"static/{name}").read_bytes()
