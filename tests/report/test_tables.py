"""Tables of the terminal: whole words at any usual width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from distnorm.report.tables import PlainTable

CHOSEN = "auto (image: dn2@0.68 x1; text: nnn@0.79 x1)"


def lines(table: PlainTable, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue().splitlines()


def cells_of(text: list[str], column: int) -> str:
    """What stands in a column, line after line."""
    rows = [line.replace("┃", "│").split("│") for line in text]
    words = (row[column + 1] for row in rows if len(row) > 2)
    return " ".join(" ".join(words).split())


def wide_table() -> PlainTable:
    table = PlainTable(
        "figures", ("method", "strength", "R@1", "occupancy %", "against dot"), left=("method",)
    )
    table.add_row(CHOSEN, "0.74", "61.4 ± 0.6", "43", "+2.1")
    return table


@pytest.mark.parametrize("width", [53, 60, 80, 200])
def test_no_word_is_broken_where_words_have_room(width):
    text = lines(wide_table(), width)
    assert max(map(len, text)) <= width
    assert cells_of(text, 0) == f"method {CHOSEN}"
    assert [cells_of(text, n).split() for n in (1, 3, 4)] == [
        ["strength", "0.74"],
        ["occupancy", "%", "43"],
        ["against", "dot", "+2.1"],
    ]


def test_columns_that_lack_least_are_made_whole_first():
    assert any("61.4 ± 0.6" in line for line in lines(wide_table(), 66))


def test_a_long_path_is_folded_and_heads_stay_whole():
    table = PlainTable("found", ("rank", "item", "score"), left=("item",))
    path = "photos/" + "x" * 90 + ".jpg"
    table.add_row("1", path, "0.1234")
    text = lines(table, 60)
    assert max(map(len, text)) <= 60
    assert (cells_of(text, 0), cells_of(text, 2)) == ("rank 1", "score 0.1234")
    assert cells_of(text, 1).replace(" ", "") == "item" + path


def test_two_long_columns_share_what_is_left():
    table = PlainTable("biases", ("name", "items", "in"), left=("name", "in"))
    table.add_row("b" * 40, "500", "key " + "b" * 40)
    first = lines(table, 60)[4]
    widths = [len(cell) - 2 for cell in first.split("│")[1:4]]
    assert widths[1] == 5
    assert abs(widths[0] - widths[2]) < 8


def test_the_same_table_is_printed_at_another_width_afterwards():
    table = wide_table()
    assert lines(table, 200) != lines(table, 45)
    assert lines(table, 200) == lines(wide_table(), 200)


def test_what_has_no_room_at_all_is_left_to_rich():
    assert max(map(len, lines(wide_table(), 24))) <= 24
