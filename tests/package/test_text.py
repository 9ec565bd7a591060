"""Text of users reaches terminals, errors, tables and pages as text."""

from __future__ import annotations

import io
import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from distnorm.errors import DistnormError
from distnorm.report.tables import PlainTable
from distnorm.text import code, markdown, plain

TAMING = {
    "esc\x1b[2J": r"esc\x1b[2J",
    "csi\x9b31m": r"csi\x9b31m",
    "line\nreturn\rtab\t": r"line\nreturn\rtab\t",
    "\u202egpj.exe\u2069": r"\u202egpj.exe\u2069",
    "a\u2028b\u0085c": r"a\u2028b\x85c",
    "zero\u200bwidth\ufeff": r"zero\u200bwidth\ufeff",
    "raw\udcff.jpg": r"raw\udcff.jpg",
    "[/b][red]x": "[/b][red]x",
    "caf\u00e9 \u4f60\u597d \u0646\u0645\u06cc\u200c\u062e": "caf\u00e9 \u4f60\u597d "
    "\u0646\u0645\u06cc\u200c\u062e",
    "\U0001f469\u200d\U0001f52c": "\U0001f469\u200d\U0001f52c",
}


@pytest.mark.parametrize("text", TAMING, ids=range(len(TAMING)))
def test_plain_shows_what_would_act_and_keeps_what_reads(text):
    assert plain(text) == TAMING[text]


@given(st.text(st.characters(exclude_categories=())))
def test_plain_is_one_line_of_harmless_characters(text):
    shown = plain(text)
    assert plain(shown) == shown
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}


def test_an_error_shows_no_command_of_the_terminal():
    error = DistnormError("no file \x1b]0;x\x07.npy", "a file", "check \u202ethe path")
    assert str(error) == r"got no file \x1b]0;x\x07.npy; expected a file; check \u202ethe path"
    assert pickle.loads(pickle.dumps(error)).got == "no file \x1b]0;x\x07.npy"


def test_a_table_takes_markup_for_text_wherever_it_stands():
    hostile = "[/b][red]x[/red]\x1b[31m:smile:"
    table = PlainTable(hostile, [hostile, "n"], left=[hostile], caption=f"{hostile}\n2")
    table.add_row(hostile, None)
    table.caption += f" {hostile}"
    out = io.StringIO()
    # A console of somebody else, which would read markup and emoji in strings.
    Console(file=out, width=300, force_terminal=False).print(table)
    shown = out.getvalue()
    assert shown.count(r"[/b][red]x[/red]\x1b[31m:smile:") == 5
    assert "\x1b" not in shown
    assert "2 [/b]" in shown


def test_markdown_holds_no_mark_column_or_html():
    shown = markdown("<img src=x> a|b *c* _d_ my_file `e` [f](g) # h ~~i~~ & \\")
    assert "<" not in shown
    assert shown == (
        r"&lt;img src=x&gt; a\|b \*c\* \_d\_ my_file \`e\` \[f\](g) \# h \~\~i\~\~ &amp; \\"
    )


def test_code_is_quoted_where_code_cannot_hold_it():
    assert code("a photo of {}.") == "`a photo of {}.`"
    assert code("a`b|<i>") == r'"a\`b\|&lt;i&gt;"'
    assert code(" of") == '" of"'
