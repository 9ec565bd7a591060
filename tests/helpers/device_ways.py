"""Tensors on the host that are treated as if they lay on a device, with and without kernels.

Kernels run in Triton's interpreter, where Triton is installed; nothing here needs a GPU.
"""

from __future__ import annotations

from typing import Any

import pytest

WAYS = ("torch", "triton")
CALLERS = (
    "device.settings",
    "exact.gallery",
    "methods.bank",
    "metrics.ranks",
    "moments.sketch",
    "moments.sums",
)


def as_device(way: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Torch, after which tensors on the host take the way of a device."""
    torch = pytest.importorskip("torch")
    if way == "triton":
        pytest.importorskip("triton")
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    else:
        for module in ("operations", "sums", "banks"):
            monkeypatch.setattr(f"distnorm.device.{module}.kernels", lambda x: None)
    for module in CALLERS:
        monkeypatch.setattr(f"distnorm.{module}.on_device", torch.is_tensor)
    return torch
