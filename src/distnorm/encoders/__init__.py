"""Encoders by name: ``builtin``, or ``family:model``; see `load_encoder` and `list_encoders`."""

from __future__ import annotations

from distnorm.encoders.base import Encoder
from distnorm.encoders.registry import FAMILIES, Family, list_encoders, load_encoder

__all__ = ["FAMILIES", "Encoder", "Family", "list_encoders", "load_encoder"]
