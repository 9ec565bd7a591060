"""One POST of JSON, within a time for the whole call, with every failure in one line.

Nothing of an address but scheme, host and path, and nothing of a header, gets into a message.
Redirects are not followed, as they would carry headers to another place.
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

__all__ = ["post_json", "shown_address"]

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
    """One try, in a thread of its own: a timeout of a socket starts anew with every byte."""
    answers: queue.Queue[bytes | BaseException] = queue.Queue()
    stop = threading.Event()

    def work() -> None:
        try:
            with build_opener(_NoRedirects).open(request, timeout=timeout) as answer:
                content = bytearray()
                while not stop.is_set() and (part := answer.read1(_CHUNK)):
                    content += part
                    if len(content) > most:
                        raise _Failure(
                            f"an answer of more than {most >> 20} MiB from {address}",
                            "embeddings",
                            "send fewer at a time",
                        )
                announced = answer.headers.get("Content-Length")
                if announced is not None and announced.isdigit() and int(announced) > len(content):
                    raise ConnectionResetError("the answer ended early")
            answers.put(bytes(content))
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        found = answers.get(timeout=timeout)
    except queue.Empty:
        stop.set()
        found = TimeoutError()
    if isinstance(found, BaseException):
        raise _explained(found, address, timeout) from found
    try:
        return json.loads(found)
    except (ValueError, RecursionError) as error:
        raise _Failure(
            f"an answer from {address} that is no JSON", "a JSON object", "check the address"
        ) from error


def _explained(error: BaseException, address: str, timeout: float) -> _Failure:
    """What went wrong in one try."""
    if isinstance(error, _Failure):
        return error
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
