"""What upstreams are asked for their models, and what is made of the answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchrouter.adapters import upstream_models
from batchrouter.adapters.clock import RealClock
from batchrouter.adapters.upstream_models import Upstream, UpstreamModels
from tests.integration.http.conftest import Certificate, Play
from tests.integration.http.upstream import Script, Visit
from tests.integration.http.upstream import Upstream as Server

NAMES = [f"model-{n}" for n in range(3000)]
LIST = msgspec.json.encode({"object": "list", "data": [{"id": name, "object": "model"} for name in NAMES]})


def in_chunks(size: int, asked: list[bytes]) -> Script:
    """Answers with the list in chunks, each read before the next is sent."""

    async def script(visit: Visit) -> None:
        await visit.request()
        asked.append(visit.head.partition(b"\r\n")[0])
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(LIST), size):
            part = LIST[start : start + size]
            visit.send(b"%x\r\n%s\r\n" % (len(part), part))
            await visit.gap()
        visit.send(b"0\r\n\r\n")

    return script


async def listed(base_url: str, **settings: Any) -> list[str]:
    upstream = Upstream(
        **{"headers": {}, "verify_tls": True, "ca_file": None, "models": ("kept",)} | settings,
        base_url=base_url,
    )
    models = UpstreamModels({"p": upstream}, RealClock())
    try:
        return [name for name, _ in await models.names({})]
    finally:
        await models.aclose()


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_long_list_in_chunks_is_read_whole(play: Play, slash: str) -> None:
    """And asked for at one address, however the configured one ends."""
    asked: list[bytes] = []

    async def scene() -> None:
        async with Server(in_chunks(40_000, asked)) as server:
            assert await listed(f"http://127.0.0.1:{server.port}/v1{slash}") == [*NAMES, "kept"]
        assert asked == [b"GET /v1/models HTTP/1.1"]

    play(scene)


def test_a_list_without_end_is_none(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the configuration lists is told nevertheless."""
    monkeypatch.setattr(upstream_models, "REPLY_MAX_BYTES", len(LIST) - 1)

    async def scene() -> None:
        async with Server(in_chunks(80_000, [])) as server:
            assert await listed(f"http://127.0.0.1:{server.port}/v1") == ["kept"]

    play(scene)


def test_a_list_over_tls_trusts_what_lines_trust(play: Play, certificate: Certificate) -> None:
    """The named root, any certificate when told so, and else the system's roots only; a lost `ca_file` fails nobody."""

    async def scene() -> None:
        async with Server(in_chunks(len(LIST), []), certificate.context()) as server:
            url = f"https://localhost:{server.port}/v1"
            assert await listed(url, ca_file=str(certificate.file)) == [*NAMES, "kept"]
            assert await listed(url, verify_tls=False) == [*NAMES, "kept"]
            assert await listed(url) == ["kept"]
            assert await listed(url, ca_file="/nowhere.pem") == ["kept"]

    play(scene)


def pages(asked: list[bytes], *bodies: bytes) -> Script:
    """Answers each request on a connection with the next body."""

    async def script(visit: Visit) -> None:
        for body in bodies:
            await visit.request()
            asked.append(visit.head)
            visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            visit.send(body)

    return script


FIRST = b'{"data":[{"id":"a","max_tokens":5},{"id":"b"}],"has_more":true,"first_id":"a","last_id":"b"}'
LAST = b'{"data":[{"id":"c"}],"has_more":false,"last_id":"c"}'


def test_a_list_in_pages_is_read_to_its_end(play: Play) -> None:
    """With the provider's headers on each; raw entries are handed on whole."""
    asked: list[bytes] = []

    async def scene() -> None:
        async with Server(pages(asked, FIRST, LAST)) as server:
            upstream = Upstream(
                base_url=f"http://127.0.0.1:{server.port}/v1",
                headers={"x-api-key": "k"},
                verify_tls=True,
                ca_file=None,
                models=(),
                paged=True,
            )
            models = UpstreamModels({"p": upstream}, RealClock())
            assert await models.entries("p") == [{"id": "a", "max_tokens": 5}, {"id": "b"}, {"id": "c"}]
            await models.aclose()
        lines = [head.partition(b"\r\n")[0] for head in asked]
        assert lines == [b"GET /v1/models?limit=1000 HTTP/1.1", b"GET /v1/models?limit=1000&after_id=b HTTP/1.1"]
        assert all(b"\r\nx-api-key: k\r\n" in head for head in asked)

    play(scene)


@pytest.mark.parametrize("body", [b"[]", b'{"data":[{"name":"x"}]}', b'{"data":[7]}', b"no json", b'{"data":null}'])
def test_a_list_that_is_none_is_empty(play: Play, body: bytes) -> None:
    """Never an error: what is known without it holds on."""

    async def scene() -> None:
        async with Server(pages([], body)) as server:
            assert await listed(f"http://127.0.0.1:{server.port}/v1") == ["kept"]

    play(scene)
