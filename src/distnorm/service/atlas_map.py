"""A folder that ``embedding-atlas --export-application`` made, as the tab Map.

All its files are listed at the start, and a request names one of them: no path from a request is
opened. Its scripts compile WebAssembly, and ask this service alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from distnorm.errors import DistnormError
from distnorm.service.limits import Refusal

__all__ = ["AtlasMap"]

_MOST = 10_000
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; font-src 'self' data:; "
        "connect-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    ),
    "x-frame-options": "SAMEORIGIN",
    "cache-control": "private, max-age=3600",
}


@dataclass(frozen=True)
class AtlasMap:
    """The files of an application by the name that a request gives."""

    files: dict[str, Path]

    @classmethod
    def of(cls, folder: Path) -> AtlasMap:
        """Those of a folder, which must be such an application; links that lead out are not."""
        root = folder.resolve()
        files: dict[str, Path] = {}
        for path in sorted(folder.rglob("*"))[:_MOST]:
            real = path.resolve()
            if real.is_file() and real.is_relative_to(root):
                files[path.relative_to(folder).as_posix()] = real
        if not {"index.html", "data/metadata.json"} <= files.keys():
            raise DistnormError(
                f"{folder} without index.html and data/metadata.json",
                "the folder of an embedding-atlas application",
                f"make it: embedding-atlas map.parquet ... --export-application {folder}",
            )
        return cls(files)

    def routes(self) -> list[Route]:
        """One, below the tab."""
        return [Route("/map/app/{name:path}", self.file)]

    async def file(self, request: Request) -> Response:
        """A file of the application."""
        path = self.files.get(request.path_params["name"])
        if path is None or not path.is_file():
            raise Refusal(404, "no such file", "a file of the map", "open /map")
        kind = _TYPES.get(path.suffix, "application/octet-stream")
        return FileResponse(path, headers=_HEADERS, media_type=kind)
