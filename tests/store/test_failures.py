"""What could not be embedded, through files that are not as they should be."""

from __future__ import annotations

import json

import pytest

from distnorm.store.failures import Failures, failure_reason


@pytest.mark.parametrize(
    "line", ['{"path": "b.png", "rea', "[1]", '{"path": 1}', "\udcff", "[" * 5000, ""]
)
def test_a_damaged_line_costs_no_other_one(tmp_path, line):
    whole = json.dumps({"path": "a.png", "reason": "broken", "source": "photos"})
    (tmp_path / "failed.jsonl").write_bytes(f"{whole}\n{line}".encode(errors="surrogateescape"))
    assert failure_reason(tmp_path, "a.png") == "broken"
    assert failure_reason(tmp_path, "b.png") is None
    with Failures(tmp_path, "others") as failures:
        failures.add("c.png", "empty")
        failures.keep()
    entries = [json.loads(line) for line in (tmp_path / "failed.jsonl").read_text().splitlines()]
    assert [entry["path"] for entry in entries] == ["c.png", "a.png"]
