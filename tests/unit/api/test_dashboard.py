"""The dashboard's files: who may have them, how long they may be kept, and what a page of them may do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message

from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.api.app import create_app
from batchrouter.api.context import Door
from batchrouter.api.dashboard import dashboard_routes
from batchrouter.api.settings import ApiSettings
from batchrouter.service.service import Service


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


async def ask(app: ASGIApp, path: str, *, method: str = "GET", **headers: str) -> Reply:
    """Without a key, as a browser asks for a page."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    told = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assets = tmp_path / "dashboard" / "assets"
    assets.mkdir(parents=True)
    (assets.parent / "index.html").write_text("<!doctype html><p>the page")
    (assets.parent / "sources.sha256").write_text("0")
    (assets / "index-abc.js").write_text("let a;")
    (assets / "index-abc.js.gz").write_bytes(b"small")
    (assets / "icon-abc.svg").write_text("<svg/>")
    return assets.parent


@pytest.fixture
def app(folder: Path) -> Starlette:
    return Starlette(routes=dashboard_routes(folder))


async def test_the_page_needs_no_key_and_may_run_only_its_own_scripts(app: Starlette) -> None:
    reply = await ask(app, "/")
    assert (reply.status, reply.body) == (200, b"<!doctype html><p>the page")
    policy = dict(rule.split(" ", 1) for rule in reply.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "unsafe-eval" not in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"


async def test_the_page_is_asked_for_anew_and_sent_only_when_it_changed(app: Starlette) -> None:
    first = await ask(app, "/")
    assert first.headers["cache-control"] == "no-cache"
    again = await ask(app, "/", if_none_match=first.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (await ask(app, "/", if_none_match='W/"another"')).status == 200


async def test_assets_are_kept_for_ever(app: Starlette) -> None:
    """Their names hold a hash of their bytes."""
    reply = await ask(app, "/assets/index-abc.js")
    assert (reply.status, reply.body) == (200, b"let a;")
    assert "immutable" in reply.headers["cache-control"]
    assert reply.headers["content-type"].startswith("text/javascript")
    assert (await ask(app, "/assets/icon-abc.svg")).headers["content-type"] == "image/svg+xml"


async def test_assets_are_small_for_those_who_take_them_so(app: Starlette) -> None:
    small = await ask(app, "/assets/index-abc.js", accept_encoding="gzip, br")
    assert (small.body, small.headers["content-encoding"]) == (b"small", "gzip")
    whole = await ask(app, "/assets/icon-abc.svg", accept_encoding="gzip")
    assert "content-encoding" not in whole.headers
    assert small.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/nothing.js",
        "/assets/index-abc.js.gz",
        "/assets/../index.html",
        "/assets/..%2findex.html",
        "/assets/",
        "/sources.sha256",
        "/index.html",
    ],
)
async def test_nothing_but_the_page_and_its_assets_is_served(app: Starlette, path: str) -> None:
    assert (await ask(app, path)).status == 404


@pytest.mark.parametrize("path", ["/", "/assets/index-abc.js"])
async def test_files_are_only_read(app: Starlette, path: str) -> None:
    assert (await ask(app, path, method="HEAD")).status == 200
    for method in ("POST", "PUT", "DELETE"):
        assert (await ask(app, path, method=method)).status == 405


async def test_without_a_build_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    app = Starlette(routes=dashboard_routes(tmp_path / "nothing"))
    reply = await ask(app, "/")
    assert reply.status == 200
    assert b"make web" in reply.body
    assert b"<script" not in reply.body
    assert (await ask(app, "/assets/index-abc.js")).status == 404


async def test_the_application_serves_the_page_that_was_built() -> None:
    """`make test` builds it. What it loads is there, is its own, and is under the policy that it comes with."""
    app = create_app(Door(ApiSettings(), RealClock(), RealChance()), cast(Service, None), list)
    page = (await ask(app, "/")).body.decode()
    assert '<div id="root">' in page, "the dashboard is not built: make web"
    links = [part.split('"')[0] for part in page.replace('src="', 'href="').split('href="')[1:]]
    assert len(links) >= 3
    for link in links:
        assert link.startswith("/assets/"), link
        assert (await ask(app, link)).status == 200
    assert "<script>" not in page
    assert "style=" not in page
