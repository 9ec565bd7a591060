"""The tabs beside the search: hubs of a query log, a map of the items, the report of a comparison.

What takes long is computed beside the searches, a few queries at a time, while the page reloads
itself. An item is asked about by its number on the page, never by a name.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from distnorm.errors import DistnormError, first_line
from distnorm.report.html.page import Report
from distnorm.service.limits import Refusal
from distnorm.service.log_hubs import HubCounts, K
from distnorm.service.pages import page
from distnorm.service.shown import Shown

if TYPE_CHECKING:
    from distnorm.service.app import Service

__all__ = ["Tabs"]

_PATIENCE = 1.5  # seconds that a page waits for its numbers before it says how far they are
_EXAMPLES = 6
_QUERIES = 60


class Tabs:
    """The pages of one service."""

    def __init__(self, service: Service, shown: Shown) -> None:
        self._service, self._shown = service, shown
        self._queries = None if shown.queries is None else shown.queries.sample()
        self._counts: HubCounts | None = None
        self._counting: asyncio.Task[None] | None = None
        self._report: _Report | None = None

    def routes(self) -> list[Route]:
        """Three pages, and the files of the map."""
        return [
            Route("/hubs", self.hubs),
            Route("/map", self.map),
            Route("/compare", self.compare),
            *([] if self._shown.map is None else self._shown.map.routes()),
        ]

    def examples(self) -> list[str]:
        """A few queries to try; of a log without words none."""
        words = [] if self._queries is None else self._queries.words
        fit = [word for word in words if 0 < len(word) <= 60]
        return fit[:: max(1, len(fit) // _EXAMPLES)][:_EXAMPLES]

    async def hubs(self, request: Request) -> Response:
        """Items that come up for every query; with ``?item=N`` the queries that find one."""
        if self._queries is None or not len(self._queries.rows):
            return self._page("hubs.html.j2", request, state="none")
        counts = await self._counted()
        if isinstance(counts, str):
            return self._page("hubs.html.j2", request, state="failed", reason=counts)
        if not counts.finished:
            return self._page(
                "hubs.html.j2", request, state="counting", done=counts.done,
                total=len(counts.queries.rows),
            )  # fmt: skip
        shown = counts.shown()
        engine = self._service.engine
        told = await self._service.batches.call(engine.items.told, shown)
        rankings = [counts.counts(after) for after in (False, True)]
        items = [
            {
                **about,
                "number": number,
                "thumbnail": engine.items.side == "image" and about["row"] is not None,
                "counts": [found.get(item, 0) for found in rankings],
            }
            for number, (item, about) in enumerate(zip(shown, told, strict=True))
        ]
        default = engine.rankings.default
        return self._page(
            "hubs.html.j2",
            request,
            state="counted",
            k=K,
            queries=counts.queries,
            method=default.method,
            strength=default.strength,
            figures=[counts.figures(after) for after in (False, True)],
            n_items=engine.count,
            lists=[_tops(items, at) for at in (0, 1)],
            chosen=self._chosen(request, counts, items, shown),
        )

    async def map(self, request: Request) -> Response:
        """All items as a map, or how to make it."""
        there = importlib.util.find_spec("embedding_atlas") is not None
        made = self._shown.map is not None
        return self._page("map.html.j2", request, installed=there, made=made)

    async def compare(self, request: Request) -> Response:
        """The report of ``compare`` or ``demo``."""
        if self._shown.report is None:
            return self._page("compare.html.j2", request, state="none")
        if self._report is None or self._report.failure:
            self._report = _Report(self._shown.report)
        await asyncio.to_thread(self._report.ready.wait, _PATIENCE)
        if not self._report.ready.is_set():
            return self._page("compare.html.j2", request, state="computing")
        if self._report.failure:
            return self._page(
                "compare.html.j2", request, state="failed", reason=self._report.failure
            )
        return self._page("compare.html.j2", request, state="made", content=self._report.made)

    async def _counted(self) -> HubCounts | str:
        """The counts as far as they are, or why there are none."""
        assert self._queries is not None
        version = self._service.engine.rankings.version
        if self._counts is None or self._counts.version != version:
            if self._counting is not None:
                self._counting.cancel()
            self._counts = HubCounts(self._service.engine, self._queries, version)
            self._counting = asyncio.create_task(self._count(self._counts))
        assert self._counting is not None
        await asyncio.wait([self._counting], timeout=_PATIENCE)
        if self._counting.done() and not self._counting.cancelled():
            error = self._counting.exception()
            if error is not None:
                self._counts = None
                if not isinstance(error, (Refusal, DistnormError)):
                    raise error
                return error.line if isinstance(error, Refusal) else str(error)
        return self._counts

    async def _count(self, counts: HubCounts) -> None:
        while not counts.finished:
            await self._service.batches.call(counts.step)

    def _chosen(
        self, request: Request, counts: HubCounts, items: list[dict[str, Any]], shown: list[Any]
    ) -> dict[str, Any] | None:
        """An item that was clicked, with the queries that find it before and after."""
        asked = request.query_params.get("item")
        if asked is None:
            return None
        if not asked.isascii() or not asked.isdigit() or int(asked[:6]) >= len(items):
            raise Refusal(404, "no such item", "a number of the page", "look at the page")
        number = int(asked)
        before, after = (counts.finding(shown[number], one) for one in (False, True))
        kept = set(after)
        lost_first = sorted(dict.fromkeys(before + after), key=lambda at: at in kept)
        return {
            **items[number],
            "linked": bool(len(counts.queries.words)),
            "lines": [
                {"words": counts.queries.word(at), "kept": at in kept}
                for at in lost_first[:_QUERIES]
            ],
            "more": max(0, len(lost_first) - _QUERIES),
        }

    def _page(self, name: str, request: Request, **values: Any) -> Response:
        facts = self._service.engine.facts()
        waits = values.get("state") in ("counting", "computing")
        html = page(name, path=request.url.path, facts=facts, **values)
        return HTMLResponse(html, headers={"refresh": "2"} if waits else {})


class _Report:
    """A report that is made in a thread of its own, which nothing waits for at the end."""

    def __init__(self, make: Callable[[], Report]) -> None:
        self.ready, self.failure = threading.Event(), ""
        self.made: Report | None = None
        threading.Thread(target=self._work, args=(make,), daemon=True).start()

    def _work(self, make: Callable[[], Report]) -> None:
        try:
            self.made = make()
        except Exception as error:  # whatever it is, the page says it in one line
            self.failure = first_line(error)
        self.ready.set()


def _tops(items: list[dict[str, Any]], at: int) -> list[dict[str, Any]]:
    """The items that come up most in one ranking."""
    ordered = sorted(items, key=lambda item: (-item["counts"][at], item["number"]))
    return [item for item in ordered if item["counts"][at]][:12]
