"""What became of a line, and the fixed-size record that a segment keeps of it.

A segment is `line bytes … | records | tail`: whole JSONL lines as people will read them, then one record per line,
then the tail that says how many there are. So a reader that knows only a segment's length can find everything in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum, IntFlag
from typing import NamedTuple
from zlib import crc32

from batchrouter.errors import StoreError


class Outcome(IntEnum):
    """How a line ended. Only the first two are counted; all but the first stand in the error file."""

    SUCCEEDED = 0
    FAILED = 1
    EXPIRED = 2
    CANCELLED = 3


class Finish(IntEnum):
    """Why the model stopped, as far as the reply says so."""

    NONE = 0
    STOP = 1
    LENGTH = 2
    TOOL_CALLS = 3
    CONTENT_FILTER = 4
    OTHER = 5


class Flag(IntFlag):
    """What else is to be told of a settled line. The bits from the fifth on are the `error_mark` of a failed one."""

    INVALID_OUTPUT = 1
    """It succeeded, and its answer is not what its request's schema asks for."""
    REUSED = 2
    """Its answer was paid for elsewhere: it is that of another batch, or of an identical line of this one. It adds no
    tokens and no cost to its batch."""


_MARK_AT, _MARKS = 4, 0xFFF


def error_mark(code: str | None) -> int:
    """What the flags of a failed line have of its error code: lines of one status and mark failed alike, so that they
    can be counted without their text being read. Two codes may share a mark, one time in four thousand."""
    return 0 if code is None else (crc32(code.encode(errors="surrogatepass")) % _MARKS + 1) << _MARK_AT


class Record(NamedTuple):
    """One settled line.

    `line` is the line's place among the batch's lines, from 0; `shard` 0 marks a gap line, written by whoever closes
    the batch, and `epoch` is then the epoch of that duty. `flags` as in `Flag`. `latency_ms` is of the last attempt.
    `offset` and `length` are of the JSONL line in its segment, the newline included.
    """

    line: int
    range_no: int
    shard: int
    epoch: int
    outcome: int
    finish: int
    status: int
    attempts: int
    flags: int
    latency_ms: int
    lane: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    tokens_reasoning: int
    offset: int
    length: int


RECORD = struct.Struct("<IIQIBBHHHIIIIIIII")
_TAIL = struct.Struct("<4sHHI")
_MAGIC = b"BRsg"
_VERSION = 1
TAIL_SIZE = _TAIL.size
GAP_SHARD = 0


def tail(count: int) -> bytes:
    """What ends a segment of `count` records."""
    return _TAIL.pack(_MAGIC, _VERSION, RECORD.size, count)


def records_span(segment_length: int, end: bytes) -> tuple[int, int]:
    """Offset and length of the records, given the segment's length and its last `TAIL_SIZE` bytes."""
    magic, version, size, count = _TAIL.unpack(end)
    if magic != _MAGIC or version != _VERSION or size != RECORD.size:
        raise StoreError(f"a segment of {segment_length} bytes ends in no tail of version {_VERSION}; it is damaged")
    length = count * RECORD.size
    return segment_length - TAIL_SIZE - length, length


_HOME = struct.Struct("<QI")
_HOME_AT = 8


def renew(records: bytearray, epochs: Mapping[int, int]) -> None:
    """Put every packed record of a shard that `epochs` names under that epoch instead of its own, in place."""
    for at in range(_HOME_AT, len(records), RECORD.size):
        shard, _ = _HOME.unpack_from(records, at)
        epoch = epochs.get(shard)
        if epoch is not None:
            _HOME.pack_into(records, at, shard, epoch)


def unpack(records: bytes) -> Iterator[Record]:
    return map(Record._make, RECORD.iter_unpack(records))


def pack(records: Iterable[Record]) -> bytes:
    return b"".join(RECORD.pack(*record) for record in records)
