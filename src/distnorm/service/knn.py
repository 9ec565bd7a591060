"""clip-retrieval's HTTP, so that its clients and front work against this service unchanged.

``POST /knn-service``, ``GET /indices-list`` and ``POST /metadata`` as clip-retrieval 2.44 has them.
There are two indices: the collection's name, which ranks by the normalization, and ``NAME-dot``.
``similarity`` is the ranking score. Items are listed once whatever ``deduplicate`` says; the
filters for safety, violence and aesthetics and multilingual CLIP are not here and are passed over.
A picture's address (``image_url``) is refused: nothing is fetched for a request.
"""

from __future__ import annotations

import asyncio
import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from distnorm.service.answers import as_json
from distnorm.service.guard import read_body
from distnorm.service.limits import Limits, Refusal
from distnorm.service.requests import Asked, Wanted, parsed, picture_of, rows_of, text_of

if TYPE_CHECKING:
    from distnorm.service.app import Service

__all__ = ["KnnForm", "indice_name"]

_MOST = 10_000
_PICTURES = 100  # results that bring their picture along


def indice_name(place: str) -> str:
    """What the index of a collection is called: the last part of its name."""
    name = re.sub(r"[^\w.-]+", "-", Path(place.split("?")[0]).name).strip("-.")
    return name.removesuffix(".npy") or "collection"


class KnnForm:
    """The routes of this form, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        name = indice_name(service.engine.items.name)
        self.names = {name: Wanted(), f"{name}-dot": Wanted("dot")}

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/knn-service", self.search, methods=["POST"]),
            Route("/indices-list", self.indices),
            Route("/metadata", self.metadata, methods=["POST"]),
        ]

    async def indices(self, _: Request) -> Response:
        """The names of both indices."""
        return as_json(list(self.names))

    async def search(self, request: Request) -> Response:
        """Ids and similarities, and of the first ``num_images`` what is known of them."""
        service = self._service
        values = parsed(await read_body(request, service.limits, any_type=True))
        job = self._asked(values, service.limits)
        images = whole(values, "num_images", 100, _MOST)
        found = await service.found(job)
        ids, scores = found.answer["ids"], found.answer["scores"]
        told = await service.batches.call(service.engine.items.told, ids[:images])
        results: list[dict[str, Any]] = []
        for number, (item, score) in enumerate(zip(ids, scores, strict=True)):
            plain = item if isinstance(item, (int, str)) else str(item)
            entry: dict[str, Any] = {"id": plain, "similarity": score}
            if number < len(told):
                entry = {**_known(told[number], service.engine.items.side), **entry}
                if number < _PICTURES:
                    await self._add_picture(entry, told[number]["row"])
            results.append(entry)
        return as_json(results)

    async def metadata(self, request: Request) -> Response:
        """What is known of items, by their ids."""
        service = self._service
        values = parsed(await read_body(request, service.limits, any_type=True))
        self._wanted(values)
        ids, items = values.get("ids"), service.engine.items
        if not isinstance(ids, list) or len(ids) > _MOST:
            raise Refusal(400, "ids of another form", f"a list of up to {_MOST}", "send it")
        rows = [one for one in ids if type(one) is int and items.names_row(one)]
        told = await service.batches.call(items.told, rows)
        return as_json(
            [
                {"id": row, "metadata": _known(about, items.side)}
                for row, about in zip(rows, told, strict=True)
            ]
        )

    def _wanted(self, values: dict[str, Any]) -> Wanted:
        name = values.get("indice_name")
        if not isinstance(name, str) or name not in self.names:
            words = repr(name)[:40]
            raise Refusal(400, f"indice_name {words}", " or ".join(self.names), "name one of them")
        return self.names[name]

    def _asked(self, values: dict[str, Any], limits: Limits) -> Asked:
        items = self._service.engine.items
        if values.get("modality", items.side) != items.side:
            words = repr(values["modality"])[:40]
            raise Refusal(400, f"modality {words}", repr(items.side), "ask for that")
        if values.get("image_url"):
            raise Refusal(400, "an image_url", "image, in base64", "fetch it and send its bytes")
        given = [key for key in ("text", "image", "embedding_input") if values.get(key)]
        if len(given) != 1:
            raise Refusal(
                400, f"{len(given)} of text, image and embedding_input", "exactly one", "send one"
            )
        k = whole(values, "num_result_ids", 100, _MOST)
        about: dict[str, Any] = {"wanted": self._wanted(values), "brief": True}
        if given[0] == "text":
            return Asked(k, text=text_of(values["text"], limits), **about)
        if given[0] == "image":
            return Asked(k, picture=picture_of(values["image"], limits), **about)
        rows = rows_of([values["embedding_input"]], items.dimension, 1, "embedding_input")
        return Asked(k, row=rows[0:1], **about)

    async def _add_picture(self, entry: dict[str, Any], row: int | None) -> None:
        path = None if row is None else self._service.engine.items.picture(row)
        if path is not None:
            made = await asyncio.to_thread(self._service.thumbnails.of, path)
            if made is not None:
                entry["image"] = base64.b64encode(made[0]).decode()


def whole(values: dict[str, Any], key: str, default: int, most: int) -> int:
    """A number of items from 1 on; more than ``most`` are ``most``."""
    value = values.get(key, default)
    if value is None:
        return default
    if type(value) is not int or value < 1:
        raise Refusal(400, f"{key} {repr(value)[:40]}", "a whole number from 1 on", "send one")
    return min(value, most)


def _known(told: dict[str, Any], side: str) -> dict[str, Any]:
    """Columns as clip-retrieval's metadata has them."""
    name, found = told["name"], dict(told["fields"])
    if side != "image":
        return {**found, "caption": name}
    key = "url" if name.startswith(("http://", "https://")) else "image_path"
    return {**found, key: name, **({} if told["caption"] is None else {"caption": told["caption"]})}
