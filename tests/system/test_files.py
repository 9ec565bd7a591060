"""Files written whole or not at all, whatever ends the process or fills the disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.system.files import (
    atomic_write,
    missing_file,
    plain_errors,
    save_array,
    shared_name,
)

HALF = """
import os, sys
from distnorm.system.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), 9)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    target = tmp_path / "a[1].txt"
    target.write_text("old")
    for _ in range(2):
        subprocess.run([sys.executable, "-c", HALF, target], check=False)
    assert target.read_text() == "old"
    assert len(names(tmp_path)) == 2
    (tmp_path / ".other.txt.abc.tmp").write_text("not of this file")
    with atomic_write(target) as file:
        file.write(b"new")
    assert names(tmp_path) == [".other.txt.abc.tmp", "a[1].txt"]
    assert target.read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="locks of open files")
def test_what_is_being_written_is_left_alone(tmp_path):
    target = tmp_path / "a"
    with atomic_write(target) as outer:
        outer.write(b"outer")
        with atomic_write(target) as inner:
            inner.write(b"inner")
        assert target.read_bytes() == b"inner"
        assert len(names(tmp_path)) == 2
    assert target.read_bytes() == b"outer"
    assert names(tmp_path) == ["a"]


def test_a_full_disk_is_called_one(tmp_path):
    class Full:
        def write(self, content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DistnormError, match="full disk"), atomic_write(tmp_path / "x"):
        save_array(Full(), np.ones((4, 4)))
    assert names(tmp_path) == []


@pytest.mark.parametrize("dtype", [np.float16, np.int64, "S4"])
def test_an_array_is_saved_as_numpy_does(tmp_path, dtype):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    with atomic_write(tmp_path / "x.npy") as file:
        save_array(file, values)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), values)


@pytest.mark.parametrize("path", ["a\0b", "b" * 300, "file/x/y"])
def test_paths_that_cannot_be_are_one_line(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DistnormError, match=r"got .*; expected"), plain_errors(path):
        os.stat(path)
    with pytest.raises(DistnormError, match=r"got .*; expected"), atomic_write(path):
        pass


@pytest.mark.parametrize(
    ("path", "name"),
    [("photos/2024", "photos/2024"), ("/home/me/photos", "photos"), ("../mine/x.npy", "x.npy")],
)
def test_names_that_are_shared_say_nothing_of_a_machine(path, name):
    assert shared_name(path) == name


@pytest.mark.parametrize(
    "name", ["faiss:photos.index", "pgvector:postgresql://u:s3cr3tPW@host/db/photos"]
)
def test_an_index_in_the_place_of_a_file_is_called_one(name):
    said = str(missing_file(Path(name)))
    assert said.startswith(f"got an index, {name.partition(':')[0]}:")
    assert "distnorm index, search and serve" in said
    assert "s3cr3tPW" not in said


@pytest.mark.parametrize("name", ["C:/rows.npy", "http://host/rows.npy", "rows: new.npy", "a.npy"])
def test_other_names_with_a_colon_are_files(name):
    assert str(missing_file(Path(name))).startswith("got no file ")
