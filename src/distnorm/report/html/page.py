"""One self-contained HTML page out of sections of text, tables, figures and pictures.

The page loads nothing: styles, plots and pictures are inside. It needs the ``report`` extra.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from distnorm.errors import require
from distnorm.system.files import write_text
from distnorm.text import plain

__all__ = [
    "Cell",
    "Example",
    "Figure",
    "Picture",
    "Report",
    "Section",
    "Table",
    "fill",
    "render",
    "stylesheet",
    "write_page",
]


@dataclass(frozen=True)
class Cell:
    """A table's cell; ``kind`` is ``better``, ``worse``, ``noise`` or empty; ``detail`` small."""

    text: str
    kind: str = ""
    detail: str = ""

    @property
    def words(self) -> str:
        """Everything in one line."""
        return f"{self.text} {self.detail}".strip()


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
    """A small picture, what it shows, a line below; ``hit`` marks what was looked for."""

    source: str
    caption: str = ""
    hit: bool = False
    alt: str = ""

    @classmethod
    def of(cls, image: Any, caption: str = "", *, hit: bool = False, alt: str = "") -> Picture:
        """Embed a PIL image as PNG."""
        out = io.BytesIO()
        image.save(out, format="PNG")
        code = base64.b64encode(out.getvalue()).decode()
        return cls(f"data:image/png;base64,{code}", caption, hit, alt)


@dataclass(frozen=True)
class Example:
    """A query and rows of results, each with a name: dot on top, normalized below."""

    title: str
    rows: Sequence[tuple[str, Sequence[Picture | Cell]]]
    query: Picture | None = None
    text: str = ""  # below the title
    tag: str = "✓ right"  # said of pictures that are hits
    mark: str = "hit"  # how these are framed: ``hit`` or ``alarm``


@dataclass(frozen=True)
class Section:
    """A heading with what belongs below it."""

    title: str
    text: str = ""
    tables: Sequence[Table] = field(default=())
    figures: Sequence[Figure] = field(default=())
    examples: Sequence[Example] = field(default=())
    lines: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Report:
    """A page's content: pictures first, tables after, what the numbers rest on last."""

    title: str
    lead: str
    sections: Sequence[Section]
    facts: Sequence[str] = ()

    def html(self) -> str:
        """The whole page in one file."""
        return fill("page.html.j2", title=self.title, content=self)


def render(title: str, lead: str, sections: Sequence[Section], facts: Sequence[str] = ()) -> str:
    """The whole page."""
    return Report(title, lead, sections, facts).html()


def fill(template: str, *, package: str = "", **values: Any) -> str:
    """A template of this room, or of ``package``, with values in it, which are text and stay text.

    Only what the template itself calls ``trusted`` is taken as HTML.
    """
    text: str = _environment(package).get_template(template).render(**values)
    return text


def stylesheet() -> str:
    """The style of every page."""
    return resources.files(__package__).joinpath("style.css").read_text("utf-8")


@cache
def _environment(package: str) -> Any:
    """Templates of ``package`` before those of this room."""
    jinja, markup = require("jinja2", "report"), require("markupsafe", "report")

    def source(name: str) -> str | None:
        for room in filter(None, (package, __package__)):
            file = resources.files(room).joinpath(name)
            if file.is_file():
                return file.read_text("utf-8")
        return None

    environment = jinja.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja.FunctionLoader(source),
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    environment.filters["trusted"] = markup.Markup
    environment.globals["stylesheet"] = stylesheet
    return environment


def write_page(path: Path, page: str) -> None:
    """Write a rendered page, whole or not at all."""
    write_text(path, page)
