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
