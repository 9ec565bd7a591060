"""The door of the service, an ASGI middleware: who may ask, for how long, and what goes back.

A page of another origin cannot ask: the host of a request must be an address, ``localhost`` or a
name that was allowed (a name that an attacker points at this machine is none of them), its origin
this service's own, and JSON must say that it is JSON, which no plain form can. Whatever fails
behind the door is one line in the log and one line of JSON; no traceback leaves or is written.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from distnorm.errors import DistnormError
from distnorm.service.limits import Limits, Refusal
from distnorm.service.metrics import Metrics
from distnorm.text import plain

__all__ = ["COOKIE", "CSP", "Access", "Guard", "read_body"]

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

COOKIE = "distnorm_session"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": CSP.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    b"cache-control": b"no-store",
}
# What is answered to anyone: nothing of the collection is in it.
_OPEN = ("/", "/healthz", "/session", "/docs", "/openapi.json")


@dataclass(frozen=True)
class Access:
    """Who may ask."""

    token: str | None = None  # what ``Authorization: Bearer`` must hold
    hosts: tuple[str, ...] = ()  # names of this service beside addresses and ``localhost``
    origins: tuple[str, ...] = ()  # pages of other origins that may ask

    def cookie(self) -> str:
        """What a page's cookie holds instead of the token itself."""
        return hmac.new((self.token or "").encode(), b"session", hashlib.sha256).hexdigest()

    def knows(self, host: str) -> bool:
        """Whether a Host header names this service."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").rstrip(".").lower()
        if name == "localhost" or name in {one.lower() for one in self.hosts}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def admits(self, headers: dict[str, str]) -> bool:
        """Whether a request bears the token, or its cookie."""
        if self.token is None:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _same(given.strip(), self.token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self.cookie())


@dataclass(eq=False)
class Guard:
    """The middleware around an application."""

    app: Any
    access: Access = field(default_factory=Access)
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    log: Callable[[str], None] = print

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        answer = _Answer(send, self._cross(headers), self.limits.seconds)
        with self.metrics.request(scope["path"]) as done:
            try:
                self._check(scope, headers)
                if scope["method"] == "OPTIONS" and headers.get("origin") in self.access.origins:
                    await answer.send({"type": "http.response.start", "status": 204})
                    await answer.send({"type": "http.response.body", "body": b""})
                    done(204)
                    return
                with anyio.fail_after(self.limits.seconds):
                    await self.app({**scope, "app": self}, receive, answer.send)
            except Refusal as refusal:
                await self._refuse(answer, refusal.status, refusal.line)
            except HTTPException as error:
                words = {404: "a path of /docs", 405: "another method"}.get(error.status_code, "")
                line = f"got HTTP {error.status_code}; expected {words}; see /docs"
                await self._refuse(answer, error.status_code, line)
            except TimeoutError:
                self._say(scope, "took too long")
                await self._refuse(
                    answer, 504, f"no answer within {self.limits.seconds:g} s; try again later"
                )
            except DistnormError as error:
                # What a request can do wrong is a refusal by now: the items do not answer.
                self._say(scope, str(error))
                await self._refuse(answer, 503, str(error))
            except ClientDisconnect:
                return
            except (ConnectionError, asyncio.CancelledError):
                raise
            except Exception as error:
                self._say(scope, f"{type(error).__name__}: {error}")
                await self._refuse(answer, 500, "a fault of the service; its log says more")
            done(answer.status)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        """Raise unless the request may be served at all."""
        if self.metrics.waiting > self.limits.waiting:
            raise Refusal(503, "more requests than fit", "fewer at once", "try again later")
        if [key for key, _ in scope["headers"]].count(b"host") != 1:
            raise Refusal(400, "no host or several", "one Host header", "send it")
        host = headers["host"]
        if not self.access.knows(host):
            raise Refusal(
                421, f"the host {plain(host)[:60]!r}", "an address or an allowed name",
                "start with --allow-host NAME",
            )  # fmt: skip
        origin = headers.get("origin")
        own = origin is None or origin.partition("://")[2] == host
        if not own and origin not in self.access.origins:
            raise Refusal(
                403, f"the origin {plain(origin)[:60]!r}", "this service's own pages",
                "start with --allow-origin ORIGIN",
            )  # fmt: skip
        site = headers.get("sec-fetch-site")
        opened = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if site in ("cross-site", "same-site") and origin is None and not opened:
            raise Refusal(403, "a request of another site", "this service's pages", "open the page")
        path = scope["path"]
        public = path in _OPEN or path.startswith("/static/") or scope["method"] == "OPTIONS"
        if not public and not self.access.admits(headers):
            raise Refusal(401, "no valid token", "Authorization: Bearer TOKEN", "send the token")

    def _cross(self, headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
        """Headers that let an allowed page of another origin read the answer."""
        origin = headers.get("origin")
        if origin is None or origin not in self.access.origins:
            return []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-headers", b"authorization, content-type"),
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"cross-origin-resource-policy", b"cross-origin"),
            (b"vary", b"origin"),
        ]

    def _say(self, scope: Scope, line: str) -> None:
        self.log(f"{plain(scope['method'])} {plain(scope['path'])[:80]}: {plain(line)[:500]}")

    async def _refuse(self, answer: _Answer, status: int, line: str) -> None:
        if answer.status:
            # The answer has begun: all that is left is to end the connection.
            raise ConnectionResetError("an answer that broke off")
        body = json.dumps({"error": plain(line)}).encode()
        headers = [(b"content-type", b"application/json")]
        headers += [(b"content-length", str(len(body)).encode())]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if status == 503:
            headers.append((b"retry-after", b"1"))
        # Whatever of the body has not been read stays unread.
        headers += [(b"connection", b"close")] if status in (408, 413, 503) else []
        await answer.send({"type": "http.response.start", "status": status, "headers": headers})
        await answer.send({"type": "http.response.body", "body": body})


class _Answer:
    """What goes back: every answer with the security headers that it does not have itself."""

    def __init__(self, send: Send, more: list[tuple[bytes, bytes]], seconds: float) -> None:
        self._send, self._more, self._seconds, self.status = send, more, seconds, 0

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass on, but not for ever to a client that does not read."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*self._more, *message.get("headers", ())]
            there = {key.lower() for key, _ in headers}
            headers += [(key, value) for key, value in _HEADERS.items() if key not in there]
            message = {**message, "headers": headers}
        try:
            await asyncio.wait_for(self._send(message), self._seconds)
        except asyncio.TimeoutError as error:
            raise ConnectionResetError("a client that does not read") from error


async def read_body(request: Any, limits: Limits, *, any_type: bool = False) -> bytes:
    """The body of a request that says it is JSON, or of any type; refused if too long or slow."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not any_type:
        raise Refusal(
            415, f"the type {plain(kind)[:40]!r}", "application/json", "send it as Content-Type"
        )
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limits.body:
        raise Refusal(413, f"{announced[:20]} bytes", f"at most {limits.body}", "send fewer")
    body = bytearray()
    try:
        with anyio.fail_after(limits.head_seconds + limits.seconds / 2):
            async for part in request.stream():
                body += part
                if len(body) > limits.body:
                    raise Refusal(413, "a longer body", f"{limits.body} bytes", "send fewer")
    except TimeoutError as error:
        raise Refusal(408, "a body that comes too slowly", "one in time", "send it anew") from error
    return bytes(body)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
