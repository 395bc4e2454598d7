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
from functools import reduce
from itertools import repeat

from batchrouter.domain.cost import UNKNOWN
from batchrouter.domain.outcome import GAP_SHARD, RECORD, Flag, Outcome
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
    dollar, and how many at an unknown price: each that used tokens, or that succeeded without telling of any."""

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
    invalid_output: int = 0
    reused: int = 0
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
    marks = bytearray(b"0" * (len(records) // RECORD.size))  # a digit is cheaper to set than a bit of a long number
    gap_sums, by_lane = [0] * _SUMS, dict[int, list[int]]()
    succeeded, failed, invalid_output = int(Outcome.SUCCEEDED), int(Outcome.FAILED), int(Flag.INVALID_OUTPUT)
    for place, (record, cost) in enumerate(zip(RECORD.iter_unpack(records), _costs(records, costs), strict=False)):
        (
            line,
            range_no,
            shard,
            epoch,
            outcome,
            _,
            _,
            _,
            flags,
            _,
            lane,
            t_in,
            t_cached,
            t_out,
            t_reasoning,
            _,
            length,
        ) = record
        home = ranges.get(range_no)
        if home is None or not 0 <= (at := line - home.first_line) < home.lines:
            continue
        bit = 1 << at
        if shard == GAP_SHARD:
            if duty_epoch is None or epoch != duty_epoch:
                continue
            sums = gap_sums
        else:
            fence = shards.get(shard)
            if fence is None or fence.epoch != epoch or fence.range_no != range_no or not fence.members & bit:
                continue
            known = by_lane.get(lane)
            sums = by_lane.setdefault(lane, [0] * _SUMS) if known is None else known
        gain = result.ranges.get(range_no)
        if gain is None:
            gain = result.ranges[range_no] = RangeGain(home.done)
        if gain.done & bit:
            continue
        gain.done |= bit
        marks[place] = _MARK
        if outcome == succeeded:
            result.completed += 1
            gain.output_bytes += length
        else:
            gain.error_bytes += length
            if outcome == failed:
                result.failed += 1
        sums[0] += 1
        if flags:
            result.invalid_output += flags & invalid_output
            if flags & Flag.REUSED:
                result.reused += 1
                continue
        sums[1] += t_in
        sums[2] += t_cached
        sums[3] += t_out
        sums[4] += t_reasoning
        if cost >= 0:
            sums[5] += cost
        elif t_in or t_out or outcome == succeeded:
            sums[6] += 1
    result.admitted = int(marks[::-1] or b"0", 2)
    result.lanes = {lane: _gain(sums) for lane, sums in by_lane.items() if sums[0]}
    total = reduce(LaneGain.plus, result.lanes.values(), NO_GAIN)
    result.gaps, gap_tokens = gap_sums[0], Tokens(*gap_sums[1:5])
    result.tokens = total.tokens.plus(gap_tokens)
    result.cost_nano, result.unpriced = total.cost_nano, total.unpriced
    for range_no, gain in result.ranges.items():
        gain.done &= ~ranges[range_no].done
    result.ranges = {range_no: gain for range_no, gain in result.ranges.items() if gain.done}
    return result


_MARK = ord("1")
_SUMS = 7
"""Lines, four of tokens, cost, lines without a price. Gap lines have such sums too, of which the last two are not read:
they cost nothing."""


def _gain(sums: list[int]) -> LaneGain:
    lines, *tokens, cost_nano, unpriced = sums
    return LaneGain(lines, Tokens(*tokens), cost_nano, unpriced)


def _costs(records: bytes, costs: bytes) -> Iterable[int]:
    """One for each record."""
    if not costs:
        return repeat(UNKNOWN)
    count = len(records) // RECORD.size
    if len(costs) != 8 * count:
        raise StoreError(f"a segment of {count} records has {len(costs)} bytes of costs, not 8 a record")
    return struct.unpack(f"<{count}q", costs)
