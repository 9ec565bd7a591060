"""What could not be embedded and why, one JSON object per line of ``failed.jsonl``."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from distnorm.errors import DistnormError
from distnorm.store.layout import FAILED
from distnorm.store.origins import source_id, source_mark
from distnorm.system import schema
from distnorm.system.files import atomic_write

__all__ = ["Failures", "failure_reason"]

_SPOOLED = 1 << 20
_FORM = schema.record(dict.fromkeys(("path", "reason", "source"), schema.text))


class Failures:
    """Collect one source's failures in a new file, which replaces the old one at the end.

    Those of other sources stay. Nothing is kept in memory.
    """

    def __init__(self, folder: Path, label: str) -> None:
        self.count = 0
        self._path, self._source = folder / FAILED, source_id(label, folder)

    def __enter__(self) -> Failures:
        """Begin."""
        folder = str(self._path.parent)  # there it has no name: a killed process leaves nothing
        self._new: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOLED, "w+b", dir=folder)
        return self

    def __exit__(self, *_: object) -> None:
        """Let the old file stand, unless `keep` was called."""
        self._new.close()

    def add(self, name: str, reason: str) -> None:
        """One more."""
        self._write(name, reason, self._source)
        self.count += 1

    def keep(self) -> None:
        """Replace the old file; remove it if nothing failed."""
        others = 0
        for entry in _entries(self._path):
            if source_mark(entry["source"]) != source_mark(self._source):
                self._write(entry["path"], entry["reason"], entry["source"])
                others += 1
        if not self.count and not others:
            self._path.unlink(missing_ok=True)
            return
        self._new.seek(0)
        with atomic_write(self._path) as file:
            shutil.copyfileobj(self._new, file)

    def _write(self, name: str, reason: str, source: str) -> None:
        line = json.dumps({"path": name, "reason": reason, "source": source})
        self._new.write(f"{line}\n".encode())


def failure_reason(folder: Path, name: str) -> str | None:
    """Why an item of a store could not be embedded, None if it did not fail."""
    entries = _entries(folder / FAILED)
    return next((entry["reason"] for entry in entries if entry["path"] == name), None)


def _entries(path: Path) -> Iterator[dict[str, str]]:
    """Entries of a file; a line that a crash or an editor cut is left out: a run lists all anew."""
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                with suppress(DistnormError):
                    yield schema.parse(line, _FORM, file=str(path), remedy="remove the line")
