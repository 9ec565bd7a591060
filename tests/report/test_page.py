"""A page holds all it shows, and what users wrote stays text."""

from __future__ import annotations

import re

import pytest

from distnorm.report.html.page import Cell, Example, Picture, Section, Table, render, write_page

pytest.importorskip("jinja2", reason="the report extra is not installed")

HOSTILE = "<script>alert('a & b')</script>"


def page() -> str:
    table = Table(["method", HOSTILE], [["dn", Cell("+2.1", "better")], [HOSTILE, "0"]], HOSTILE)
    example = Example(
        HOSTILE, [("dot", [Picture("data:image/png;base64,AA==", HOSTILE, hit=True)])]
    )
    return render(
        HOSTILE, HOSTILE, [Section("Methods", HOSTILE, [table], (), [example])], [HOSTILE]
    )


def test_what_users_wrote_is_escaped_everywhere():
    assert "<script>alert" not in page()
    assert page().count("&lt;script&gt;") >= 7


def test_a_page_asks_for_nothing_from_outside():
    sources = re.findall(r"""(?:src|href)=["']([^"']+)""", page())
    assert sources
    assert [source for source in sources if not source.startswith(("data:", "#"))] == []
    assert "url(http" not in page()


def test_cells_say_what_they_are():
    assert re.search(r"""class=["'][^"']*better[^"']*["'][^>]*>\s*\+2\.1""", page())


def test_a_page_is_written_whole(tmp_path):
    write_page(tmp_path / "page.html", page())
    assert (tmp_path / "page.html").read_text("utf-8") == page()
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
