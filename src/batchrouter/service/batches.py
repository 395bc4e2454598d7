"""Batches: creating, watching and cancelling them. Everything else about a batch is the engine's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from batchrouter.domain.batch import Batch, LaneShare, NewBatch
from batchrouter.domain.batch_filter import EVERY, BatchFilter
from batchrouter.domain.job import Job
from batchrouter.domain.lane_health import LaneState
from batchrouter.domain.lifecycle import BATCH_FINAL, PAUSED_BY_USER, BatchState
from batchrouter.domain.priority import Priority
from batchrouter.domain.shard import LaneMode
from batchrouter.domain.source import SourceFault
from batchrouter.errors import ApiError, QuotaExceeded, SourceUnusable
from batchrouter.ports.calls import Calls
from batchrouter.ports.catalog import Catalog, Page
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.wake import Wake
from batchrouter.service import asked
from batchrouter.service.caller import Caller
from batchrouter.service.files import unknown_after
from batchrouter.service.keys import Keys
from batchrouter.service.limits import ServiceLimits
from batchrouter.service.quotas import refusal
from batchrouter.service.quotes import Quotes
from batchrouter.service.wishes import Wishes

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
    """A batch, its tenant's name, where its lines are, and its jobs at providers. The last two are None where they were
    not looked up (lists)."""

    batch: Batch
    tenant: str
    lanes: tuple[LaneShare, ...] | None = None
    jobs: tuple[Job, ...] | None = None


class Batches:
    def __init__(
        self,
        catalog: Catalog,
        calls: Calls,
        clock: Clock,
        chance: Chance,
        wake: Wake,
        limits: ServiceLimits,
        quotes: Quotes,
        keys: Keys,
    ) -> None:
        self._keys = keys
        self._catalog = catalog
        self._calls = calls
        self._clock = clock
        self._chance = chance
        self._wake = wake
        self._limits = limits
        self._quotes = quotes

    @property
    def windows(self) -> Mapping[str, int]:
        return self._limits.completion_windows

    async def create(self, caller: Caller, body: asked.Body, raw: bytes, repeat: Repeat) -> BatchView:
        """`body` is what `raw`, the request's bytes, decode to. A repeat gets the batch already made."""
        wishes = Wishes.of(body, asked.metadata(body))
        new = await self.draft(
            caller,
            body,
            raw=hashlib.sha256(raw).hexdigest(),
            repeat=repeat,
            wishes=wishes,
            input_file_id=asked.text(body, "input_file_id"),
            endpoint=asked.one_of(asked.text(body, "endpoint"), self._limits.endpoints, "endpoint"),
        )
        return await self.make(caller, new)

    async def draft(
        self,
        caller: Caller,
        body: asked.Body,
        *,
        raw: str,
        repeat: Repeat,
        wishes: Wishes,
        input_file_id: str,
        endpoint: str,
    ) -> NewBatch:
        """What is asked for, checked. `raw`: the hash of the request's bytes."""
        limits = self._limits
        window = asked.text(body, "completion_window") if "completion_window" in body else limits.default_window
        asked.one_of(window, limits.completion_windows, "completion_window")
        expires_s = asked.expiry(body, "output_expires_after", limits.expiry_min_s, limits.expiry_max_s)
        if repeat.key is not None and not 0 < len(repeat.key) <= KEY_CHARS:
            raise ApiError(400, f"The Idempotency-Key header must have 1 to {KEY_CHARS} characters.")
        if wishes.resume_from is not None and not asked.is_id(wishes.resume_from):
            raise no_source(wishes.resume_from)
        max_cost_nano = await self._max_cost(caller, wishes, input_file_id)
        now_ms = self._clock.unix_ms()
        return NewBatch(
            id=f"batch_{self._chance.hex(32)}",
            tenant_id=caller.tenant_id,
            endpoint=endpoint,
            completion_window=window,
            input_file_id=input_file_id,
            metadata=wishes.metadata,
            output_expires_after_s=expires_s,
            created_ms=now_ms,
            expires_ms=now_ms + limits.completion_windows[window] * 1000,
            api_key_id=caller.key_id,
            body_hash=raw,
            idempotency_key=repeat.key,
            resent=repeat.resent,
            max_cost_nano=max_cost_nano,
            priority=Priority.NORMAL if wishes.priority is None else wishes.priority,
            resume_from=wishes.resume_from,
            dedupe=bool(wishes.dedupe),
        )

    async def make(self, caller: Caller, new: NewBatch) -> BatchView:
        """A repeat gets the batch already made."""
        try:
            created = await self._calls.write(self._catalog.create_batch, new, now_ms=new.created_ms)
        except QuotaExceeded as error:
            raise refusal(error.excess) from error
        except SourceUnusable as error:
            raise _unusable(error, retried=new.retry_of is not None) from error
        if created.conflict or created.batch is None:
            raise ApiError(
                409,
                "This Idempotency-Key was already used with another request body. Use a new key for a new batch.",
                code="idempotency_key_in_use",
                headers=NO_RETRY,
            )
        if created.fresh:
            self._wake.hint()
        return BatchView(created.batch, await self._keys.tenant_name(caller.tenant_id), (), ())

    async def get(self, caller: Caller, batch_id: str) -> BatchView:
        tenant = await self._keys.tenant_name(caller.tenant_id)
        view = await self._calls.read(self._look, caller.tenant_id, batch_id, tenant) if asked.is_id(batch_id) else None
        if view is None:
            raise no_such_batch(batch_id)
        return view

    async def page(
        self,
        caller: Caller,
        *,
        after: str | None,
        limit: int,
        wanted: BatchFilter = EVERY,
        all_tenants: bool = False,
    ) -> Page[BatchView]:
        """`all_tenants` is for admins."""
        if after is not None and not asked.is_id(after):
            raise unknown_after("batch", after)
        tenant_id = None if all_tenants else caller.tenant_id
        page = await self._calls.read(self._catalog.batches, tenant_id, after=after, limit=limit, wanted=wanted)
        if page is None:
            raise unknown_after("batch", after)
        views = [BatchView(batch, await self._keys.tenant_name(batch.tenant_id)) for batch in page.rows]
        return Page(tuple(views), page.more)

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

    async def _max_cost(self, caller: Caller, wishes: Wishes, input_file_id: str) -> int | None:
        """What the batch may cost. A limit that nobody could hold is refused here: one of its models has no price."""
        most = self._limits.max_cost_nano if wishes.max_cost_nano is None else wishes.max_cost_nano
        if most is None or not asked.is_id(input_file_id):
            return most
        file = await self._calls.read(self._catalog.file, caller.tenant_id, input_file_id, self._clock.unix_ms())
        unpriced = [] if file is None else await self._quotes.unpriced(file)
        if unpriced:
            more = f" and {len(unpriced) - 3} more" if len(unpriced) > 3 else ""
            raise ApiError(
                400,
                f"The price of {', '.join(unpriced[:3])}{more} is unknown, so that max_cost cannot be kept. Name its "
                "price in the configuration (`prices`), or create the batch without max_cost.",
                param=wishes.max_cost_param,
                code="price_unknown",
            )
        return most

    def _look(self, tenant_id: str, batch_id: str, tenant: str) -> BatchView | None:
        """Both reads in one visit to the store: this is what a poll costs."""
        batch = self._catalog.batch(tenant_id, batch_id)
        if batch is None:
            return None
        shares = self._catalog.lane_shares(batch_id) if batch.total else []
        jobs = self._catalog.jobs(batch_id) if any(share.mode == LaneMode.BATCH for share in shares) else []
        return BatchView(batch, tenant, tuple(shares_told(batch, shares)), tuple(jobs))


