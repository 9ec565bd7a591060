"""One self-contained HTML page out of sections of text, tables, figures and pictures.

The page loads nothing: styles, plots and pictures are inside. It needs the ``report`` extra.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from distnorm.errors import require
from distnorm.system.files import atomic_write
from distnorm.text import plain

__all__ = [
    "Cell",
    "Example",
    "Figure",
    "Picture",
    "Section",
    "Table",
    "fill",
    "render",
    "write_page",
]


@dataclass(frozen=True)
class Cell:
    """A table's cell; ``kind`` is ``better``, ``worse``, ``noise`` or empty."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Column heads, rows of cells (plain strings are cells too), a caption below."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    title: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """An SVG element and what to read out of it."""

    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A small picture with a line below; ``hit`` marks what was looked for."""

    source: str
    caption: str = ""
    hit: bool = False

    @classmethod
    def of(cls, image: Any, caption: str = "", *, hit: bool = False) -> Picture:
        """Embed a PIL image as PNG."""
        out = io.BytesIO()
        image.save(out, format="PNG")
        code = base64.b64encode(out.getvalue()).decode()
        return cls(f"data:image/png;base64,{code}", caption, hit)


@dataclass(frozen=True)
class Example:
    """A query and rows of results, each with a name: dot on top, normalized below."""

    title: str
    rows: Sequence[tuple[str, Sequence[Picture | Cell]]]
    query: Picture | None = None


@dataclass(frozen=True)
class Section:
    """A heading with what belongs below it."""

    title: str
    text: str = ""
    tables: Sequence[Table] = field(default=())
    figures: Sequence[Figure] = field(default=())
    examples: Sequence[Example] = field(default=())
    lines: Sequence[str] = field(default=())


def render(title: str, lead: str, sections: Sequence[Section], facts: Sequence[str] = ()) -> str:
    """The whole page."""
    return fill("page.html.j2", title=title, lead=lead, sections=sections, facts=facts)


def fill(template: str, **values: Any) -> str:
    """A template of this room with values in it, which are text and stay text.

    Only what the template itself calls ``trusted`` is taken as HTML.
    """
    jinja, markup = require("jinja2", "report"), require("markupsafe", "report")
    source = resources.files("distnorm.report.html").joinpath(template).read_text("utf-8")
    environment = jinja.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    environment.filters["trusted"] = markup.Markup
    text: str = environment.from_string(source).render(**values)
    return text


def write_page(path: Path, page: str) -> None:
    """Write a rendered page, whole or not at all."""
    with atomic_write(path) as file:
        file.write(page.encode())
