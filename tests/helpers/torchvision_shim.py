"""Let torchvision import beside a CPU build of torch.

torchvision from PyPI is built for CUDA and fails to import beside torch's CPU build, because two of
its compiled operators are missing. Nothing here uses those operators, so declaring them is enough.
It is done when torchvision is first imported: most tests need neither it nor torch.
"""

from __future__ import annotations

import importlib.abc
import sys
from importlib import metadata
from typing import Any

_kept: list[Any] = []  # a torch Library takes its definitions back when it is collected


class _Declare(importlib.abc.MetaPathFinder):
    """Declares the operators just before torchvision is looked for, then steps aside."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor boxes, Tensor scores, float overlap) -> Tensor")
            _kept.append(library)


def install() -> None:
    """Prepare the import, if torchvision is installed and would fail to import."""
    try:
        versions = metadata.version("torch"), metadata.version("torchvision")
    except metadata.PackageNotFoundError:
        return
    needed = "+cpu" in versions[0] and "+cpu" not in versions[1]
    waiting = any(isinstance(finder, _Declare) for finder in sys.meta_path)
    if needed and not (waiting or _kept or "torchvision" in sys.modules):
        sys.meta_path.insert(0, _Declare())
