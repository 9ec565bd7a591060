"""One writer per store, and none where the last one was killed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.store.layout import Commit
from distnorm.store.vectors import read_embeddings
from distnorm.store.writer import StoreLock, StoreWriter

HOLD = """
import sys, time
from pathlib import Path
from distnorm.store.writer import StoreLock
lock = StoreLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_one_writer_at_a_time_in_one_process(tmp_path):
    pytest.importorskip("pyarrow", reason="stores need pyarrow")
    origin = Commit(tmp_path / "s", model="t", model_id="t-1", sides=("text",))
    row = {"caption": ["a"], "hash": ["0" * 64], "source": ["here"]}
    with StoreWriter(origin, 8) as writer:
        with pytest.raises(DistnormError, match="which another process is writing to"):
            StoreWriter(origin, 8)
        writer.append({"text": np.ones((1, 3))}, row)
    with StoreWriter(origin, 8) as writer:
        assert writer.shards == {0: 1}
    # Readers do not mind the lock's file.
    assert read_embeddings(tmp_path / "s", "text").shape == (1, 3)


def test_another_process_holds_it_until_it_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(DistnormError, match="one writer; wait for it"):
            StoreLock(tmp_path)
        process.kill()
        process.wait()
    StoreLock(tmp_path).release()
