"""Files that would end, hold up or exhaust the process that reads them are tried in a child."""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.search.indexes import files, open_index
from distnorm.system.trial import trial

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks on Linux alone")


def raising(error):
    raise error


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: None, ""),
        (lambda: raising(ValueError("x")), ""),
        (lambda: os.kill(os.getpid(), 11), "ends the process that reads it (signal 11)"),
        (os.abort, "ends the process that reads it (signal 6)"),
        (lambda: time.sleep(9), "takes longer than 0 s to read"),
        (lambda: raising(MemoryError()), "needs more memory than there is"),
        (lambda: raising(RuntimeError("std::bad_alloc")), "needs more memory than there is"),
        (lambda: np.empty(1 << 58, np.uint8), "needs more memory than there is"),
        (lambda: os._exit(0), ""),
    ],
    ids=["well", "raises", "fault", "abort", "hang", "memory", "bad_alloc", "limit", "exit"],
)
def test_what_a_child_came_to(work, said, capfd):
    def saying():
        os.write(2, b"of the child")
        work()

    assert trial(saying, 0.3 if "longer" in said else 20) == said
    # Libraries that this process has loaded may speak of the fork itself.
    assert "of the child" not in "".join(capfd.readouterr())


def test_an_index_file_is_read_in_a_child_first(tmp_path, monkeypatch):
    faiss = pytest.importorskip("faiss", reason="an index in a file")
    index = faiss.IndexFlatIP(8)
    index.add(np.eye(8, dtype=np.float32))
    faiss.write_index(index, str(tmp_path / "x.index"))
    own, read = os.getpid(), faiss.read_index

    def ending(path):
        if os.getpid() != own:
            os.abort()
        return read(path)

    monkeypatch.setattr(faiss, "read_index", ending)
    with pytest.raises(DistnormError, match=r"x\.index, which ends the process .*FAISS") as error:
        open_index(f"faiss:{tmp_path}/x.index")
    assert "\n" not in str(error.value)
    assert "write it again" in str(error.value)
    # Very large ones are not read twice.
    monkeypatch.setattr(files, "_TRIED", 10)
    assert open_index(f"faiss:{tmp_path}/x.index").count() == 8


def test_a_library_that_gives_up_on_a_table_is_one_line():
    from distnorm.search.indexes.lancedb import LanceDBIndex

    class RustPanic(BaseException):
        """As what Lance raises for some damaged tables: no Exception."""

    class Table:
        @property
        def schema(self):
            raise RustPanic("rust future panicked")

    class Database:
        @staticmethod
        def open_table(name):
            return Table()

    with pytest.raises(DistnormError, match="'rust future panicked' from lancedb on open"):
        LanceDBIndex(Database(), "photos")
