"""``http:URL``: texts embedded by a server that speaks OpenAI's embeddings form.

    POST URL {"input": ["a red bus", ...], "model": "MODEL"}
    -> {"data": [{"index": 0, "embedding": [0.1, ...]}, ...]}

The model's name stands behind ``#``: ``http:https://api.example/v1/embeddings#MODEL``; an address
that ends with the host or with ``/v1`` gets the rest. A key is read from the environment variable
``DISTNORM_HTTP_KEY``, sent as a bearer token, and shown nowhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urldefrag, urlsplit, urlunsplit

from distnorm.encoders.texts_only import ForeignTexts
from distnorm.errors import DistnormError
from distnorm.system.http import post_json, shown_address

__all__ = ["KEY", "HttpEncoder", "load"]

KEY = "DISTNORM_HTTP_KEY"

_FORM = "http:URL, such as http:http://localhost:8000/v1/embeddings#MODEL"
_SECRET = re.compile(r"key|token|secret|passw|sig|auth", re.IGNORECASE)
_AT_ONCE = 64


def load(
    model: str,
    *,
    device: str = "auto",
    timeout: float = 60.0,
    retries: int = 2,
    batch_size: int = _AT_ONCE,
) -> HttpEncoder:
    """The encoder behind an address.

    ``timeout`` is in seconds for each whole request, ``retries`` are further tries where a server
    is busy or away, ``batch_size`` are texts in a request. ``device`` is the server's own choice.
    """
    if device != "auto":
        raise DistnormError(f"device {device!r} for an address", "none", "the server chooses it")
    return HttpEncoder(_address(model), timeout=timeout, retries=retries, batch_size=batch_size)


class HttpEncoder(ForeignTexts):
    """Texts embedded by a server; see `load`."""

    def __init__(self, url: str, *, timeout: float, retries: int, batch_size: int) -> None:
        for name, value, least in (
            ("timeout", timeout, 1e-3),
            ("retries", retries, 0),
            ("batch_size", batch_size, 1),
        ):
            if not isinstance(value, (int, float)) or not value >= least:
                raise DistnormError(f"{name} = {value!r}", f"{least:g} or more", "leave it out")
        parts = urlsplit(url)
        self._model = parts.fragment or "default"
        self._url = urldefrag(url).url
        self._timeout, self._retries, self._size = timeout, int(retries), int(batch_size)
        self._shown = shown_address(url)
        self.model_id = f"http:{parts.fragment or self._shown}"

    def rows_of(self, texts: Sequence[str]) -> list[Any]:
        """Rows of all texts, some at a time."""
        rows: list[Any] = []
        for start in range(0, len(texts), self._size):
            rows += self._ask(texts[start : start + self._size])
        return rows

    def _ask(self, texts: Sequence[str]) -> list[Any]:
        answer = post_json(
            self._url,
            {"input": list(texts), "model": self._model},
            headers=_authorization(),
            timeout=self._timeout,
            retries=self._retries,
        )
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list) or not all(
            isinstance(entry, dict) and isinstance(entry.get("embedding"), list) for entry in data
        ):
            raise self._unlike('no "data" with an "embedding" of numbers in each entry')
        if len(data) != len(texts):
            raise self._unlike(f"{len(data)} embeddings of {len(texts)} texts")
        places = [entry.get("index", at) for at, entry in enumerate(data)]
        if any(type(place) is not int for place in places) or sorted(places) != list(
            range(len(texts))
        ):
            raise self._unlike("an index that is missing or twice there")
        order = sorted(range(len(data)), key=places.__getitem__)
        rows = [data[at]["embedding"] for at in order]
        numbers = all(type(value) in (int, float) for row in rows for value in row)
        if not numbers or len({len(row) for row in rows}) > 1:
            raise self._unlike("embeddings that are no numbers, or of different lengths")
        return rows

    def _unlike(self, got: str) -> DistnormError:
        return DistnormError(
            f"{got} from {self._shown}",
            'OpenAI\'s form, {"data": [{"index": 0, "embedding": [...]}, ...]}',
            "check the address and the server",
        )


def _address(model: str) -> str:
    """The full address: ``//host`` is what is left of ``http://host``."""
    url = f"http:{model}" if model.startswith("//") else model
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or re.search(r"\s", url):
        raise DistnormError("an address that is none behind 'http:'", _FORM, "write it so")
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if "@" in parts.netloc or any(map(_SECRET.search, names)):
        raise DistnormError(
            f"an address with a key or password in it, {shown_address(url)}",
            "an address alone",
            f"put the key into the environment variable {KEY}",
        )
    path = parts.path.rstrip("/")
    if path in ("", "/v1") or path.endswith("/v1"):
        path = f"{path or '/v1'}/embeddings"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, parts.fragment))


def _authorization() -> dict[str, str]:
    key = os.environ.get(KEY, "").strip()
    if not key:
        return {}
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise DistnormError(
            f"a key in {KEY} with spaces or letters that no header takes",
            "one word of ASCII",
            "set it again",
        )
    return {"Authorization": f"Bearer {key}"}
