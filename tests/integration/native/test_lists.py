"""A job that nobody told us of is looked for in the provider's list."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from batchrouter.adapters.native.search import PAGES_MAX
from batchrouter.domain.job import NativeFacts
from batchrouter.errors import NativeUnknown
from tests.integration.native.server import TAG, Provider, api_at, batch, draft

SENT_S = 1_700_000_000
ANTHROPIC = NativeFacts(dialect="anthropic")
MISTRAL = NativeFacts(dialect="mistral")


def tagged(number: int, created_s: float, tag: str = "job_other") -> dict[str, object]:
    return batch(id=f"b{number}", created_at=created_s, metadata={"batchrouter_job": tag})


def message_batch(name: str, created_at: str, count: int = 3) -> dict[str, object]:
    counts = {"processing": count, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    return {
        "id": name,
        "type": "message_batch",
        "processing_status": "in_progress",
        "created_at": created_at,
        "request_counts": counts,
        "results_url": None,
    }


class Pages:
    """A list in pages of two; `after` or `after_id` names the last one seen, `page` the number of a page."""

    def __init__(self, jobs: list[dict[str, object]], *, forgetful: bool = False) -> None:
        self._jobs = jobs
        self._forgetful = forgetful
        self.asked = 0

    def __call__(self, request: web.Request) -> web.Response:
        self.asked += 1
        after = request.query.get("after") or request.query.get("after_id")
        ids = [job["id"] for job in self._jobs]
        start = ids.index(after) + 1 if after and not self._forgetful else 0
        page = self._jobs[start : start + 2]
        return web.json_response(
            {"data": page, "has_more": start + 2 < len(self._jobs), "last_id": page[-1]["id"] if page else None}
        )


async def test_pages_are_read_until_the_jobs_are_older_than_ours_can_be() -> None:
    """Newest first, so that a long history costs nothing."""
    jobs = [tagged(number, SENT_S + 100 - number * 400) for number in range(9)]
    pages = Pages(jobs)
    async with Provider({"GET /v1/batches": pages}) as provider:
        api = api_at(provider.url + "/v1")
        assert await api.find(draft(), frozenset()) is None
        assert pages.asked == 2  # b3 is 1,100 s older than the first try
        assert "limit=100" in provider.asked[0].path
        await api.aclose()


async def test_a_job_on_a_later_page_is_found() -> None:
    """By its tag; a clock that is behind ours by some minutes does not hide it."""
    jobs = [*(tagged(number, SENT_S + 600 - number) for number in range(5)), tagged(5, SENT_S - 300, TAG)]
    async with Provider({"GET /v1/batches": Pages(jobs)}) as provider:
        api = api_at(provider.url + "/v1")
        found = await api.find(draft(), frozenset())
        assert found is not None
        assert found.ext_id == "b5"
        await api.aclose()


@pytest.mark.parametrize("facts", [NativeFacts(), ANTHROPIC], ids=["openai", "anthropic"])
async def test_a_list_without_an_end_says_nothing(facts: NativeFacts) -> None:
    """A provider that gives the same page again and again: "there is none" would be a guess, and cost a second job."""
    openai = [tagged(number, SENT_S + 50) for number in range(4)]
    anthropic = [message_batch(f"b{number}", "2023-11-14T22:14:00Z", 7) for number in range(4)]
    path = "/v1/batches" if facts is not ANTHROPIC else "/v1/messages/batches"
    pages = Pages(openai if facts is not ANTHROPIC else anthropic, forgetful=True)
    async with Provider({f"GET {path}": pages}) as provider:
        api = api_at(provider.url + "/v1", facts)
        with pytest.raises(NativeUnknown, match="no end"):
            await api.find(draft(), frozenset())
        assert pages.asked == 2
        await api.aclose()


async def test_a_list_that_goes_on_and_on_says_nothing() -> None:
    """However many jobs somebody makes under the same key."""
    asked = 0

    def page(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({"data": [tagged(asked, SENT_S + 50)], "has_more": True, "last_id": f"b{asked}"})

    async with Provider({"GET /v1/batches": page}) as provider:
        api = api_at(provider.url + "/v1")
        with pytest.raises(NativeUnknown, match="no end"):
            await api.find(draft(), frozenset())
        assert asked == PAGES_MAX
        await api.aclose()


@pytest.mark.parametrize("reply", [{"jobs": []}, "text", {"data": "x"}, {"data": {"id": "b"}}])
@pytest.mark.parametrize("dialect", ["openai", "anthropic", "mistral"])
async def test_something_that_is_no_list_says_nothing(dialect: str, reply: Any) -> None:
    """Only a whole list can say that a job is not there. OpenAI's and Mistral's may leave `data` out."""
    paths = ("/v1/batches", "/v1/messages/batches", "/v1/batch/jobs")
    async with Provider({f"GET {path}": lambda _: web.json_response(reply) for path in paths}) as provider:
        api = api_at(provider.url + "/v1", NativeFacts(dialect=dialect))
        if dialect != "anthropic" and reply == {"jobs": []}:
            assert await api.find(draft(), frozenset()) is None
        else:
            with pytest.raises(NativeUnknown):
                await api.find(draft(), frozenset())
        await api.aclose()


async def test_anthropics_jobs_are_told_apart_by_count_and_time() -> None:
    """The one nearest to the first try comes first, and the next one when that was not ours."""
    jobs = [
        message_batch("late", "2023-11-14T22:30:00Z"),
        message_batch("near", "2023-11-14T22:13:25.123456+00:00"),
        message_batch("size", "2023-11-14T22:13:21Z", 4),
        message_batch("older", "2023-11-14T22:12:00Z"),
        message_batch("oldest", "2023-11-14T20:00:00Z"),
    ]
    async with Provider({"GET /v1/messages/batches": Pages(jobs)}) as provider:
        api = api_at(provider.url + "/v1", ANTHROPIC)
        apart: frozenset[str] = frozenset()
        order = []
        while (found := await api.find(draft(), apart)) is not None:
            order.append(found.ext_id)
            apart |= {found.ext_id}
        assert order == ["near", "older", "late"]
        await api.aclose()


async def test_mistrals_list_is_asked_from_the_first_try_on() -> None:
    """Newest first, by pages with a number."""
    job = {"id": "j", "status": "RUNNING", "created_at": SENT_S, "metadata": {"batchrouter_job": TAG}}
    first = [{**job, "id": f"j{number}", "metadata": {}} for number in range(100)]

    def page(request: web.Request) -> web.Response:
        number = int(request.query["page"])
        return web.json_response({"data": first if number == 0 else [job], "total": 101})

    async with Provider({"GET /v1/batch/jobs": page}) as provider:
        api = api_at(provider.url + "/v1", MISTRAL)
        found = await api.find(draft(), frozenset())
        assert found is not None
        assert found.ext_id == "j"
        assert [asked.path for asked in provider.asked] == [
            f"/v1/batch/jobs?page_size=100&order_by=-created&created_after=2023-11-13T22%3A13%3A20%2B00%3A00&page={page}"
            for page in (0, 1)
        ]
        await api.aclose()
