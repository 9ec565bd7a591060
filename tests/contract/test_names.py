"""What could be imported from a public module can be imported from it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from contract.names import MODULES

RECORDED = json.loads((Path(__file__).parent / "names.json").read_text("utf-8"))


def test_every_public_module_is_recorded():
    assert sorted(RECORDED) == sorted(MODULES)


@pytest.mark.parametrize("module", sorted(RECORDED))
def test_recorded_names_are_there(module):
    """New names are welcome; a recorded one is listed in ``__all__`` and is there."""
    found = importlib.import_module(module)
    missing = [
        name
        for name in RECORDED[module]
        if name not in found.__all__ or getattr(found, name, None) is None
    ]
    assert not missing, "if that is meant, record anew: python tests/contract/record.py names"
