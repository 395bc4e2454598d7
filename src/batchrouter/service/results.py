"""Finished lines, page by page, while a batch runs and ever after.

A page ends at its limit, at `PAGE_BYTES`, or after `SCAN_S` of looking, whatever comes first; at least one line or one
look moves it on, so that following `next` always comes to an end. What it costs in memory are the bytes of a page and
of one group of lines; few pages are made at a time. A line larger than all of this passes alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchrouter.domain.batch import Batch
from batchrouter.domain.lifecycle import BATCH_FINAL
from batchrouter.domain.line import decode_line
from batchrouter.domain.line_filter import EVERY, LineFilter
from batchrouter.domain.outcome import Outcome, Record
from batchrouter.domain.settled_line import CODES, custom_id_of, error_code_of
from batchrouter.domain.shard import LaneKey
from batchrouter.errors import ApiError, BlobMissing, InputError
from batchrouter.input import Input
from batchrouter.line_store import LineStore
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.results import Results, Subject
from batchrouter.service import asked
from batchrouter.service.batches import no_such_batch
from batchrouter.service.caller import Caller
from batchrouter.service.line_scan import Cursor, Found, Scan

LIMIT_MAX = 1_000
LIMIT_DEFAULT = 100
PAGE_BYTES = 8 * 1024 * 1024
GROUP_BYTES = 256 * 1024
"""Lines are read in groups of about this size; a longer line passes alone."""
SCAN_S = 2.0
PAGES_TOGETHER = 8
SEARCHES_TOGETHER = 2
"""Of those, as many may look at the bytes of lines to choose them: that costs a processor."""
OFF_LOOP_BYTES = 64 * 1024
"""Looking through more than that would hold up the event loop: it happens in a thread."""
LANES_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`record` None: it has no end yet. `result` is the very line of the output or error file, newline included; None
    before there is one, and once its file is gone. `custom_id` is a JSON token; None where neither tells."""

    line: int
    record: Record | None
    lane: LaneKey | None
    custom_id: bytes | None
    error_code: str | None
    result: bytes | None
    request: bytes | None
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class ResultPage:
    """`more` false: at the time of the read nothing stood beyond `next`; with a final state it never will."""

    batch: Batch
    lines: tuple[Line, ...]
    next: Cursor
    more: bool

    @property
    def all_told(self) -> bool:
        return not self.more and self.batch.state in BATCH_FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """`requests`: with the input line of each."""

    after: Cursor
    limit: int = LIMIT_DEFAULT
    filter: LineFilter = EVERY
    requests: bool = False


