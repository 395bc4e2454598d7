"""What goes wrong on the way: nobody hears of a job twice, and nobody reads a key."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from aiohttp import web

from batchrouter.adapters.native import caller
from batchrouter.adapters.native.caller import Patience
from batchrouter.domain.job import JobPhase, NativeFacts, Seen
from batchrouter.errors import BlobError, ConfigError, NativeError, NativeRefused, NativeUnknown
from batchrouter.ports.native import NativeApi
from tests.integration.http.upstream import Upstream, Visit, reply
from tests.integration.native.server import KEY, LINES, PATIENCE, Provider, api_at, batch, draft, stream

SHORT = Patience(connect_s=5, reply_s=0.1, stall_s=0.1)
DIALECTS = {name: NativeFacts(dialect=name) for name in ("openai", "anthropic", "mistral")}
ENDED = Seen(
    ext_id="batch_1",
    phase=JobPhase.ENDED,
    data={"output_file_id": "out", "error_file_id": "err", "output_file": "out", "results": "yes"},
)


async def read(api: NativeApi, seen: Seen = ENDED) -> list[bytes]:
    return [line async for line in api.results(seen)]


CALLS: dict[str, Callable[[NativeApi], Coroutine[Any, Any, object]]] = {
    "submit": lambda api: api.submit(draft(), stream()),
    "find": lambda api: api.find(draft(), frozenset()),
    "look": lambda api: api.look("batch_1", {}),
    "cancel": lambda api: api.cancel("batch_1", {}),
    "results": read,
}


def told(error: BaseException) -> str:
    """All that a log could show of it."""
    return "".join(traceback.format_exception(error)) + repr(error)


async def failure(call: Coroutine[Any, Any, object]) -> NativeError:
    """What a call raises; nothing that it tells may hold the key."""
    with pytest.raises(NativeError) as raised:
        async with asyncio.timeout(20):
            await call
    assert KEY not in told(raised.value)
    return raised.value


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_where_nobody_listens_nothing_can_have_happened(dialect: str, call: str) -> None:
    """Every call says so."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        api = api_at(f"http://127.0.0.1:{nobody.getsockname()[1]}/v1", DIALECTS[dialect])
        error = await failure(CALLS[call](api))
        assert isinstance(error, NativeUnknown)
        assert not error.sent
        await api.aclose()


