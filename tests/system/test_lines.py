"""Lines of text files, and what reads them."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.datasets.base import parse_lines
from distnorm.system.lines import text_lines
from distnorm.tasks.files import read_lines, read_numbers

# What str.splitlines takes for the end of a line, and an editor does not.
INNER = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


@pytest.mark.parametrize("character", INNER, ids=ascii)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=ascii)
def test_only_line_feeds_and_carriage_returns_end_a_line(tmp_path, character, end):
    path = tmp_path / "words.txt"
    words = ["first", f"one{character}two", "last"]
    path.write_bytes("".join(word + end for word in words).encode())
    assert list(text_lines(path)) == words
    assert read_lines(path) == words
    assert parse_lines(path, str) == words


def test_a_byte_order_mark_is_no_character(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("a\nb", encoding="utf-8-sig")
    assert read_lines(path) == ["a", "b"]
    path.write_text("\ufeff0.5\n1.5\n", encoding="utf-8")
    np.testing.assert_array_equal(read_numbers(path), [0.5, 1.5])


def test_what_is_no_text_gets_one_line(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(b"a\n\xff\xfe\n")
    with pytest.raises(DistnormError, match=r"words.txt, which is no text; expected UTF-8"):
        list(text_lines(path))
    with pytest.raises(DistnormError, match="the captions, which is no text"):
        list(text_lines(path, "the captions"))
    with pytest.raises(DistnormError, match=r"no file .*absent"):
        list(text_lines(tmp_path / "absent.txt"))
    with pytest.raises(DistnormError, match=r"directory|Permission"):
        list(text_lines(tmp_path))
