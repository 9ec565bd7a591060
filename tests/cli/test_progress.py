"""The one progress bar, in a log: a line now and then, with rate and time left."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import distnorm.cli
from distnorm.cli import progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_progress_in_a_log_has_rate_and_time_left(capsys, clock):
    with progress.progress_bar("embedding", "items") as show:
        for step in range(1, 301):
            clock[0] = step / 2
            show(step * 10, 12_000)
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 5
    assert shown[-1] == "embedding: 3,000 of 12,000 items, 20.0 a second, 0:07:30 left"


def test_progress_in_a_log_without_an_end_or_with_named_steps(capsys, clock):
    with progress.progress_bar("reading", "rows") as show:
        clock[0] = 31
        show(62, None)
        show.say("[a line] of its own")
        clock[0] = 62
        show.step("writing", 93, 100)
    assert capsys.readouterr().err.splitlines() == [
        "reading: 62 rows, 2.0 a second",
        "[a line] of its own",
        "writing: 93 of 100 rows, 1.5 a second, 0:00:05 left",
    ]


def test_every_command_with_long_work_has_the_bar():
    folder = Path(distnorm.cli.__file__).parent
    with_bar = {
        file.stem
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "distnorm.cli.progress"
    }
    commands = "benchmark calibrate card compare demo embed evaluate fit"
    commands += " export_atlas index index_hubs index_ray search search_many serve watch"
    assert with_bar == set(commands.split())