@pytest.mark.parametrize(
    ("end", "call"),
    [
        *itertools.product(["closed", "reset", "silent", "half", "garbage"], CALLS),
        *(("no json", call) for call in CALLS if call != "results"),  # whose lines are the engine's to understand
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_without_a_whole_answer_it_may_have_happened(dialect: str, call: str, end: str) -> None:
    """Only an upload that was lost made no job for certain, because the job comes after it."""

    async def script(visit: Visit) -> None:
        await visit.request()
        match end:
            case "reset":
                visit.reset()
            case "silent":
                await visit.gone()
            case "half":
                visit.send(reply(b'{"id": "batch_1"')[:-5])
            case "garbage":
                visit.send(b"garbage\r\n\r\n")
            case "no json":
                visit.send(reply(b"<html>"))

    async with Upstream(script) as upstream:
        api = api_at(
            f"http://127.0.0.1:{upstream.port}/v1", DIALECTS[dialect], patience=SHORT if end == "silent" else PATIENCE
        )
        error = await failure(CALLS[call](api))
        assert isinstance(error, NativeUnknown)
        assert error.sent is not (call == "submit" and dialect != "anthropic")
        assert upstream.visits == 1  # nothing is tried twice
        await api.aclose()


async def test_a_lost_reply_to_the_creation_may_have_made_a_job() -> None:
    """The upload had succeeded, and its file is left to the job."""

    async def lose(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with Provider({"POST /v1/files": {"id": "in"}, "POST /v1/batches": lose}) as provider:
        api = api_at(provider.url + "/v1")
        error = await failure(api.submit(draft(), stream()))
        assert isinstance(error, NativeUnknown)
        assert error.sent
        assert provider.calls() == ["POST /v1/files", "POST /v1/batches"]
        await api.aclose()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_error_is_a_refusal_with_code_and_time(dialect: str, call: str) -> None:
    """Of every call. The reply's own text, which may quote the key, is not told."""

    async def refuse(request: web.Request) -> web.Response:
        await request.read()
        body = {"error": {"code": "slow_down", "message": f"Incorrect API key provided: {KEY}"}}
        return web.json_response(body, status=429, headers={"retry-after": "12"})

    async with Provider({}) as provider:
        provider.replies = _Always(refuse)
        api = api_at(provider.url + "/v1", DIALECTS[dialect])
        error = await failure(CALLS[call](api))
        assert isinstance(error, NativeRefused)
        assert (error.status, error.code, error.retry_after_s) == (429, "slow_down", 12.0)
        await api.aclose()


class _Always(dict[str, Any]):
    def __init__(self, reply: object) -> None:
        self._reply = reply

    def get(self, key: str, default: object = None) -> Any:
        return self._reply


@pytest.mark.parametrize(
    ("status", "look", "ended"),
    [(409, "completed", True), (400, "expired", True), (409, "in_progress", False), (403, "completed", False)],
)
async def test_a_refused_cancel_is_told_unless_the_job_has_ended(status: int, look: str, ended: bool) -> None:
    """Only then there was nothing left to cancel."""
    replies = {"POST /v1/batches/batch_1/cancel": status, "GET /v1/batches/batch_1": batch(look)}
    async with Provider(replies) as provider:
        api = api_at(provider.url + "/v1")
        if ended:
            assert (await api.cancel("batch_1", {})).phase is JobPhase.ENDED
        else:
            error = await failure(api.cancel("batch_1", {}))
            assert isinstance(error, NativeRefused)
            assert error.status == status
        await api.aclose()


async def test_a_redirect_is_refused_and_the_key_goes_nowhere() -> None:
    """Whoever moved should say so in the configuration."""
    async with Provider({}) as elsewhere:
        moved = web.HTTPTemporaryRedirect(elsewhere.url + "/v1/batches/batch_1")
        async with Provider({"GET /v1/batches/batch_1": lambda _: moved}) as provider:
            api = api_at(provider.url + "/v1")
            error = await failure(api.look("batch_1", {}))
            assert isinstance(error, NativeRefused)
            assert error.status == 307
            assert elsewhere.asked == []
            await api.aclose()


@pytest.mark.parametrize("status", [200, 500])
async def test_a_reply_has_a_bound(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A provider gone mad, whose reply never ends, does not fill our memory."""
    monkeypatch.setattr(caller, "REPLY_MAX_BYTES", 100_000)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" " * 10_000)
        return response

    async with Provider({"GET /v1/batches/batch_1": endless}) as provider:
        api = api_at(provider.url + "/v1")
        error = await failure(api.look("batch_1", {}))
        assert ("more than 100000 bytes" in str(error)) == (status == 200)
        assert isinstance(error, NativeRefused) == (status == 500)
        await api.aclose()


# --- lines on their way up --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_the_source_of_the_lines_raises_comes_out_as_it_is(dialect: str) -> None:
    """It is ours, not the provider's; the request is cut off, so that nobody takes a part for the whole."""
    closed = False

    async def broken() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            yield LINES[0]
            raise BlobError("the disk is gone")
        finally:
            closed = True

    async with Provider({}) as provider:
        api = api_at(provider.url + "/v1", DIALECTS[dialect])
        with pytest.raises(BlobError, match="the disk is gone"):
            await api.submit(draft(), broken())
        assert closed
        assert provider.asked == []  # no request was whole
        await api.aclose()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("lines", [LINES[:2], [*LINES, b"{}"], [*LINES[:2], LINES[2] + b" "]])
async def test_lines_that_were_not_announced_make_no_job(dialect: str, lines: list[bytes]) -> None:
    """Too few, too many, too long: the provider sees no whole request."""
    async with Provider({}) as provider:
        api = api_at(provider.url + "/v1", DIALECTS[dialect])
        error = await failure(api.submit(draft(), stream(lines)))
        assert isinstance(error, NativeUnknown)
        assert not error.sent
        assert "not the 3 lines of 141 bytes" in str(error)
        assert provider.asked == []
        await api.aclose()


async def test_a_line_too_many_is_noticed_before_the_request_is_whole() -> None:
    """However large the lines: a job of the first ones would be paid for."""
    lines = [b'"%b"' % (b"x" * 400_000)] * 3
    async with Provider({"POST /v1/messages/batches": {}}) as provider:
        api = api_at(provider.url + "/v1", DIALECTS["anthropic"])
        error = await failure(api.submit(draft(lines[:2]), stream(lines)))
        assert isinstance(error, NativeUnknown)
        assert not error.sent
        assert provider.asked == []
        await api.aclose()


async def many(count: int, closed: list[bool]) -> AsyncIterator[bytes]:
    try:
        for _ in range(count):
            yield b"x" * 9_999
    finally:
        closed.append(True)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_refusal_before_the_last_line_ends_the_upload(dialect: str) -> None:
    """No further line is read from the source."""

    async def script(visit: Visit) -> None:
        await visit.reader.readuntil(b"\r\n\r\n")
        visit.send(reply(b'{"error": {"code": "too_large"}}', status=413))
        await visit.gone()

    closed: list[bool] = []
    async with Upstream(script) as upstream:
        api = api_at(f"http://127.0.0.1:{upstream.port}/v1", DIALECTS[dialect])
        large = draft(lines=10_000, bytes=100_000_000)
        error = await failure(api.submit(large, many(10_000, closed)))
        assert isinstance(error, NativeRefused)
        assert (error.status, error.code) == (413, "too_large")
        assert closed == [True]
        await api.aclose()


async def test_an_upload_that_nobody_reads_ends() -> None:
    """The provider took the connection, and then nothing."""
    stop = asyncio.Event()

    async def script(visit: Visit) -> None:
        visit.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await stop.wait()

    closed: list[bool] = []
    async with Upstream(script) as upstream:
        api = api_at(f"http://127.0.0.1:{upstream.port}/v1", patience=SHORT)
        error = await failure(api.submit(draft(lines=10_000, bytes=100_000_000), many(10_000, closed)))
        assert isinstance(error, NativeUnknown)
        assert closed == [True]
        stop.set()
        await api.aclose()


class LeapingLoop(asyncio.SelectorEventLoop):
    """A loop whose time a test can move on."""

    leapt_s = 0.0

    def time(self) -> float:
        return super().time() + self.leapt_s


def test_an_upload_that_moves_has_all_the_time_it_needs() -> None:
    """Only standing still counts against it: here it takes longer than the patience, and no step of it does."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LeapingLoop)

        async def slowly() -> AsyncIterator[bytes]:
            for line in lines:
                yield line
                loop.leapt_s += PATIENCE.stall_s * 0.6

        lines = [line + b" " * 300_000 for line in LINES]
        async with Provider({"POST /v1/files": {"id": "in"}, "POST /v1/batches": batch()}) as provider:
            api = api_at(provider.url + "/v1")
            assert (await api.submit(draft(lines), slowly())).ext_id == "batch_1"
            await api.aclose()

    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        runner.run(scene())


# --- lines on their way down ------------------------------------------------------------------------------------------


async def test_a_download_that_breaks_off_is_no_end() -> None:
    """What had come stands; that it was all is not said."""

    async def script(visit: Visit) -> None:
        await visit.request()
        visit.send(reply(b'{"a":1}\n{"b":2}\n{"c":')[:-4])

    async with Upstream(script) as upstream:
        api = api_at(f"http://127.0.0.1:{upstream.port}/v1")
        lines = api.results(ENDED)
        assert [await anext(lines), await anext(lines)] == [b'{"a":1}', b'{"b":2}']
        assert isinstance(await failure(anext(lines)), NativeUnknown)  # type: ignore[arg-type]
        await api.aclose()


async def test_lines_come_as_they_are_however_they_end() -> None:
    """A last line without its end, blank lines, carriage returns, and an empty file of errors (Azure)."""
    files = {"GET /v1/files/out/content": b'\xef\xbb\xbf{"a":1}\r\n\n{"b":2}', "GET /v1/files/err/content": b""}
    async with Provider(files) as provider:
        api = api_at(provider.url + "/v1")
        assert await read(api) == [b'{"a":1}', b'{"b":2}']
        await api.aclose()


async def test_a_line_longer_than_any_reply_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others come; the log names its number, not its text."""
    monkeypatch.setattr(caller, "RESULT_MAX_BYTES", 10)
    files = {"GET /v1/files/out/content": b"short\n" + b"prompt" * 9 + b"\nlast\n", "GET /v1/files/err/content": b""}
    async with Provider(files) as provider:
        api = api_at(provider.url + "/v1")
        assert await read(api) == [b"short", b"last"]
        assert "line 2" in caplog.text
        assert "prompt" not in caplog.text
        await api.aclose()


async def test_files_that_lie_elsewhere_are_fetched_without_the_key() -> None:
    """A redirect to another host is followed as a stranger, one to the same host as ourselves."""
    async with Provider({"GET /kept": b'{"a":1}\n'}) as elsewhere:
        away = web.HTTPFound(elsewhere.url + "/kept?sig=secret")
        here = web.HTTPSeeOther("/v1/moved")
        replies: dict[str, Any] = {
            "GET /v1/files/out/content": lambda _: away,
            "GET /v1/files/err/content": lambda _: here,
            "GET /v1/moved": b'{"b":2}\n',
        }
        async with Provider(replies) as provider:
            api = api_at(provider.url + "/v1")
            assert await read(api) == [b'{"a":1}', b'{"b":2}']
            assert [KEY in str(asked.headers) for asked in elsewhere.asked] == [False]
            assert [KEY in str(asked.headers) for asked in provider.asked] == [True, True, True]
            await api.aclose()


@pytest.mark.parametrize("to", ["ftp://127.0.0.1/kept", "//", "GET /v1/files/out/content"])
async def test_a_redirect_that_leads_nowhere_ends(to: str) -> None:
    """Another protocol, no address, itself."""
    to = to.removeprefix("GET ")
    async with Provider({"GET /v1/files/out/content": lambda _: web.HTTPFound(to)}) as provider:
        api = api_at(provider.url + "/v1")
        assert isinstance(await failure(read(api)), NativeUnknown)
        assert len(provider.asked) <= caller.REDIRECTS_MAX + 1
        await api.aclose()


# --- proxies ----------------------------------------------------------------------------------------------------------


async def test_the_environments_proxy_is_used() -> None:
    """As for lines; its own password is told to nobody either."""

    async def script(visit: Visit) -> None:
        await visit.request()
        assert visit.head.startswith(b"GET http://provider.invalid/v1/batches/batch_1 HTTP/1.1")
        assert b"Proxy-Authorization: Basic" in visit.head
        visit.send(reply(b"{}", status=503))

    async with Upstream(script) as upstream:
        env = {"http_proxy": f"http://me:proxy-password@127.0.0.1:{upstream.port}"}
        api = api_at("http://provider.invalid/v1", env=env)
        error = await failure(api.look("batch_1", {}))
        assert isinstance(error, NativeRefused)
        assert "proxy-password" not in told(error)
        await api.aclose()


async def test_a_proxy_that_refuses_to_connect_sent_nothing() -> None:
    """The provider never heard of it."""

    async def script(visit: Visit) -> None:
        await visit.request()
        assert visit.head.startswith(b"CONNECT provider.invalid:443")
        visit.send(reply(b"no", status=407))

    async with Upstream(script) as upstream:
        env = {"https_proxy": f"http://me:proxy-password@127.0.0.1:{upstream.port}"}
        api = api_at("https://provider.invalid/v1", env=env)
        error = await failure(api.look("batch_1", {}))
        assert isinstance(error, NativeUnknown)
        assert not error.sent
        assert "proxy-password" not in told(error)
        await api.aclose()


def test_settings_that_cannot_be_used_are_told_at_once() -> None:
    """Not at the first job."""
    with pytest.raises(ConfigError, match="dialect 'bedrock'"):
        api_at("http://host/v1", NativeFacts(dialect="bedrock"))
    with pytest.raises(ConfigError, match="way of files"):
        api_at("http://host/v1", NativeFacts(files="ftp"))
    with pytest.raises(ConfigError, match="socks5"):
        api_at("http://host/v1", env={"all_proxy": "socks5://127.0.0.1:1"})
    with pytest.raises(ConfigError, match="ca_file"):
        api_at("https://host/v1", ca_file="/nowhere.pem")
