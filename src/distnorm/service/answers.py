"""JSON that goes out: whatever a system's fields hold, it is JSON, in ASCII."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from distnorm.system.records import finite

__all__ = ["as_json"]


def as_json(value: Any, status: int = 200) -> Response:
    """A response; what JSON does not know is text, NaN and infinity are null."""
    try:
        text = json.dumps(value, allow_nan=False, default=str, separators=(",", ":"))
    except ValueError:
        text = json.dumps(finite(value), allow_nan=False, default=str, separators=(",", ":"))
    return Response(text, status, media_type="application/json")
