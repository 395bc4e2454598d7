"""Batches: creating, watching and cancelling them. Everything else about a batch is the engine's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from batchrouter.domain.batch import Batch, LaneShare, NewBatch
from batchrouter.domain.lane_health import LaneState
from batchrouter.domain.lifecycle import BATCH_FINAL, BatchState
from batchrouter.errors import ApiError
from batchrouter.ports.calls import Calls
from batchrouter.ports.catalog import Catalog, Page
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.wake import Wake
from batchrouter.service import asked
from batchrouter.service.caller import Caller
from batchrouter.service.files import unknown_after
from batchrouter.service.limits import ServiceLimits

LIST_MAX = 100
LIST_DEFAULT = 20
KEY_CHARS = 255
NOT_CANCELLABLE = frozenset({BatchState.COMPLETED, BatchState.FAILED, BatchState.EXPIRED})
NO_RETRY = {"x-should-retry": "false"}
"""OpenAI's clients repeat a 409 twice unless they are told not to."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """What a request says about being a repeat of another: its key, and whether the client sent it before."""

    key: str | None = None
    resent: bool = False


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch and where its lines are. `lanes` is None where they were not looked up (lists)."""

    batch: Batch
    lanes: tuple[LaneShare, ...] | None = None


class Batches:
    def __init__(
        self, catalog: Catalog, calls: Calls, clock: Clock, chance: Chance, wake: Wake, limits: ServiceLimits
    ) -> None:
        self._catalog = catalog
        self._calls = calls
        self._clock = clock
        self._chance = chance
        self._wake = wake
        self._limits = limits

    async def create(self, caller: Caller, body: asked.Body, raw: bytes, repeat: Repeat) -> BatchView:
        """`body` is what `raw`, the request's bytes, decode to. A repeat gets the batch already made."""
        limits = self._limits
        input_file_id = asked.text(body, "input_file_id")
        endpoint = asked.one_of(asked.text(body, "endpoint"), limits.endpoints, "endpoint")
        window = asked.text(body, "completion_window") if "completion_window" in body else limits.default_window
        asked.one_of(window, limits.completion_windows, "completion_window")
        metadata = asked.metadata(body)
        expires_s = asked.expiry(body, "output_expires_after", limits.expiry_min_s, limits.expiry_max_s)
        if repeat.key is not None and not 0 < len(repeat.key) <= KEY_CHARS:
            raise ApiError(400, f"The Idempotency-Key header must have 1 to {KEY_CHARS} characters.")
        now_ms = self._clock.unix_ms()
        new = NewBatch(
            id=f"batch_{self._chance.hex(32)}",
            tenant_id=caller.tenant_id,
            endpoint=endpoint,
            completion_window=window,
            input_file_id=input_file_id,
            metadata=metadata,
            output_expires_after_s=expires_s,
            created_ms=now_ms,
            expires_ms=now_ms + limits.completion_windows[window] * 1000,
            api_key_id=caller.key_id,
            body_hash=hashlib.sha256(raw).hexdigest(),
            idempotency_key=repeat.key,
            resent=repeat.resent,
        )
        created = await self._calls.write(self._catalog.create_batch, new, now_ms=now_ms)
        if created.conflict or created.batch is None:
            raise ApiError(
                409,
                "This Idempotency-Key was already used with another request body. Use a new key for a new batch.",
                code="idempotency_key_in_use",
                headers=NO_RETRY,
            )
        if created.fresh:
            self._wake.hint()
        return BatchView(created.batch, ())

    async def get(self, caller: Caller, batch_id: str) -> BatchView:
        view = await self._calls.read(self._look, caller.tenant_id, batch_id) if asked.is_id(batch_id) else None
        if view is None:
            raise no_such_batch(batch_id)
        return view

    async def page(self, caller: Caller, *, after: str | None, limit: int) -> Page[Batch]:
        if after is not None and not asked.is_id(after):
            raise unknown_after("batch", after)
        page = await self._calls.read(self._catalog.batches, caller.tenant_id, after=after, limit=limit)
        if page is None:
            raise unknown_after("batch", after)
        return page

    async def cancel(self, caller: Caller, batch_id: str) -> BatchView:
        """A batch that is already being cancelled, was cancelled, or is being finalised is returned as it is."""
        if not asked.is_id(batch_id):
            raise no_such_batch(batch_id)
        batch = await self._calls.write(self._catalog.cancel_batch, caller.tenant_id, batch_id, self._clock.unix_ms())
        if batch is None:
            raise no_such_batch(batch_id)
        if batch.state in NOT_CANCELLABLE:
            raise ApiError(409, f"Cannot cancel a batch with status '{batch.state}'.", headers=NO_RETRY)
        self._wake.hint()
        return await self.get(caller, batch_id)

    def _look(self, tenant_id: str, batch_id: str) -> BatchView | None:
        """Both reads in one visit to the store: this is what a poll costs."""
        batch = self._catalog.batch(tenant_id, batch_id)
        if batch is None:
            return None
        shares = self._catalog.lane_shares(batch_id) if batch.total else []
        return BatchView(batch, tuple(shares_told(batch, shares)))


def shares_told(batch: Batch, shares: Sequence[LaneShare]) -> list[LaneShare]:
    """The shares without what contradicts the batch: what workers wrote down of their calls may be a second old.

    A final batch has no lines left, and no reason to wait. Of another, no more lines wait, are in flight or are to be
    tried again than are not done; too many are only told where nothing waits, since the store makes good the rest.
    """
    if batch.state in BATCH_FINAL:
        rested = LaneState.OPEN.value
        return [
            replace(share, waiting=0, in_flight=0, retrying=0, state=rested, reason=None, until_ms=None)
            for share in shares
        ]
    undone = sum(share.waiting + share.in_flight + share.retrying for share in shares)
    too_many = undone + sum(share.done for share in shares) - batch.total
    told = []
    for share in shares:
        if too_many > 0 and not share.waiting:
            in_flight = max(0, share.in_flight - too_many)
            too_many -= share.in_flight - in_flight
            retrying = max(0, share.retrying - max(0, too_many))
            too_many -= share.retrying - retrying
            share = replace(share, in_flight=in_flight, retrying=retrying)
        told.append(share)
    return told


def no_such_batch(batch_id: str) -> ApiError:
    return ApiError(404, f"No batch found with id '{batch_id}'.")
