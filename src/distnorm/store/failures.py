"""What could not be embedded and why, one JSON object per line of ``failed.jsonl``."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from distnorm.errors import DistnormError
from distnorm.store.layout import FAILED
from distnorm.system import schema

__all__ = ["Failures", "failure_reason"]

_FORM = schema.record(dict.fromkeys(("path", "reason", "source"), schema.text))


class Failures:
    """Collect one source's failures in a new file, which replaces the old one at the end.

    Those of other sources stay. Nothing is kept in memory.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self.count = 0
        self._path, self._source = folder / FAILED, source

    def __enter__(self) -> Failures:
        """Begin."""
        self._new: IO[str] = tempfile.NamedTemporaryFile(
            "w", dir=self._path.parent, prefix=".failed.", suffix=".tmp", delete=False
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Let the old file stand, unless `keep` was called."""
        self._new.close()
        Path(self._new.name).unlink(missing_ok=True)

    def add(self, name: str, reason: str) -> None:
        """One more."""
        self._write(name, reason, self._source)
        self.count += 1

    def keep(self) -> None:
        """Replace the old file; remove it if nothing failed."""
        others = 0
        for entry in _entries(self._path):
            if entry["source"] != self._source:
                self._write(entry["path"], entry["reason"], entry["source"])
                others += 1
        self._new.flush()
        os.fsync(self._new.fileno())
        self._new.close()
        if self.count or others:
            os.chmod(self._new.name, 0o644)
            os.replace(self._new.name, self._path)
        else:
            self._path.unlink(missing_ok=True)

    def _write(self, name: str, reason: str, source: str) -> None:
        line = json.dumps({"path": name, "reason": reason, "source": source})
        self._new.write(line + "\n")


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
