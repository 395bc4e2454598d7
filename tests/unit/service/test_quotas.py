"""A tenant's requests are counted over all processes; what does not fit is refused in words that say what helps."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pytest

from batchrouter.adapters.blobs import MemoryBlobs
from batchrouter.adapters.memory import FixedChance, MemoryStore, StepClock
from batchrouter.adapters.threads import InlineCalls
from batchrouter.domain.quota import Excess, Quota
from batchrouter.domain.tenant import Quotas, Role, Tenant
from batchrouter.errors import ApiError
from batchrouter.service.caller import Caller
from batchrouter.service.files import Files
from batchrouter.service.intake import MemoryScratch
from batchrouter.service.limits import ServiceLimits
from batchrouter.service.quotas import KNOWN_S, RequestQuotas, refusal
from batchrouter.service.uploads import Uploads

P = ParamSpec("P")
T = TypeVar("T")

CALLER = Caller("t", "k", Role.USER)


class House:
    """Several API processes on one store."""

    def __init__(self, **quotas: int) -> None:
        self.store = MemoryStore()
        self.clock = StepClock()
        self.bind(**quotas)
        self.clock.advance(60 - self.clock.unix_ms() % 60_000 / 1000)  # at the begin of a minute

    def bind(self, **quotas: int) -> None:
        self.store.catalog.add_tenant(Tenant(id="t", name="t", weight=1, created_ms=0, quotas=Quotas(**quotas)))

    def process(self) -> RequestQuotas:
        return RequestQuotas(self.store.catalog, InlineCalls(), self.clock)


async def let_through(quotas: RequestQuotas, tries: int) -> int:
    refused = []
    for _ in range(tries):
        try:
            await quotas.admit(CALLER)
        except ApiError as error:
            refused.append((error.status, error.type, error.code))
    assert set(refused) <= {(429, "requests", "rate_limit_exceeded")}
    return tries - len(refused)


async def test_a_minute_has_its_requests_and_the_next_has_them_again() -> None:
    """However many are tried; the refusal says how long the minute still lasts."""
    house = House(max_requests=50)
    quotas = house.process()
    assert await let_through(quotas, 200) == 50
    house.clock.advance(40.2)
    with pytest.raises(ApiError) as refused:
        await quotas.admit(CALLER)
    assert refused.value.headers == {"Retry-After": "20"}
    house.clock.advance(20)
    assert await let_through(quotas, 200) == 50


async def test_processes_share_the_requests_of_a_minute() -> None:
    """Together never more than the quota; what one has taken and not used is less than a twentieth of it."""
    house = House(max_requests=60)
    first, second = house.process(), house.process()
    assert await let_through(first, 1) == 1
    assert await let_through(second, 200) == 57
    assert await let_through(first, 200) == 2


async def test_a_changed_quota_holds_in_every_process_and_in_the_running_minute() -> None:
    """Also in one that has taken requests and not used them, and in one that had found nothing left."""
    house = House(max_requests=60)
    first, second = house.process(), house.process()
    assert await let_through(first, 1) == 1
    assert await let_through(second, 200) == 57
    house.bind(max_requests=0)
    house.clock.advance(KNOWN_S)
    assert await let_through(first, 5) == await let_through(second, 5) == 0
    house.bind(max_requests=70)
    house.clock.advance(KNOWN_S)
    assert await let_through(second, 200) + await let_through(first, 200) == 10


class CountingCalls(InlineCalls):
    """Counts the visits to the store."""

    visits = 0

    async def read(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.visits += 1
        return await super().read(verb, *args, **kwargs)


async def test_a_tenant_without_a_quota_asks_the_store_once_in_a_while() -> None:
    """Each request of each client passes here."""
    house, calls = House(), CountingCalls()
    quotas = RequestQuotas(house.store.catalog, calls, house.clock)
    assert await let_through(quotas, 500) == 500
    assert calls.visits == 1
    house.bind(max_requests=1)
    house.clock.advance(KNOWN_S)
    assert await let_through(quotas, 5) == 1
    house.bind()
    quotas.forget("t")
    assert await let_through(quotas, 5) == 5


@pytest.mark.parametrize(
    ("excess", "headers", "code"),
    [
        (Excess(Quota.LINES, 100, 60, 50), {"Retry-After": "60"}, "enqueued_quota_exceeded"),
        (Excess(Quota.BYTES, 100, 0, 101), {"x-should-retry": "false"}, "enqueued_quota_exceeded"),
        (Excess(Quota.STORAGE, 100, 60, 50), {"x-should-retry": "false"}, "storage_quota_exceeded"),
    ],
)
def test_who_is_refused_is_told_whether_waiting_helps(excess: Excess, headers: dict[str, str], code: str) -> None:
    """Room in the queue comes by itself; room for files, or for what never fits, does not."""
    error = refusal(excess)
    assert (error.status, error.code, error.headers) == (429, code, headers)
    assert f"{excess.limit:,} {excess.quota}" in error.message


async def test_the_bytes_of_a_refused_file_are_not_kept() -> None:
    """Nor its index: what is refused takes no room until a sweep."""
    house = House(max_storage_bytes=10)
    blobs = MemoryBlobs(house.clock)
    files = Files(house.store.catalog, InlineCalls(), blobs, house.clock, FixedChance(), ServiceLimits(), MemoryScratch)
    incoming = files.incoming(CALLER)
    incoming.begin("a.jsonl")
    await incoming.write(b'{"custom_id": "a"}\n')
    with pytest.raises(ApiError) as refused:
        await incoming.done()
    assert refused.value.code == "storage_quota_exceeded"
    assert await blobs.aged(house.clock.unix_ms() + 1) == []


async def test_the_bytes_of_a_refused_part_are_not_kept() -> None:
    """An upload is no way around the quota."""
    house = House(max_storage_bytes=10)
    blobs, calls, limits = MemoryBlobs(house.clock), InlineCalls(), ServiceLimits()
    files = Files(house.store.catalog, calls, blobs, house.clock, FixedChance(), limits, MemoryScratch)
    uploads = Uploads(files, house.store.catalog, calls, blobs, house.clock, FixedChance(), limits)
    body = {"filename": "a.jsonl", "purpose": "batch", "bytes": 18, "mime_type": "application/jsonl"}
    upload = await uploads.create(CALLER, body)
    incoming = await uploads.incoming(CALLER, upload.id)
    await incoming.begin()
    await incoming.write(b'{"custom_id": "a"}')
    with pytest.raises(ApiError) as refused:
        await incoming.done()
    assert refused.value.code == "storage_quota_exceeded"
    assert await blobs.aged(house.clock.unix_ms() + 1) == []
