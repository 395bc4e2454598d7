"""The fence: which records of a segment count.

A record counts only if its shard is still under the epoch it was sent under, and its line's done bit is clear; a gap
record only if its duty is. Everything else is skipped, without an error: a stale worker changes nothing, a repeat is
harmless, and of two answers to one line the first to be settled wins. Every store decides through this function, in
the transaction that holds the rows it reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import repeat

from batchrouter.domain.cost import UNKNOWN
from batchrouter.domain.outcome import GAP_SHARD, RECORD, Outcome
from batchrouter.domain.tokens import NO_TOKENS, Tokens
from batchrouter.errors import StoreError


@dataclass(frozen=True, slots=True)
class ShardFence:
    """What the shard's row says now. A closed shard has an epoch that nobody was told."""

    epoch: int
    range_no: int
    members: int


@dataclass(frozen=True, slots=True)
class RangeFence:
    """What the range's row says now."""

    first_line: int
    lines: int
    done: int


@dataclass(slots=True)
class RangeGain:
    """What the admitted records add to one range: bits, and bytes of each file."""

    done: int = 0
    output_bytes: int = 0
    error_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LaneGain:
    """What the admitted records add to one lane: answered lines, their tokens, what they cost in billionths of a
    dollar, and how many used tokens at an unknown price."""

    lines: int = 0
    tokens: Tokens = NO_TOKENS
    cost_nano: int = 0
    unpriced: int = 0

    def plus(self, other: LaneGain) -> LaneGain:
        return LaneGain(
            self.lines + other.lines,
            self.tokens.plus(other.tokens),
            self.cost_nano + other.cost_nano,
            self.unpriced + other.unpriced,
        )


NO_GAIN = LaneGain()


@dataclass(slots=True)
class Settlement:
    """`admitted` marks records by their place in the segment; `lanes` has what each lane answered (gaps apart)."""

    admitted: int = 0
    completed: int = 0
    failed: int = 0
    gaps: int = 0
    tokens: Tokens = NO_TOKENS
    cost_nano: int = 0
    unpriced: int = 0
    ranges: dict[int, RangeGain] = field(default_factory=dict)
    lanes: dict[int, LaneGain] = field(default_factory=dict)


def admit(
    records: bytes,
    shards: Mapping[int, ShardFence],
    ranges: Mapping[int, RangeFence],
    duty_epoch: int | None,
    costs: bytes = b"",
) -> Settlement:
    """Decide every record. Shards or ranges that are missing from the maps admit nothing.

    `duty_epoch` is the epoch of whoever may write gaps now; None: nobody may. `costs` as in `SegmentDraft`; raises
    `StoreError` if there are some and not one a record.
    """
    result = Settlement()
    gap_tokens = [0, 0, 0, 0]
    by_lane: dict[int, list[int]] = {}
    succeeded, failed = int(Outcome.SUCCEEDED), int(Outcome.FAILED)
    for place, (record, cost) in enumerate(zip(RECORD.iter_unpack(records), _costs(records, costs), strict=False)):
        line, range_no, shard, epoch, outcome, _, _, _, _, lane, t_in, t_cached, t_out, t_reasoning, _, length = record
        home = ranges.get(range_no)
        if home is None or not home.first_line <= line < home.first_line + home.lines:
            continue
        bit = 1 << (line - home.first_line)
        if shard == GAP_SHARD:
            if duty_epoch is None or epoch != duty_epoch:
                continue
        else:
            fence = shards.get(shard)
            if fence is None or fence.epoch != epoch or fence.range_no != range_no or not fence.members & bit:
                continue
        gain = result.ranges.get(range_no)
        if gain is None:
            gain = result.ranges[range_no] = RangeGain()
        if (home.done | gain.done) & bit:
            continue
        gain.done |= bit
        result.admitted |= 1 << place
        if outcome == succeeded:
            result.completed += 1
            gain.output_bytes += length
        else:
            gain.error_bytes += length
            if outcome == failed:
                result.failed += 1
        if shard == GAP_SHARD:
            result.gaps += 1
            tokens = gap_tokens
        else:
            sums = by_lane.get(lane)
            if sums is None:
                sums = by_lane[lane] = [0] * 7
            tokens = sums
            sums[4] += 1
            if cost >= 0:
                sums[5] += cost
            elif t_in or t_out:
                sums[6] += 1
        tokens[0] += t_in
        tokens[1] += t_cached
        tokens[2] += t_out
        tokens[3] += t_reasoning
    result.tokens = Tokens(*gap_tokens)
    for lane, (t_in, t_cached, t_out, t_reasoning, lines, cost, unpriced) in by_lane.items():
        lane_gain = result.lanes[lane] = LaneGain(lines, Tokens(t_in, t_cached, t_out, t_reasoning), cost, unpriced)
        result.tokens = result.tokens.plus(lane_gain.tokens)
        result.cost_nano += cost
        result.unpriced += unpriced
    result.ranges = {range_no: gain for range_no, gain in result.ranges.items() if gain.done}
    return result


def _costs(records: bytes, costs: bytes) -> Iterable[int]:
    """One for each record."""
    if not costs:
        return repeat(UNKNOWN)
    count = len(records) // RECORD.size
    if len(costs) != 8 * count:
        raise StoreError(f"a segment of {count} records has {len(costs)} bytes of costs, not 8 a record")
    return struct.unpack(f"<{count}q", costs)
