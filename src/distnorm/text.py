r"""Text of users where people read it: names, queries, prompts, paths.

`plain` is the one way from such text to a terminal, an error or a page: characters that move the
cursor, start a command of the terminal, end a line, turn the reading direction or cannot be seen
are written as Python writes them (``\x1b``, ``\n``, ``\u202e``), undecodable bytes of a file's
name as ``\udcff``. Tables take it as text, never as markup. `markdown` and `code` do the same for
Markdown, so that no word of it becomes a mark, a column or HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

__all__ = ["code", "columns", "markdown", "plain", "values"]

# Controls (C0, DEL, C1), marks of direction, separators of lines, what has no width (but for the
# two joiners, which scripts and emoji need), halves of surrogate pairs, tags.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_MARKS = re.compile(r"[\\`*\[\]|~#]|(?<!\w)_|_(?!\w)")


def plain(text: object) -> str:
    r"""One line that any terminal shows as it is; twice is as once.

    Examples
    --------
    >>> print(plain("caf\u00e9 [red]\x1b[31m\n"))
    café [red]\x1b[31m\n
    """
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode(), str(text))


def markdown(text: object) -> str:
    r"""Text within Markdown, table cells included, that stays text.

    Examples
    --------
    >>> print(markdown("<b> a|b [x](y) dn* my_file"))
    &lt;b&gt; a\|b \[x\](y) dn\* my_file
    """
    return html.escape(_MARKS.sub(r"\\\g<0>", plain(text)), quote=False)


def code(text: object) -> str:
    """Text within Markdown as code; in quotes where code cannot hold it in every renderer."""
    words = plain(text)
    if re.search(r"[`<>&|\\]", words) or words != words.strip() or not words:
        return f'"{markdown(words)}"'
    return f"`{words}`"


def values(named: Mapping[str, object]) -> str:
    """Parameters in one line; what is None depends on the items that are scored together.

    Examples
    --------
    >>> values({"k": 8, "beta": 35.21934, "own": False, "scale": None})
    'k=8, beta=35.22, own=no, scale=by the items of a call'
    """
    words = {True: "yes", False: "no", None: "by the items of a call"}
    return ", ".join(
        f"{name}={words[value] if value is None or isinstance(value, bool) else _short(value)}"
        for name, value in named.items()
    )


def columns(heads: tuple[str, ...], rows: Sequence[tuple[object, ...]], most: int = 48) -> str:
    """A table of plain text: numbers to the right, words to the left and cut.

    Examples
    --------
    >>> print(columns(("rank", "id", "score"), [(1, "a.jpg", 0.31), (2, "b.jpg", 0.2914)]))
    rank  id      score
       1  a.jpg  0.3100
       2  b.jpg  0.2914
    """
    numbers = [all(isinstance(row[at], (int, float)) for row in rows) for at in range(len(heads))]
    cells = [
        [f"{cell:.4f}" if isinstance(cell, float) else _cut(plain(cell), most) for cell in row]
        for row in rows
    ]
    table = [list(heads), *cells]
    widths = [max(len(row[at]) for row in table) for at in range(len(heads))]
    lines = (
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in table
    )
    return "\n".join(lines)


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"...{words[3 - most :]}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else plain(value)