class LineResults:
    def __init__(self, store: Results, calls: Calls, blobs: Blobs, clock: Clock) -> None:
        self._store = store
        self._calls = calls
        self._blobs = blobs
        self._clock = clock
        self._lines = LineStore(store, calls, blobs)
        self._scan = Scan(store, self._lines, calls)
        self._turns = asyncio.Semaphore(PAGES_TOGETHER)
        self._searches = asyncio.Semaphore(SEARCHES_TOGETHER)
        self._lanes: dict[int, LaneKey] = {}

    async def page(self, caller: Caller, batch_id: str, wanted: Wanted) -> ResultPage:
        """404 for a batch that is not the caller's, 404 `results_gone` once both of its files are gone."""
        async with self._turns if wanted.filter.by_record else self._searches:
            # First of all: what was settled until a state became final is there for the reads that follow.
            subject = await self._subject(caller, batch_id)
            try:
                return await self._page(subject, wanted)
            except BlobMissing:  # swept meanwhile?
                await self._subject(caller, batch_id)
                raise

    async def line(self, caller: Caller, batch_id: str, line: int) -> Line:
        """With its request. 404 `line_not_found` where the batch has no such line, or is not yet planned."""
        async with self._turns:
            subject = await self._subject(caller, batch_id)
            found = await self._scan.line(batch_id, line)
            if found is None:
                raise ApiError(404, f"The batch {batch_id} has no line {line}.", param="line", code="line_not_found")
            reading = _Reading(self, subject, EVERY, requests=True)
            (read,) = await reading.lines([found])
            assert read is not None
            return read

    async def _page(self, subject: Subject, wanted: Wanted) -> ResultPage:
        batch, began_s = subject.batch, self._clock.mono_s()
        reading = _Reading(self, subject, wanted.filter, requests=wanted.requests)
        lines: list[Line] = []
        size, at = 0, wanted.after
        async for block in self._scan.blocks(batch.id, wanted.after, wanted.filter):
            rest = block.found
            while rest:
                most = wanted.limit - len(lines) if wanted.filter.by_record else LIMIT_MAX
                group, rest = await reading.group(rest, most)
                for found, line in zip(group, await reading.lines(group), strict=True):
                    if line is not None:
                        length = len(line.result or b"") + len(line.request or b"")
                        if lines and size + length > PAGE_BYTES:
                            return ResultPage(batch, tuple(lines), at, True)
                        lines.append(line)
                        size += length
                    at = found.after
                    if len(lines) == wanted.limit:
                        return ResultPage(batch, tuple(lines), at, block.more or found is not block.found[-1])
                if self._clock.mono_s() - began_s >= SCAN_S:
                    return ResultPage(batch, tuple(lines), at, block.more or bool(rest))
            at = block.end
            if not block.more or self._clock.mono_s() - began_s >= SCAN_S:
                return ResultPage(batch, tuple(lines), at, block.more)
        return ResultPage(batch, tuple(lines), at, False)

    async def _subject(self, caller: Caller, batch_id: str) -> Subject:
        subject = None
        if asked.is_id(batch_id):
            subject = await self._calls.read(self._store.subject, caller.tenant_id, batch_id, self._clock.unix_ms())
        if subject is None:
            raise no_such_batch(batch_id)
        batch = subject.batch
        made = [file_id for file_id in (batch.output_file_id, batch.error_file_id) if file_id is not None]
        there = [batch.output_file_id] * subject.output + [batch.error_file_id] * subject.error
        if made and not any(there):
            raise ApiError(
                404,
                f"The results of {batch_id} are gone: its output and error files were deleted, or their time is over.",
                code="results_gone",
            )
        return subject

    async def lanes_of(self, founds: Sequence[Found]) -> dict[int, LaneKey]:
        wanted = {found.record.lane for found in founds if found.record is not None and found.record.lane}
        missing = sorted(wanted - self._lanes.keys())
        if missing:
            if len(self._lanes) > LANES_KEPT:
                self._lanes.clear()
            self._lanes |= await self._calls.read(self._store.lane_keys, missing)
        return self._lanes

    @property
    def store(self) -> LineStore:
        return self._lines

    @property
    def blobs(self) -> Blobs:
        return self._blobs


