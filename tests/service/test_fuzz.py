"""The short tier of changed requests; `tests/fuzz/requests_to_serve.py` is the long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

for package in ("starlette", "uvicorn", "jinja2", "onnxruntime", "PIL"):
    pytest.importorskip(package)

sys.path.append(str(Path(__file__).parent.parent / "fuzz"))

import requests_to_serve


def test_changed_requests_are_answered_or_refused_as_declared(tmp_path):
    with requests_to_serve.service(tmp_path, 60) as client:
        counts, faults = requests_to_serve.run(client, 0, 0, 300)
        assert not faults
        assert counts["200"] > 10
        assert counts["400"] > 50
