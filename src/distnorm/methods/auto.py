"""The method that is chosen from the samples; `distnorm.normalization.auto` applies the choice."""

from distnorm.methods.base import Method, Parameter, flag, seed

__all__ = ["AUTO"]

AUTO = Method(
    "auto",
    "chosen from the samples, for queries of each side by itself",
    "distnorm.selection",
    strength=1.0,
    parameters={"seed": Parameter(0, seed), "shift": Parameter(False, flag)},
    needs_bank=True,
    order=2,
    chooses=True,
    weights="density",
)