class _Reading:
    """One page's reading of bytes: of the lines that are there to be read, and of the requests."""

    def __init__(self, results: LineResults, subject: Subject, chosen: LineFilter, *, requests: bool) -> None:
        self._results = results
        self._subject = subject
        self._filter = chosen
        self._requests = requests
        self._input: Input | None = None
        self._input_gone = subject.input_blob_key is None or subject.input_index_key is None
        self._spans: dict[int, tuple[int, int]] = {}

    async def group(self, found: list[Found], most: int) -> tuple[list[Found], list[Found]]:
        """The first lines of `found` that are read together, and the rest."""
        some = found[:most]
        await self._find_requests(some)
        size = count = 0
        for each in some:
            size += self._size(each)
            if count and size > GROUP_BYTES:
                break
            count += 1
        return some[:count], found[count:]

    async def lines(self, group: list[Found]) -> list[Line | None]:
        """None for those that the filter does not take."""
        results = await self._bytes(group)
        requests = await self._request_bytes(group)
        lanes = await self._results.lanes_of(group)
        size = sum(len(line or b"") for line in (*results, *requests))
        if size > OFF_LOOP_BYTES:
            return await asyncio.to_thread(self._made, group, results, requests, lanes)
        return self._made(group, results, requests, lanes)

    def _made(
        self,
        group: list[Found],
        results: list[bytes | None],
        requests: list[bytes | None],
        lanes: dict[int, LaneKey],
    ) -> list[Line | None]:
        return [
            self._line(found, result, request, lanes)
            for found, result, request in zip(group, results, requests, strict=True)
        ]

    def _line(
        self, found: Found, result: bytes | None, request: bytes | None, lanes: dict[int, LaneKey]
    ) -> Line | None:
        record = found.record
        token = None
        if self._filter.custom_id is not None:
            token = _custom_id(result, request)
        if not self._filter.takes(record, result, request, token):
            return None
        code = None
        if record is not None and record.outcome != Outcome.SUCCEEDED:
            code = CODES.get(record.outcome) or (None if result is None else error_code_of(result))
        return Line(
            line=found.line,
            record=record,
            lane=None if record is None else lanes.get(record.lane),
            custom_id=token or _custom_id(result, request),
            error_code=code,
            result=result,
            request=request if self._requests else None,
            cursor=found.after,
        )

    # --- bytes ----------------------------------------------------------------------------------------------------

    def _readable(self, found: Found) -> bool:
        """Whether its line may be read: its file is there, or not yet made."""
        if found.record is None:
            return False
        return self._subject.output if found.record.outcome == Outcome.SUCCEEDED else self._subject.error

    def _reads_request(self, found: Found) -> bool:
        return self._requests or self._filter.reads_requests or not self._readable(found)

    def _size(self, found: Found) -> int:
        own = found.record.length if found.record is not None and self._readable(found) else 0
        return own + self._spans.get(found.line, (0, 0))[1]

    async def _bytes(self, group: list[Found]) -> list[bytes | None]:
        wanted = [
            (each.segment, each.record)
            for each in group
            if each.segment is not None and each.record is not None and self._readable(each)
        ]
        lines: Iterator[bytes] = iter(await self._results.store.lines(self._subject.batch.id, wanted))
        return [next(lines) if self._readable(each) else None for each in group]

    async def _find_requests(self, founds: list[Found]) -> None:
        wanted = [each.line for each in founds if each.line not in self._spans and self._reads_request(each)]
        source = await self._source() if wanted else None
        if source is None:
            return
        try:
            self._spans = dict(zip(wanted, await source.spans(wanted), strict=True)) | {
                each.line: self._spans[each.line] for each in founds if each.line in self._spans
            }
        except BlobMissing:
            self._input_gone = True

    async def _request_bytes(self, group: list[Found]) -> list[bytes | None]:
        await self._find_requests(group)
        source = await self._source()
        wanted = [each.line for each in group if each.line in self._spans and self._reads_request(each)]
        if source is None or not wanted:
            return [None] * len(group)
        try:
            read = dict(zip(wanted, await source.lines([self._spans[line] for line in wanted]), strict=True))
        except BlobMissing:  # swept, since its batch has ended
            self._input_gone = True
            return [None] * len(group)
        return [read.get(each.line) for each in group]

    async def _source(self) -> Input | None:
        """The input, opened once; None when it is gone."""
        subject = self._subject
        if self._input is None and not self._input_gone:
            assert subject.input_blob_key is not None
            assert subject.input_index_key is not None
            try:
                self._input = await Input.open(self._results.blobs, subject.input_blob_key, subject.input_index_key)
            except (BlobMissing, InputError):
                self._input_gone = True
        return None if self._input_gone else self._input


def _custom_id(result: bytes | None, request: bytes | None) -> bytes | None:
    """The JSON token, from the line where there is one, else from its request."""
    if result is not None:
        return custom_id_of(result)
    try:
        return None if request is None else decode_line(request)[0]
    except InputError:
        return None
