"""The service described in OpenAPI, and a page that shows it without anything from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from distnorm.service.answers import as_json
from distnorm.service.limits import Limits
from distnorm.service.pages import page

if TYPE_CHECKING:
    from distnorm.service.app import Service

__all__ = ["described", "openapi"]

_VECTOR = {"type": "array", "items": {"type": "number"}, "description": "one vector of the model"}
_METHOD = {"type": "string", "description": "a method of /config; the service's own if left out"}
_STRENGTH = {"type": "number", "minimum": 0, "maximum": 8, "description": "its own if left out"}
_VECTORS = {
    "vectors": {"type": "array", "items": _VECTOR},
    "method": _METHOD,
    "strength": _STRENGTH,
}
_REFUSED = {
    "400": "what is asked for is wrong",
    "401": "no valid token",
    "403": "another site's page asks",
    "408": "the body came too slowly",
    "409": "nothing learned is in force",
    "413": "too much at once",
    "415": "the body is not said to be JSON",
    "421": "the host is no name of this service",
    "503": "too many requests, or the items do not answer: try again",
    "504": "no answer in time",
}


def openapi(version: str, limits: Limits) -> dict[str, Any]:
    """The description, as a JSON object."""
    search = {
        "query": {"type": "string", "maxLength": limits.text, "description": "words"},
        "picture": {"type": "string", "description": "a picture in base64, instead of words"},
        "vector": {**_VECTOR, "description": "a vector, instead of words"},
        "k": {"type": "integer", "minimum": 1, "maximum": limits.k, "default": 10},
        "method": _METHOD,
        "strength": _STRENGTH,
        "also": {"type": "object", "properties": {"method": _METHOD, "strength": _STRENGTH}},
        "filter": {"description": "which items may be found; /config says in which form"},
    }
    knn = {
        "indice_name": {"type": "string"},
        "text": {"type": "string", "nullable": True},
        "image": {"type": "string", "nullable": True},
        "embedding_input": {**_VECTOR, "nullable": True},
        "num_images": {"type": "integer"},
        "num_result_ids": {"type": "integer"},
    }
    paths = {
        "/search": _post("Lists by dot product and normalized, side by side", search),
        "/shift": _post("Queries as an index of raw vectors wants them", _VECTORS),
        "/bias": _post("What to subtract from the score of each item", _VECTORS),
        "/knn-service": _post("A search in clip-retrieval's form", knn),
        "/metadata": _post(
            "What is known of items, in clip-retrieval's form",
            {
                "ids": {"type": "array", "items": {"type": "integer"}},
                "indice_name": knn["indice_name"],
            },
        ),
        "/indices-list": _get("Names of indices, in clip-retrieval's form"),
        "/learn": {
            **_get("With --learn: what was learned, and whether it is in force"),
            **_post(
                "Publish what is in force, roll back to the start, or resume",
                {"action": {"type": "string", "enum": ["publish", "rollback", "resume"]}},
            ),
        },
        "/config": _get("What can be asked for: methods, strengths, limits"),
        "/thumbnails/{row}": _get("The small picture of a row, JPEG", "row"),
        "/healthz": _get("Whether searches are answered"),
        "/metrics": _get("Counters for Prometheus"),
        "/session": _post("A cookie for a page, instead of the token", {}),
        "/": _get("The search page"),
        "/hubs": _get("Items that come up for every query, before and after"),
        "/map": _get("A map of the items, where there is one"),
        "/compare": _get("The report that the page shows, where there is one"),
        "/docs": _get("This description, to read"),
        "/openapi.json": _get("This description"),
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": "distnorm serve", "version": version or "0"},
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Refusal": {"type": "object", "properties": {"error": {"type": "string"}}}},
        },
    }


def described(service: Service) -> list[Route]:
    """Routes of the description."""
    found = openapi(service.version, service.limits)

    async def raw(_: Request) -> Response:
        return as_json(found)

    async def read(_: Request) -> Response:
        return HTMLResponse(page("docs.html.j2", path="/docs", api=found, refused=_REFUSED))

    return [Route("/openapi.json", raw), Route("/docs", read)]


def _post(summary: str, properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    content = {"application/json": {"schema": schema}}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"content": content, "required": True},
            "responses": _responses(),
        }
    }


def _get(summary: str, parameter: str = "") -> dict[str, Any]:
    about: dict[str, Any] = {"summary": summary, "responses": _responses()}
    if parameter:
        schema = {"type": "integer", "minimum": 0}
        about["parameters"] = [
            {"name": parameter, "in": "path", "required": True, "schema": schema}
        ]
    return {"get": about}


def _responses() -> dict[str, Any]:
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    refused = {code: {"description": words, "content": refusal} for code, words in _REFUSED.items()}
    return {"200": {"description": "the answer"}, **refused}
