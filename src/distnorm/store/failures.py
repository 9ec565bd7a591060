"""``failed.jsonl``: what could not be embedded and why, one JSON object a line."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import IO

__all__ = ["Failures"]


class Failures:
    """Collect the failures of one source in a new file that replaces the old one at the end.

    Those of other sources stay. Nothing is kept in memory.

    Attributes
    ----------
    count : int
    """

    def __init__(self, path: Path, source: str) -> None:
        self.count = 0
        self._path, self._source = path, source

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
        if self._path.exists():
            with self._path.open(encoding="utf-8") as file:
                for line in file:
                    entry = json.loads(line)
                    if entry.get("source") != self._source:
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
