"""Providers whose clocks are wrong, and replies that are none: no job is made twice, none taken for another."""

from __future__ import annotations

import gzip
import resource
import time
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from batchrouter.domain.job import JobPhase, NativeFacts, Seen
from batchrouter.errors import NativeUnknown
from tests.integration.native.server import TAG, Provider, api_at, batch, draft, stream

HOUR_S = 3600
ANTHROPIC, MISTRAL, OPENAI = (NativeFacts(dialect=name) for name in ("anthropic", "mistral", "openai"))
LISTS = {"anthropic": "/v1/messages/batches", "mistral": "/v1/batch/jobs", "openai": "/v1/batches"}
all_dialects = pytest.mark.parametrize("facts", [ANTHROPIC, MISTRAL, OPENAI], ids=lambda facts: facts.dialect)
RUNNING = Seen(ext_id="batch_1", phase=JobPhase.ENDED, data={"output_file_id": "f", "output_file": "f", "results": "y"})


def at(facts: NativeFacts, name: str, made_s: float, tag: str) -> dict[str, Any]:
    """A job of three lines, made at that time by the provider's clock."""
    if facts.dialect == "anthropic":
        counts = {"processing": 3, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made_s))
        return {"id": name, "processing_status": "in_progress", "created_at": made, "request_counts": counts}
    return {**batch(), "id": name, "status": "in_progress", "created_at": made_s, "metadata": {"batchrouter_job": tag}}


@all_dialects
@pytest.mark.parametrize("ahead_s", [-30 * HOUR_S, -3 * HOUR_S, 3 * HOUR_S, 30 * HOUR_S])
async def test_a_clock_that_is_hours_off_hides_no_job(facts: NativeFacts, ahead_s: int) -> None:
    """The provider's own replies tell what time it has; a job that is not found is made, and paid, a second time."""
    now_s = int(time.time())
    jobs = [
        at(facts, "later", now_s + ahead_s + 200, "job_other"),
        at(facts, "ours", now_s + ahead_s + 1, TAG),
        at(facts, "earlier", now_s + ahead_s - 300, "job_other"),
    ]
    date = formatdate(now_s + ahead_s, usegmt=True)
    asked: list[str] = []

    def page(request: web.Request) -> web.Response:
        asked.append(request.query.get("created_after", ""))
        return web.json_response({"data": jobs, "has_more": False}, headers={"date": date})

    async with Provider({f"GET {LISTS[facts.dialect]}": page}) as provider:
        api = api_at(provider.url + "/v1", facts)
        found = await api.find(draft(sent_ms=now_s * 1000), frozenset())
        await api.aclose()
    assert found is not None
    assert found.ext_id == "ours"


@all_dialects
@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Foo 2099 99:99:99 GMT", "x" * 5000])
async def test_a_date_that_is_none_tells_nothing(facts: NativeFacts, date: str) -> None:
    """Our own clock is taken then."""
    now_s = int(time.time())
    reply = {"data": [at(facts, "ours", now_s, TAG)], "has_more": False}

    def page(_: web.Request) -> web.Response:
        return web.json_response(reply, headers={"date": date})

    async with Provider({f"GET {LISTS[facts.dialect]}": page}) as provider:
        api = api_at(provider.url + "/v1", facts)
        found = await api.find(draft(sent_ms=now_s * 1000), frozenset())
        await api.aclose()
    assert found is not None


@all_dialects
@pytest.mark.parametrize(
    "reply",
    [b"<html>200 OK</html>", b"", b"null", b"[]", b'{"id": 1}', b'{"id": "", "status": "x"}', b"[" * 100_000, b"\xff"],
)
async def test_a_200_that_is_no_job_may_be_one(facts: NativeFacts, reply: bytes) -> None:
    """Nobody knows what has happened: the list is asked, and nothing else comes out."""
    async with Provider(
        {f"POST {LISTS[facts.dialect]}": reply, "POST /v1/files": {"id": "f"}, f"GET {LISTS[facts.dialect]}/b": reply}
    ) as provider:
        api = api_at(provider.url + "/v1", facts)
        with pytest.raises(NativeUnknown) as caught:
            await api.submit(draft(), stream())
        assert caught.value.sent
        with pytest.raises(NativeUnknown):
            await api.look("b", {})
        await api.aclose()


async def test_results_that_swell_when_unpacked_fill_no_memory() -> None:
    """A thousandfold, in a coding that nobody asked for."""
    bomb = gzip.compress(bytes(300_000_000))

    def results(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"content-encoding": "gzip"})

    async with Provider({"GET /v1/files/f/content": results}) as provider:
        api = api_at(provider.url + "/v1", OPENAI)
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert [line async for line in api.results(RUNNING)] == []  # one line without an end, which is left out
        after_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await api.aclose()
    assert after_kib - before_kib < 100_000
