"""Files of any size pass through a bounded memory; TLS is trusted as for lines, and loses nothing."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop
from aiohttp import web

from batchrouter.domain.job import JobPhase, NativeFacts, Seen
from batchrouter.errors import NativeUnknown
from tests.integration.http.conftest import Certificate
from tests.integration.http.upstream import Upstream, Visit, reply
from tests.integration.native.server import Provider, api_at, draft

LINE = b"x" * 9_999
COUNT = 6_400
"""64 MB: many times the bound, and quick."""
MEMORY_MAX_BYTES = 12 * 1024 * 1024
"""For both sides of the connection, which share this process."""
ENDED = Seen(ext_id="b", phase=JobPhase.ENDED, data={"output_file_id": "out", "results": "yes"})
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


async def many() -> AsyncIterator[bytes]:
    for _ in range(COUNT):
        yield LINE


async def swallow(request: web.Request) -> web.Response:
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
    return web.json_response({"error": {"code": f"size-{size}"}}, status=400)


swallow.reads_itself = True  # type: ignore[attr-defined]


async def pour(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": str(COUNT * (len(LINE) + 1))})
    await response.prepare(request)
    piece = (LINE + b"\n") * 20
    for _ in range(COUNT // 20):
        await response.write(piece)
    return response


@pytest.mark.parametrize("dialect", ["anthropic", "mistral"])
async def test_large_files_do_not_grow_in_memory(dialect: str) -> None:
    """64 MB up, in one body of JSON or in a form for files, and 64 MB down."""
    facts = NativeFacts(dialect=dialect)
    replies = {
        "POST /v1/messages/batches": swallow,
        "GET /v1/messages/batches/b/results": pour,
        "POST /v1/files": {"id": "in"},
        "POST /v1/batch/jobs": 400,
        "GET /v1/files/out/content": pour,
    }
    async with Provider(replies) as provider:
        provider.forget_files = True
        api = api_at(provider.url + "/v1", facts)
        tracemalloc.start()
        with pytest.raises(Exception, match="status 400"):
            await api.submit(draft(lines=COUNT, bytes=COUNT * (len(LINE) + 1)), many())
        up = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        seen = Seen(ext_id="b", phase=JobPhase.ENDED, data={"output_file": "out", "results": "yes"})
        count = 0
        async for line in api.results(seen):
            assert len(line) == len(LINE)
            count += 1
        down = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == COUNT
        assert max(up, down) < MEMORY_MAX_BYTES
        await api.aclose()


@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_a_slow_reader_over_tls_misses_nothing(certificate: Certificate, loop: str) -> None:
    """The provider closes right behind the last byte, as soon as it may; the lines are all there. A reply without a
    length is not trusted, because its end may be missing."""
    body = b"".join(b"%d %b\n" % (number, LINE) for number in range(400))

    async def script(visit: Visit) -> None:
        await visit.request()
        assert b"connection: keep-alive" in visit.head.lower()
        visit.send(reply(body) if b"/out/" in visit.head else b"HTTP/1.1 200 OK\r\n\r\n" + body)
        if b"/out/" in visit.head:
            await visit.gone()  # we may close, because we asked it not to

    async def scene() -> None:
        async with Upstream(script, certificate.context()) as upstream:
            api = api_at(f"https://localhost:{upstream.port}/v1", ca_file=str(certificate.file))
            numbers = []
            async for line in api.results(ENDED):
                numbers.append(int(line.split()[0]))
                if len(numbers) % 50 == 0:
                    await asyncio.sleep(0)
            assert numbers == list(range(400))
            unbounded = Seen(ext_id="b", phase=JobPhase.ENDED, data={"output_file_id": "other"})
            with pytest.raises(NativeUnknown):
                async for _ in api.results(unbounded):
                    pass
            await api.aclose()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.wait_for(scene(), 20))


async def test_a_download_never_leaves_tls(certificate: Certificate) -> None:
    """A redirect to a plain address is not followed: anybody could write the answers."""
    async with Provider({"GET /kept": b'{"a":1}\n'}) as plain:
        moved = plain.url + "/kept"
        replies = {"GET /v1/files/out/content": lambda _: web.HTTPFound(moved)}
        async with Provider(replies, context=certificate.context()) as provider:
            api = api_at(f"https://localhost:{provider.port}/v1", ca_file=str(certificate.file))
            with pytest.raises(NativeUnknown):
                await anext(api.results(ENDED))
            assert plain.asked == []
            await api.aclose()


async def test_a_certificate_that_nobody_named_is_not_trusted(certificate: Certificate) -> None:
    """Nothing is sent, the key least of all; unless the configuration says that any will do."""

    async def script(visit: Visit) -> None:
        await visit.request()
        visit.send(reply(b"{}", status=503))

    async with Upstream(script, certificate.context()) as upstream:
        api = api_at(f"https://localhost:{upstream.port}/v1")
        with pytest.raises(NativeUnknown) as raised:
            await api.look("b", {})
        assert not raised.value.sent
        await api.aclose()
        api = api_at(f"https://localhost:{upstream.port}/v1", verify_tls=False)
        with pytest.raises(Exception, match="status 503"):
            await api.look("b", {})
        await api.aclose()
