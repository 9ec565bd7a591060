"""Troubleshooting knows every message: each error of the code belongs to an entry of the page."""

from __future__ import annotations

import html
import importlib.util
import sys
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def hook(project):
    spec = importlib.util.spec_from_file_location("docs_messages", project / "docs" / "messages.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def page(project):
    return (project / "docs" / "troubleshooting.md").read_text("utf-8")


def test_every_error_belongs_to_an_entry(hook, page):
    known = hook.entries(page)
    found = hook.messages()
    assert len(found) > 500
    without = {m.place: m.text for m in found if hook.entry_of(m, known) is None}
    assert not without, "name their files in a comment 'of:' of docs/troubleshooting.md"


def test_no_entry_speaks_of_what_is_not_raised(hook, page):
    known, found = hook.entries(page), hook.messages()
    for entry in known:
        assert any(hook.entry_of(m, known) is entry for m in found), entry.title
        for piece in entry.says:
            assert any(piece in m.text for m in found), (entry.title, piece)


def test_an_error_of_a_new_room_is_noticed(hook, page):
    new = hook.Message("new_room/file.py", "got it; expected something else; turn it")
    assert hook.entry_of(new, hook.entries(page)) is None


def test_the_page_lists_the_messages_of_each_family(hook, page):
    site = hook.on_page_markdown(
        page, page=SimpleNamespace(file=SimpleNamespace(src_uri="troubleshooting.md"))
    )
    head, _, rest = site.partition("### NaN, infinity, rows of zeros")
    assert "<details>" not in head
    assert "an all-zero row in …, first row …" in rest.partition("\n###")[0]
    for message in hook.messages():
        assert f"<li><code>{html.escape(message.text)}</code></li>" in site
    assert (
        hook.on_page_markdown(page, page=SimpleNamespace(file=SimpleNamespace(src_uri="api.md")))
        is page
    )
