"""What reading of finished lines needs of the store: people's side, short reads only.

A segment's records say all of a line but its bytes (`domain.outcome`). A batch's segments are numbered by its own row
inside the settling transaction, so that whoever has read all up to a number never misses one below it. Calls are
synchronous, as those of `Catalog`; each is one transaction that writes nothing and is bounded by what it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from batchrouter.domain.batch import Batch
from batchrouter.domain.shard import LaneKey, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A batch, and what of it may be read: the files that would hold its lines may be deleted or past their time.

    `output` and `error` are true as long as that file is there or not yet made. The keys of the input are None once
    its file is deleted or past its time.
    """

    batch: Batch
    output: bool
    error: bool
    input_blob_key: str | None
    input_index_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """A segment. `records` are packed, as far as its row has them; else they are in the blob, right before its tail.
    Where there is neither, the batch was folded before rows kept records, and nothing is known of the lines.

    `inline`: its bytes are in its row, and in `data` where that was asked. Without them and without a `blob_key`, its
    lines lie in their ranges' runs. `length` is of the whole segment, `admitted` marks the records that counted, by
    their place; `at_ms`: when it was settled, None in old rows.
    """

    seq: int
    length: int
    count: int
    admitted: int
    at_ms: int | None
    blob_key: str | None
    records: bytes | None
    inline: bool
    data: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeView:
    """A range. Bits of `done` are places within it; `output` and `error` are the runs (key and first byte) that hold
    its part of each file once it is folded, None before and where the part is empty. `segment_seqs` name every segment
    that has a line of it."""

    range_no: int
    first_line: int
    lines: int
    done: int
    folded: bool
    output: tuple[str, int] | None
    error: tuple[str, int] | None
    segment_seqs: tuple[int, ...]


class Pulse(NamedTuple):
    """What changes when there is something new to tell of a batch; equal pulses, nothing new. Counts of what its
    workers have in flight are not in it."""

    state: str
    total: int
    completed: int
    failed: int
    segments: int
    events: int
    paused_ms: int | None


class Results(Protocol):
    def subject(self, tenant_id: str, batch_id: str, now_ms: int) -> Subject | None:
        """None for a batch that is not the tenant's."""
        ...

    def segments_from(self, batch_id: str, seq: int, limit: int) -> list[SegmentView]:
        """Segments with that `seq` or a higher one, ascending, at most `limit`; without `data`."""
        ...

    def segments_of(self, batch_id: str, seqs: Sequence[int], *, whole: bool = False) -> list[SegmentView]:
        """The named segments, in the order asked; those that are gone are left out. `whole`: with `data`."""
        ...

    def ranges_from(self, batch_id: str, line: int, limit: int) -> list[RangeView]:
        """The range that has this line (counted from 0) and those after it, ascending, at most `limit`. Every line
        whose bit is set has its record in a segment that `segments_of` tells from now on."""
        ...

    def lane_keys(self, ids: Sequence[int]) -> dict[int, LaneKey]:
        """By id; what does not exist is left out. A lane's key never changes."""
        ...

    def samples(self, batch_id: str, limit: int) -> list[Sample]:
        """Of all its lanes, by time; where there are more than `limit`, the last ones."""
        ...

    def pulses(self, batch_ids: Sequence[str]) -> dict[str, Pulse]:
        """Of the batches that exist, whoever's they are: one read for all of them."""
        ...
