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

__all__ = ["code", "markdown", "plain"]

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
    return _UNSEEN.sub(lambda found: _escape(found.group()), str(text))


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


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
