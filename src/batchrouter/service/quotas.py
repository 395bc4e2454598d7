"""What tenants are refused because they have enough: how that is told, and the count of their requests."""

from __future__ import annotations

from batchrouter.domain.quota import Excess, Quota
from batchrouter.domain.tenant import Quotas
from batchrouter.errors import ApiError
from batchrouter.ports.calls import Calls
from batchrouter.ports.catalog import Catalog
from batchrouter.ports.clock import Clock
from batchrouter.service.caller import Caller

KNOWN_S = 5.0
TENANTS_MAX = 10_000
BLOCKS = 20
"""Parts of a minute's quota that a process takes at a time: so many transactions a minute at most, and so little is
left unused in the hands of the other processes."""
ROOM_AFTER_S = 60
"""Told to whoever has too much enqueued: python and node clients of OpenAI both wait for so long, and no longer."""
MINUTE_MS = 60_000


class RequestQuotas:
    """Lets a tenant's requests through, as many a minute as its quota says over all processes together."""

    def __init__(self, catalog: Catalog, calls: Calls, clock: Clock) -> None:
        self._catalog = catalog
        self._calls = calls
        self._clock = clock
        self._known: dict[str, tuple[float, Quotas]] = {}
        self._left: dict[str, tuple[int, int]] = {}
        """By tenant: the minute, and what is left of what was taken for it; -1 when there is no more to take."""

    async def admit(self, caller: Caller) -> None:
        """Raises `ApiError` 429 until the next minute when there is nothing left of this one. A quota that is changed
        holds within 5 s; what was let through in this minute counts."""
        quotas = await self.of(caller.tenant_id)
        if quotas.max_requests is None:
            return
        now_ms = self._clock.unix_ms()
        minute = now_ms // MINUTE_MS
        at, left = self._left.get(caller.tenant_id, (minute, 0))
        if at == minute and left > 0:
            self._left[caller.tenant_id] = (minute, left - 1)
            return
        if at != minute or left == 0:
            block = max(1, quotas.max_requests // BLOCKS)
            taken = await self._calls.write(
                self._catalog.take_requests, caller.tenant_id, minute, block, quotas.max_requests
            )
            at, left = self._left.get(caller.tenant_id, (minute, 0))  # others may have taken meanwhile
            left = (left if at == minute and left > 0 else 0) + taken - 1
            self._left[caller.tenant_id] = (minute, left)
            if left >= 0:
                return
        wait_s = max(1, -(-(minute * MINUTE_MS + MINUTE_MS - now_ms) // 1000))
        raise ApiError(
            429,
            f"Rate limit reached: this account may send {quotas.max_requests} requests in a minute. "
            f"Please try again in {wait_s}s.",
            type="requests",
            code="rate_limit_exceeded",
            headers={"Retry-After": str(wait_s)},
        )

    async def of(self, tenant_id: str) -> Quotas:
        """The tenant's quotas, believed for 5 s."""
        now_s = self._clock.mono_s()
        known = self._known.get(tenant_id)
        if known is not None and known[0] > now_s:
            return known[1]
        quotas = await self._calls.read(self._catalog.quotas, tenant_id)
        if len(self._known) >= TENANTS_MAX:
            self._known.clear()
            self._left.clear()
        if known is not None and known[1].max_requests != quotas.max_requests:
            self._left.pop(tenant_id, None)  # what was taken under the old one may be more than the new one allows
        self._known[tenant_id] = (now_s + KNOWN_S, quotas)
        return quotas

    def forget(self, tenant_id: str) -> None:
        """Its quotas were changed here: look again at once."""
        self._known.pop(tenant_id, None)
        self._left.pop(tenant_id, None)


def refusal(excess: Excess) -> ApiError:
    """429, as OpenAI refuses at creation. Room in the queue comes by itself, so `Retry-After` tells when to try again;
    where only deleting helps there is none, and clients are told not to repeat (its API description says that the
    header is left out when the user has to act)."""
    told = (
        f"This account may have {excess.limit:,} {excess.quota}. "
        f"It has {excess.used:,}, and this has {excess.wanted:,}."
    )
    if excess.quota is Quota.STORAGE:
        return ApiError(
            429,
            f"{told} Delete files that are not needed any more.",
            type="insufficient_quota",
            code="storage_quota_exceeded",
            headers={"x-should-retry": "false"},
        )
    if excess.wanted > excess.limit:
        return ApiError(
            429,
            f"{told} It never fits: split the file.",
            type="insufficient_quota",
            code="enqueued_quota_exceeded",
            headers={"x-should-retry": "false"},
        )
    return ApiError(
        429,
        f"{told} Try again when some of its batches have ended.",
        type="insufficient_quota",
        code="enqueued_quota_exceeded",
        headers={"Retry-After": str(ROOM_AFTER_S)},
    )