def _unusable(error: SourceUnusable, *, retried: bool) -> ApiError:
    """Answers of that batch cannot be kept: by a retry of it, or by one that resumes from it."""
    param = None if retried else "resume_from"
    match error.fault:
        case SourceFault.MISSING:
            return no_such_batch(error.batch_id) if retried else no_source(error.batch_id)
        case SourceFault.RUNNING:
            message, code = "has not ended: wait for its end, or cancel it", "batch_not_final"
        case SourceFault.FILES_GONE:
            message, code = "has lost its output or error file: its answers cannot be kept", "results_gone"
        case _:
            message, code = "has lost its input file, which says what was asked", "input_gone"
    return ApiError(409, f"The batch '{error.batch_id}' {message}.", param=param, code=code, headers=NO_RETRY)


def no_source(batch_id: str) -> ApiError:
    return ApiError(404, f"No batch found with id '{batch_id}'.", param="resume_from")


def shares_told(batch: Batch, shares: Sequence[LaneShare]) -> list[LaneShare]:
    """The shares without what contradicts the batch: what workers wrote down of their calls may be a second old.

    A final batch has no lines left, and no reason to wait; a paused one waits for a person, whatever its lanes do. Of
    another, no more lines wait, are in flight or are to be
    tried again than are not done; too many are only told where nothing waits, since the store makes good the rest.
    """
    if batch.state in BATCH_FINAL:
        rested = LaneState.OPEN.value
        return [
            replace(share, waiting=0, in_flight=0, retrying=0, in_job=0, state=rested, reason=None, until_ms=None)
            for share in shares
        ]
    undone = sum(share.waiting + share.in_flight + share.retrying + share.in_job for share in shares)
    too_many = undone + sum(share.done for share in shares) - (batch.total - batch.reused)  # those are in no lane
    told = []
    for share in shares:
        if too_many > 0 and not share.waiting:
            in_flight = max(0, share.in_flight - too_many)
            too_many -= share.in_flight - in_flight
            retrying = max(0, share.retrying - max(0, too_many))
            too_many -= share.retrying - retrying
            share = replace(share, in_flight=in_flight, retrying=retrying)
        if batch.paused_ms is not None and share.waiting + share.retrying:
            share = replace(share, state=LaneState.PAUSED.value, reason=PAUSED_BY_USER, until_ms=None)
        told.append(share)
    return told


def no_such_batch(batch_id: str) -> ApiError:
    return ApiError(404, f"No batch found with id '{batch_id}'.")
