"""JSON that goes out: whatever a system's fields hold, it is JSON, in ASCII."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.responses import Response

__all__ = ["as_json"]


def as_json(value: Any, status: int = 200) -> Response:
    """A response; what JSON does not know is text, NaN and infinity are null."""
    try:
        text = json.dumps(value, allow_nan=False, default=str, separators=(",", ":"))
    except ValueError:
        finite = _finite(value)
        text = json.dumps(finite, allow_nan=False, default=str, separators=(",", ":"))
    return Response(text, status, media_type="application/json")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
