"""What a process counts of itself, for whoever watches it: plain numbers, added up where they arise.

Everything belongs to the event loop. Whoever tells them to a monitoring system reads them; nothing here knows one. No
tenant, file, batch, custom id or key is in here: only what an operator may see.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

from batchrouter.domain import bitmap
from batchrouter.domain.cost import UNKNOWN
from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.outcome import RECORD, Flag, Outcome
from batchrouter.domain.shard import LaneKey, SegmentDraft, Settled
from batchrouter.errors import (
    BlobError,
    BlobFull,
    BlobMissing,
    SpillError,
    StaleLease,
    StoreAway,
    StoreError,
    StoreFull,
)
from batchrouter.ports.traces import Traces

SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what takes a disk, a database or a neighbour."""
LONG_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
"""Bounds for answers of models."""
SIZES = tuple(float(4**power) for power in range(5, 14))
"""1 KiB to 64 MiB."""
NAMES_MAX = 128
"""Different names that a tally tells apart; further ones are counted as `OTHER`."""
OTHER = "other"


class Spread:
    """How values are spread: `counts[n]` were at most `bounds[n]` and more than the bound before, the last count those
    beyond all; `total` is their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SHORT_S) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_all(self, values_ms: Sequence[int]) -> None:
        """Milliseconds, where the bounds are seconds. Those that are 0 are none."""
        ascending = sorted(values_ms)
        seen = bisect_right(ascending, 0)
        for place, bound in enumerate(self.bounds):
            upto = bisect_right(ascending, bound * 1000)
            self.counts[place] += upto - seen
            seen = upto
        self.counts[-1] += len(ascending) - seen
        self.total += sum(ascending) / 1000


class LaneMeter:
    """Lines that are settled: `outcomes` by `Outcome`, `tokens` as input, cached, output, reasoning. `unpriced`
    succeeded at a cost that nobody knows; `invalid_output` with an answer that is not what their request's schema asks
    for. `answer_s`: how long the last call of each took."""

    __slots__ = ("answer_s", "cost_nano", "invalid_output", "outcomes", "tokens", "unpriced")

    def __init__(self) -> None:
        self.outcomes = [0] * len(Outcome)
        self.tokens = [0, 0, 0, 0]
        self.cost_nano = 0
        self.unpriced = 0
        self.invalid_output = 0
        self.answer_s = Spread(LONG_S)

    def add(self, columns: Sequence[Sequence[int]]) -> None:
        """Lines that are settled, column by column: a loop over lines costs five times as much."""
        outcomes, flags, answers_ms, _, *tokens, costs = columns
        for outcome in Outcome:
            self.outcomes[outcome] += outcomes.count(outcome)
        for kind, values in enumerate(tokens):
            self.tokens[kind] += sum(values)
        if any(flags):
            judged = zip(flags, outcomes, strict=True)
            self.invalid_output += sum(flag & _INVALID and outcome == Outcome.SUCCEEDED for flag, outcome in judged)
        self.answer_s.add_all(answers_ms)
        if min(costs, default=0) >= 0:
            self.cost_nano += sum(costs)
            return
        self.cost_nano += sum(cost for cost in costs if cost > 0)
        answered = Outcome.SUCCEEDED
        self.unpriced += sum(cost < 0 and outcome == answered for cost, outcome in zip(costs, outcomes, strict=True))


_COUNTED = struct.Struct("<4x4x8x4xBx2x2xHIIIIII4x4x")
"""Of a record: outcome, flags, milliseconds of the last call, lane, tokens as input, cached, output, reasoning."""
_LANE = 3
_INVALID = int(Flag.INVALID_OUTPUT)
assert _COUNTED.size == RECORD.size


def _chosen(columns: Sequence[Sequence[int]], which: Sequence[int]) -> list[Sequence[int]]:
    return [tuple(compress(column, which)) for column in columns]


class Meters:
    """One process's. `lanes` and `calls` are by lane id; lane 0 has the lines that nobody sent. `calls` of a lane are
    by the status of the reply, or by a word where there was none. `traces` follows single batches, if anybody does."""

    def __init__(self) -> None:
        self.traces: Traces | None = None
        self.lanes: dict[int, LaneMeter] = {}
        self.calls: dict[int, dict[int | str, int]] = {}
        self.batches_ended: dict[str, int] = {}
        self.flush_s = Spread()
        self.flush_bytes = Spread(SIZES)
        self.flush_failures: dict[str, int] = {}
        self.lease_losses = 0
        self.takeovers = 0
        self.shards_taken_over = 0
        self.verbs: dict[str, Spread] = {}
        self.store_errors: dict[tuple[str, str], int] = {}
        self.blobs: dict[str, Spread] = {}
        self.blob_bytes: dict[str, int] = {"read": 0, "write": 0}
        self.blob_errors: dict[str, int] = {}
        self.requests: dict[tuple[str, str, int], int] = {}
        self.request_s: dict[tuple[str, str], Spread] = {}
        self.quota_refusals: dict[str, int] = {}
        self.webhooks: dict[str, int] = {}
        self.loop_lag_s = Spread()

    def calls_of(self, lane_id: int) -> dict[int | str, int]:
        """The lane's own tally, for whoever adds to it at each call."""
        return self.calls.setdefault(lane_id, {})

    def settled(self, segment: SegmentDraft, settled: Settled) -> None:
        """The store took these records: those that it admitted are counted."""
        records, admitted = segment.records, settled.admitted
        count = len(records) // RECORD.size
        if not count:
            return
        if self.traces is not None:
            self.traces.settled(segment, settled)
        columns: list[Sequence[int]] = list(zip(*_COUNTED.iter_unpack(records), strict=True))
        columns.append(struct.unpack(f"<{count}q", segment.costs) if segment.costs else (UNKNOWN,) * count)
        if admitted != bitmap.full(count):
            columns = _chosen(columns, [admitted >> at & 1 for at in range(count)])
        lanes = columns[_LANE]
        for lane_id in set(lanes):
            meter = self.lanes.get(lane_id)
            if meter is None:
                meter = self.lanes[lane_id] = LaneMeter()
            alone = lanes.count(lane_id) == len(lanes)
            meter.add(columns if alone else _chosen(columns, [lane == lane_id for lane in lanes]))

    def flush_failed(self, error: Exception) -> None:
        count(self.flush_failures, cause_of(error))

    def batch_ended(self, event: BatchEvent | None) -> None:
        """It is final, by the event by which it left `validating` or `in_progress`."""
        count(self.batches_ended, _ENDS.get(event, OTHER))

    def took_over(self, shards: int) -> None:
        """Shards of workers whose lease lapsed were freed by this one."""
        self.takeovers += 1
        self.shards_taken_over += shards

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request to the API was answered; `route` is a template, never a path."""
        key = (method, route, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        spread = self.request_s.get((method, route))
        if spread is None:
            spread = self.request_s[method, route] = Spread()
        spread.add(seconds)


_ENDS: dict[BatchEvent | None, str] = {
    BatchEvent.COMPLETE: "completed",
    BatchEvent.EXPIRE: "expired",
    BatchEvent.CANCEL: "cancelled",
    BatchEvent.REJECT: "failed",
}


def cause_of(error: Exception) -> str:
    """The kind of one of our errors, in few words; of others nothing is told."""
    return next((word for kind, word in _CAUSES if isinstance(error, kind)), OTHER)


_CAUSES: tuple[tuple[type[Exception], str], ...] = (
    (StoreAway, "database_away"),
    (StoreFull, "database_full"),
    (StaleLease, "stale_lease"),
    (StoreError, "database"),
    (BlobFull, "blobs_full"),
    (BlobMissing, "blob_missing"),
    (BlobError, "blobs"),
    (SpillError, "spill"),
)


def count(tally: dict[str, int], name: str) -> None:
    """One more of that name, within the bound on names."""
    if name not in tally and len(tally) >= NAMES_MAX:
        name = OTHER
    tally[name] = tally.get(name, 0) + 1


def spread_of(spreads: dict[str, Spread], name: str) -> Spread:
    """The spread of that name, made if it is not there, within the bound on names."""
    spread = spreads.get(name)
    if spread is None:
        if len(spreads) >= NAMES_MAX:
            name = OTHER
        spread = spreads.setdefault(name, Spread())
    return spread


@dataclass(frozen=True, slots=True)
class LaneNow:
    """One lane as one worker has it at this moment."""

    lane_id: int
    key: LaneKey
    state: str
    in_flight: int
    limit: int
    retrying: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerNow:
    """One worker at this moment. `stuck`: nothing finished can be written; `spilled`: finished lines in the spill;
    bytes are those of the budget for requests, replies and lines not yet written."""

    lanes: tuple[LaneNow, ...]
    holds_lease: bool
    stuck: bool
    spilled: int
    budget_used: int
    budget_total: int
