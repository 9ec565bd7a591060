"""How long work says how far it is: the one owner of these two shapes."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "StepProgress"]

Progress = Callable[[int, int], None]
"""Called with what is done and what there is in all."""

StepProgress = Callable[[str, int, int], None]
"""The same with the name of the step first."""
