"""The dashboard's built files: a page that is only another client of the API. They hold nothing of anybody's, so no key
is asked for them; the page asks its user for one and sends it with every call."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from batchrouter.api.replies import error_reply
from batchrouter.errors import ApiError

FOLDER = Path(__file__).resolve().parent.parent / "dashboard"
"""Where hatch_build.py puts them."""
PAGE = "index.html"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # the components set their variables in a style element
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
GUARDS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FOR_EVER = "public, max-age=31536000, immutable"
"""The name of an asset holds the hash of its bytes."""
UNBUILT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>BatchRouter</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body { max-width: 40rem; margin: 4rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif }</style>
</head><body><h1>BatchRouter</h1><p>The API is running; its calls are described at <a href="/docs">/docs</a>.</p>
<p>The dashboard is not built in this checkout. Build it with <code>make web</code> and start the server again. In
installed wheels it is built.</p></body></html>
"""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """`small`: the same bytes gzipped, where that is worth it."""

    body: bytes
    small: bytes | None
    media_type: str

    @classmethod
    def read(cls, path: Path) -> StaticFile:
        small = path.with_name(f"{path.name}.gz")
        return cls(
            path.read_bytes(),
            small.read_bytes() if small.is_file() else None,
            mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        )


@dataclass(frozen=True, slots=True)
class Dashboard:
    page: StaticFile
    etag: str
    assets: dict[str, StaticFile]


def dashboard_routes(folder: Path = FOLDER) -> list[BaseRoute]:
    """`/` and `/assets/*`, for GET and HEAD. The files are read once: a new build is served after a restart."""
    built = _read(folder)

    async def page(request: Request) -> Response:
        if built is None:
            return HTMLResponse(UNBUILT, headers=GUARDS)
        headers = {**GUARDS, "Cache-Control": "no-cache", "ETag": built.etag, "Vary": "Accept-Encoding"}
        if built.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return _reply(request, built.page, headers)

    async def asset(request: Request) -> Response:
        file = None if built is None else built.assets.get(request.path_params["name"])
        if file is None:
            return error_reply(ApiError(404, f"Invalid URL ({request.method} {request.url.path})"))
        return _reply(request, file, {**GUARDS, "Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"})

    return [Route("/", page), Route("/assets/{name}", asset)]


@cache
def _read(folder: Path) -> Dashboard | None:
    if not (folder / PAGE).is_file():
        return None
    page = StaticFile.read(folder / PAGE)
    assets = {
        path.name: StaticFile.read(path) for path in sorted((folder / "assets").glob("*")) if path.suffix != ".gz"
    }
    # Weak: the page is the same in both encodings, and its bytes are not.
    return Dashboard(page, f'W/"{hashlib.sha256(page.body).hexdigest()[:32]}"', assets)


def _reply(request: Request, file: StaticFile, headers: dict[str, str]) -> Response:
    if file.small is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.small, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.body, media_type=file.media_type, headers=headers)
