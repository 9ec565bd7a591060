"""Whether rows have the length a method needs: unit, raw, or any."""

from __future__ import annotations

from distnorm.arrays import Array, is_unit_length
from distnorm.errors import DistnormError

__all__ = ["REQUIREMENTS", "check_lengths"]

REQUIREMENTS = ("unit", "raw", "any")


def check_lengths(x: Array, name: str, method: str, requirement: str) -> None:
    """Raise unless the rows of ``x``, shape (n, d), are as ``requirement`` says.

    Raises
    ------
    DistnormError
        For raw rows where ``"unit"`` is required, and the reverse.
    """
    if requirement == "any" or method == "dot":
        return
    unit = is_unit_length(x)
    if requirement == "unit" and not unit:
        raise DistnormError(
            f"{name} whose rows are not of unit length",
            f"unit rows for {method!r}",
            "apply distnorm.normalize first (or pass input='any' if you mean it)",
        )
    if requirement == "raw" and unit:
        raise DistnormError(
            f"{name} of unit length",
            f"the model's raw, un-normalised output for {method!r}",
            "use method 'centered' for unit rows (or pass input='any' if you mean it)",
        )
