"""How long work says how far it is: the one owner of these shapes."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["OpenProgress", "Progress", "StepProgress"]

Progress = Callable[[int, int], None]
"""Called with what is done and what there is in all."""

StepProgress = Callable[[str, int, int], None]
"""The same with the name of the step first."""

OpenProgress = Callable[[int, "int | None"], None]
"""As `Progress`, for work whose end is not known at first: None stands for what there is in all."""
