"""Answers of servers, within a time and a size for the whole of each.

`post_json` says every failure in one line: nothing of an address but scheme, host and path, and
nothing of a header, gets into it. It follows no redirects, as they would carry headers elsewhere.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from distnorm.errors import DistnormError

__all__ = ["post_json", "shown_address", "whole_answer"]

_CHUNK = 1 << 16
_LONGEST_WAIT = 30.0  # seconds before another try


class _Failure(Exception):
    """One try that failed: what was got, expected, what to do, and whether to try again."""

    def __init__(
        self, got: str, expected: str, remedy: str, *, again: bool = False, wait: float = 0.0
    ) -> None:
        super().__init__(got)
        self.words = (got, expected, remedy)
        self.again, self.wait = again, wait


class _TooLong(ValueError):
    """An answer of more bytes than are taken."""


class _NoRedirects(HTTPRedirectHandler):
    """Leaves a redirect as the answer."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: it is not followed."""


def shown_address(url: str) -> str:
    """Scheme, host and path of an address: what messages show of it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def post_json(
    url: str,
    body: Any,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    retries: int = 2,
    most: int = 1 << 28,
) -> Any:
    """Send ``body`` and return what JSON the server answers.

    ``timeout`` are the seconds of one whole try, however slowly bytes come. ``retries`` more follow
    no connection, no answer in time, or HTTP 408, 425, 429 and 5xx; a server's ``Retry-After`` is
    followed, for 30 seconds at most. ``most`` are the bytes of an answer. Raises `DistnormError`
    for no or no whole answer in time, an error status, a redirect, too much, or no JSON.
    """
    sent = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
    request = Request(url, data=json.dumps(body).encode(), headers=sent, method="POST")
    for number in range(retries + 1):
        try:
            return _once(request, shown_address(url), timeout, most)
        except _Failure as failure:
            if not failure.again or number == retries:
                raise DistnormError(*failure.words) from failure
            time.sleep(min(failure.wait or 0.25 * 2**number, _LONGEST_WAIT))
    raise AssertionError("no try")


def _once(request: Request, address: str, timeout: float, most: int) -> Any:
    """One try."""
    try:
        content = whole_answer(request, timeout, most, _NoRedirects)
    except _TooLong as error:
        got = f"an answer of more than {most >> 20} MiB from {address}"
        raise _Failure(got, "embeddings", "send fewer at a time") from error
    except Exception as error:
        raise _explained(error, address, timeout) from error
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        got = f"an answer from {address} that is no JSON"
        raise _Failure(got, "a JSON object", "check the address") from error


def whole_answer(request: Request, timeout: float, most: int, *handlers: Any) -> bytes:
    """All that a server answers; ``handlers`` are those of urllib.

    Read in a thread of its own: a socket's timeout starts anew with every byte.

    Raises
    ------
    OSError, HTTPException
        For no whole answer: HTTPError for an error status, TimeoutError after ``timeout`` seconds.
    ValueError
        For more than ``most`` bytes.
    """
    answers: queue.Queue[bytes | BaseException] = queue.Queue()
    stop = threading.Event()

    def work() -> None:
        try:
            with build_opener(*handlers).open(request, timeout=timeout) as answer:
                announced = answer.headers.get("Content-Length") or ""
                content, size = bytearray(), int(announced) if announced.isdigit() else 0
                while not stop.is_set():
                    if max(len(content), size) > most:
                        raise _TooLong(f"an answer of more than {most:,} bytes")
                    part = answer.read1(_CHUNK)
                    if not part:
                        break
                    content += part
                if len(content) < size:
                    raise ConnectionResetError("the answer ended early")
            answers.put(bytes(content))
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        found = answers.get(timeout=timeout)
    except queue.Empty:
        stop.set()
        raise TimeoutError(f"timed out: no whole answer within {timeout:g} s") from None
    if isinstance(found, BaseException):
        raise found
    return found


def _explained(error: BaseException, address: str, timeout: float) -> _Failure:
    """What went wrong in one try."""
    if isinstance(error, HTTPError):
        with error:
            return _of_status(error, address)
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return _Failure(
            f"no whole answer from {address} in {timeout:g} seconds",
            "one in time",
            "raise timeout=, or look at the server",
            again=True,
        )
    why = type(reason).__name__
    if isinstance(reason, OSError) and reason.strerror:
        why = reason.strerror
    return _Failure(
        f"no answer from {address}: {why}",
        "a running server",
        "check the address, and that the server runs",
        again=isinstance(reason, OSError),
    )


def _of_status(error: HTTPError, address: str) -> _Failure:
    status, what = error.code, f"HTTP {error.code} from {address}"
    if 300 <= status < 400:
        return _Failure(f"a redirect, {what}", "an answer", "name the address it leads to")
    if status in (401, 403):
        return _Failure(what, "access", "put a key that is valid into the environment")
    after = str(error.headers.get("Retry-After", ""))
    again = status in (408, 425, 429) or status >= 500
    wait = float(after) if after.isdigit() else 0.0
    remedy = "try later, or send fewer at a time" if again else "check the address and the model"
    return _Failure(what, "HTTP 200", remedy, again=again, wait=wait)
