"""The application: routes, and what stands behind each.

``POST /search`` takes ``{"query": text | "picture": base64 | "vector": [...], "k": 10, "filter":
..., "method": "dn", "strength": 0.5, "also": {"method": "is", "strength": 0.5}}`` and answers

    {"schema": 1, "task": "search", "store", "query", "query_side", "side", "model", "prompt",
     "n_items", "k", "depth", "method", "strength", "notes": [line, ...],
     "statistics": {"source": "file" | "learned" | "none", "version": 0},
     "lists": [{"method": "dot", "strength": 0.0, "score": "cosine", "exact": true,
                "threshold": null, "results": [result, ...]}, the normalization's, "also"'s]}

with the dot product's list first, and alone where nothing corrects. A result of a list is

    {"rank": 1, "id": 17, "row": 17, "name": "scenes/17.png", "caption": null, "fields": {},
     "score": 0.31, "ranks": [8, 1, null], "scores": [0.29, 0.31, null],
     "move": 7, "change": "+7", "thumbnail": "/thumbnails/17",
     "two_sided": 0.2, "false_alarm_rate": 0.001, "probability": 0.9, "below": false}

``ranks`` and ``scores`` are those in each list, in the order of the lists; a rank is null beyond
``depth``. ``move`` is how many places an item is higher than in the dot product's list; in that
list itself, how many it rises in the second. ``change`` says it in a word: ``+7``, ``-3``, ``=``,
``new`` (not among the dot product's first k) or, in the dot product's list, ``gone``. The last
line of keys is there where the normalization is calibrated, at its own strength; ``below`` where
there is a ``threshold``, which nothing that matches stays under. ``row`` and ``thumbnail`` are null
where an item has none. What is refused is ``{"error": "got ...; expected ...; ..."}``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, Router

from distnorm.service.answers import as_json
from distnorm.service.batches import Batches
from distnorm.service.engine import Engine, Found, Now
from distnorm.service.guard import COOKIE, Access, Guard, read_body
from distnorm.service.items import Items
from distnorm.service.knn import KnnForm
from distnorm.service.limits import Refusal
from distnorm.service.live import Live
from distnorm.service.metrics import Metrics
from distnorm.service.openapi import described
from distnorm.service.pages import STATIC, page, static
from distnorm.service.pictures import Thumbnails
from distnorm.service.rankings import Rankings
from distnorm.service.requests import Asked, asked, parsed, rows_of, wanted_of
from distnorm.service.shown import Shown
from distnorm.service.tabs import Tabs

__all__ = ["Service", "create_app"]


class Service:
    """An engine behind HTTP, and all that its routes share."""

    def __init__(
        self,
        engine: Engine,
        access: Access | None = None,
        log: Callable[[str], None] = print,
        version: str = "",
        shown: Shown | None = None,
    ) -> None:
        self.version = version
        self.tabs = Tabs(self, shown or Shown())
        self.engine, self.limits = engine, engine.limits
        self.access, self.metrics, self.log = access or Access(), Metrics(), log
        self.thumbnails = Thumbnails(self.limits)
        self.learning: Live | None = None
        self.background: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.batches: Batches[Asked, Found] = Batches(
            engine.search, self.limits.batch, self.limits.waiting
        )

    def routes(self) -> list[Route]:
        """All that is answered."""
        return [
            Route("/", self.home),
            Route("/static/{name}", self.static),
            Route("/thumbnails/{row:int}", self.thumbnail),
            Route("/config", self.config),
            Route("/healthz", self.health),
            Route("/metrics", self.measures),
            Route("/session", self.session, methods=["POST"]),
            Route("/search", self.search, methods=["POST"]),
            Route("/shift", self.shift, methods=["POST"]),
            Route("/bias", self.bias, methods=["POST"]),
            *KnnForm(self).routes(),
            *([] if self.learning is None else self.learning.routes()),
            *described(self),
            *self.tabs.routes(),
        ]

    async def home(self, _: Request) -> Response:
        """The search page; it asks for a token where one is needed."""
        facts, examples = self.engine.facts(), self.tabs.examples()
        if self.access.token is not None:
            facts |= {"store": "distnorm", "n_items": None, "model": None}
            examples = []
        return HTMLResponse(page("search.html.j2", path="/", facts=facts, examples=examples))

    async def static(self, request: Request) -> Response:
        """A file of the page."""
        name = request.path_params["name"]
        content = static(name)
        if content is None:
            raise Refusal(404, "no such file", ", ".join(STATIC), "look at the page")
        return Response(content, headers={"content-type": STATIC[name]})

    async def thumbnail(self, request: Request) -> Response:
        """The small picture of a row."""
        path = self.engine.items.picture(request.path_params["row"])
        made = None if path is None else await asyncio.to_thread(self.thumbnails.of, path)
        if made is None:
            raise Refusal(404, "a row without a picture", "a row of the collection", "search")
        content, tag = made
        headers = {"etag": f'"{tag}"', "cache-control": "private, max-age=3600"}
        if request.headers.get("if-none-match") == f'"{tag}"':
            return Response(status_code=304, headers=headers)
        return Response(content, media_type="image/jpeg", headers=headers)

    async def config(self, _: Request) -> Response:
        """What can be asked for."""
        return as_json(self.engine.facts())

    async def health(self, _: Request) -> Response:
        """Whether searches are answered."""
        return as_json({"status": "ok", "version": self.version})

    async def measures(self, _: Request) -> Response:
        """Counters for Prometheus."""
        gauges: dict[str, float] = {
            "batches_total": self.batches.batches,
            "searches_total": self.batches.jobs,
            "largest_batch": self.batches.largest,
            "items": self.engine.count or 0,
            "statistics_version": self.engine.rankings.version,
        }
        if self.learning is not None:
            state = self.learning.state()
            gauges["learned_in_force"] = int(state["in_force"])
            gauges["learned_queries"] = state["queries_seen"]
            gauges["learned_effective_queries"] = state["effective_queries"] or 0.0
        return PlainTextResponse(
            self.metrics.text(gauges), headers={"content-type": "text/plain; version=0.0.4"}
        )

    async def session(self, request: Request) -> Response:
        """A cookie for the page, which cannot send a token with its pictures."""
        if not self.access.admits(dict(request.headers)):
            raise Refusal(401, "no valid token", "Authorization: Bearer TOKEN", "send the token")
        response = Response(status_code=204)
        if self.access.token is not None:
            secure = request.url.scheme == "https"
            response.set_cookie(
                COOKIE, self.access.cookie(), httponly=True, samesite="strict", secure=secure
            )
        return response

    async def search(self, request: Request) -> Response:
        """See the module."""
        values = parsed(await read_body(request, self.limits))
        job = asked(values, self.limits, self.engine.items.dimension)
        return as_json((await self.found(job)).answer)

    async def found(self, job: Asked) -> Found:
        """What a search finds; raises what it is refused for."""
        found: Found | Refusal = await self.batches.result(job)
        if isinstance(found, Refusal):
            raise found
        if self.learning is not None and job.picture is None:
            self.learning.take(found)
        return found

    async def prepared(self, items: Items, rankings: Rankings) -> Now:
        """`Engine.prepared`, beside the searches where the items allow it."""
        if items.shared:
            return await asyncio.to_thread(self.engine.prepared, items, rankings)
        return await self.batches.call(self.engine.prepared, items, rankings)

    async def shift(self, request: Request) -> Response:
        """``{"vectors": [[...]], "method", "strength"}`` to ``{"vectors": [[...]]}``."""
        rows, ranking = await self._rows(request, self.engine.shift)
        return as_json({**ranking, "vectors": rows})

    async def bias(self, request: Request) -> Response:
        """``{"vectors": [[...]], "method", "strength"}`` to ``{"bias": [...]}``."""
        rows, ranking = await self._rows(request, self.engine.bias)
        return as_json({**ranking, "bias": rows})

    async def _rows(self, request: Request, work: Callable[..., Any]) -> tuple[Any, Any]:
        values = parsed(await read_body(request, self.limits))
        unknown = sorted(set(values) - {"vectors", "method", "strength"})
        if unknown:
            what = f"the key {unknown[0][:40]!r}"
            raise Refusal(400, what, "vectors, method, strength", "leave it out")
        dimension = self.engine.items.dimension
        rows = rows_of(values.get("vectors"), dimension, self.limits.rows)
        wanted = wanted_of(values)
        found, ranking = await asyncio.to_thread(work, rows, wanted.method, wanted.strength)
        about = {"schema": 1, "method": ranking.method, "strength": ranking.strength}
        return found.tolist(), about


def create_app(service: Service) -> Guard:
    """The ASGI application of a service, behind its guard."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        service.batches.start()
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(work()) for work in service.background]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await service.batches.stop()

    # No Starlette around it: its own handler of errors would answer before the guard does.
    router = Router(service.routes(), redirect_slashes=False, lifespan=lifespan)
    return Guard(router, service.access, service.limits, service.metrics, service.log)
