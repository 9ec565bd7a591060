"""Every message of the code, and the entry of `troubleshooting.md` that it belongs to.

A hook of MkDocs: below each entry of that page it lists the messages of the entry's family, so that
the site's search finds them. An entry is a heading, and comments say what belongs to it:
``<!-- says: PIECE | PIECE -->`` messages with one of these pieces, and
``<!-- of: PLACE PLACE -->`` what else the files and folders raise.
"""

from __future__ import annotations

import ast
import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Entry", "Message", "entries", "entry_of", "messages", "on_page_markdown"]

_HOME = Path(__file__).resolve().parent
_SOURCES = _HOME.parent / "src" / "distnorm"
_PAGE = "troubleshooting.md"
_RAISED = ("DistnormError", "MissingExtraError")
_HEADING = re.compile(r"^### (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Message:
    """What one error says; an ellipsis stands for what varies."""

    place: str
    text: str


@dataclass(frozen=True)
class Entry:
    """A family of messages: a heading of the page, and how its messages are known."""

    title: str
    says: tuple[str, ...]
    places: tuple[str, ...]


def messages(sources: Path = _SOURCES) -> list[Message]:
    """Of all errors that are made below a folder, in the order of files."""
    found = []
    for path in sorted(sources.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in _RAISED:
                got, expected, remedy = [*map(_words, node.args), *"…" * 2][:3]
                place = path.relative_to(sources).as_posix()
                found.append(Message(place, f"got {got}; expected {expected}; {remedy}"))
    return found


def _words(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_words, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _words(node.left) + _words(node.right)
    if isinstance(node, ast.IfExp):
        return f"{_words(node.body)} / {_words(node.orelse)}"
    return "…"


def entries(markdown: str) -> list[Entry]:
    """The families of a page."""
    _, *parts = _HEADING.split(markdown)
    return [_entry(title, text) for title, text in zip(parts[::2], parts[1::2], strict=True)]


def _entry(title: str, text: str) -> Entry:
    pieces = [piece for part in _comments(text, "says") for piece in part.split(" | ")]
    places = tuple(" ".join(_comments(text, "of")).split())
    return Entry(title, tuple(piece.strip() for piece in pieces), places)


def _comments(text: str, name: str) -> list[str]:
    found = re.findall(rf"<!-- {name}: (.*?) -->", text, re.DOTALL)
    return [" ".join(part.split()) for part in found]


def entry_of(message: Message, known: list[Entry]) -> Entry | None:
    """The first family with a piece of the message, else the one of the place it comes from."""
    for entry in known:
        if any(piece in message.text for piece in entry.says):
            return entry
    here = [
        (len(place), entry)
        for entry in known
        for place in entry.places
        if message.place == place or message.place.startswith(f"{place}/")
    ]
    return max(here, key=lambda found: found[0])[1] if here else None


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The page, with the messages of each family below its entry."""
    if page.file.src_uri != _PAGE:
        return markdown
    known, families = entries(markdown), {}
    for message in messages():
        entry = entry_of(message, known)
        families.setdefault(entry.title if entry else "", set()).add(message.text)
    head, *parts = re.split(r"^(?=##)", markdown, flags=re.MULTILINE)
    return head + "".join(part + _list(part, families) for part in parts)


def _list(part: str, families: dict[str, set[str]]) -> str:
    heading = _HEADING.match(part)
    found = sorted(families.get(heading[1], ())) if heading else []
    if not found:
        return ""
    lines = "".join(f"<li><code>{html.escape(text)}</code></li>" for text in found)
    return f"<details><summary>All {len(found)} messages</summary><ul>{lines}</ul></details>\n\n"
