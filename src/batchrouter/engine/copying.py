"""Answers that a batch has without sending: copied into its own segments, under the duty of whoever closes or plans it.

A copy is an ordinary settled line of shard 0, as a gap is; done bits tell what is left, so that a copy which broke off
anywhere goes on there.
"""

from __future__ import annotations

import logging
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from batchrouter.domain.copied_line import copied_line
from batchrouter.domain.line import decode_line
from batchrouter.domain.outcome import GAP_SHARD, Flag, Outcome
from batchrouter.domain.output_line import id_prefix
from batchrouter.domain.shard import Duty, Range
from batchrouter.engine.journal import Journal
from batchrouter.engine.reuse import Reuse
from batchrouter.errors import BlobMissing, StoreError
from batchrouter.input import Input
from batchrouter.keeping import Answer, records_of
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)

RANGES_PAGE = 200
GROUP_BYTES, GROUP_LINES = 1024 * 1024, 1_000
"""What is read, and made durable, at a time; one line at least, however large."""
_ANSWERED = (Outcome.SUCCEEDED, Outcome.FAILED)


class Copier:
    def __init__(self, ledger: Ledger, calls: Calls, blobs: Blobs, journal: Journal, reuse: Reuse) -> None:
        self._ledger = ledger
        self._calls = calls
        self._blobs = blobs
        self._journal = journal
        self._reuse = reuse

    async def copy_kept(self, duty: Duty) -> None:
        """What is kept of another batch, as far as it is not copied yet."""
        source = await self._input(duty)
        homes = await self._homes(duty)
        other = duty.retry_of or duty.resume_from
        if other is None:
            return
        self._journal.allow_gaps(duty.batch_id, duty.duty_epoch)
        try:
            async for answers in self._reuse.kept(duty, source):
                pairs = [(answer.line, answer) for answer in answers if not homes.done(answer.line)]
                # A retry's lines have their own ids in the answers already: both batches read one file.
                await self._copy(duty, other, pairs, homes, None if duty.retry_of is not None else source)
        finally:
            self._journal.end_gaps(duty.batch_id)

    async def copy_rest(self, duty: Duty) -> None:
        """Of a sealed batch: what is kept and not copied yet, then the ends of identical lines. Where the source is
        gone all the same, its lines are left without an end."""
        if duty.copying:
            try:
                await self.copy_kept(duty)
            except BlobMissing as error:
                log.error(
                    "%s cannot keep all answers of %s: %s", duty.batch_id, duty.retry_of or duty.resume_from, error
                )
        if not duty.followers:
            return
        source = await self._input(duty)
        homes = await self._homes(duty)
        self._journal.allow_gaps(duty.batch_id, duty.duty_epoch)
        try:
            async for pairs in self._reuse.following(duty, source):
                left = [
                    (line, answer)
                    for line, answer in pairs
                    if answer.record.outcome in _ANSWERED and not homes.done(line)
                ]
                await self._copy(duty, duty.batch_id, left, homes, source)
        finally:
            self._journal.end_gaps(duty.batch_id)

    async def _copy(
        self, duty: Duty, of: str, pairs: Sequence[tuple[int, Answer]], homes: _Homes, names: Input | None
    ) -> None:
        """Give these lines those ends, which are lines of batch `of`. `names` has the lines' own ids; None: they are
        the answers'."""
        prefix = id_prefix(duty.batch_id)
        # In the order in which the answers lie: lines of a file may stand in another order than their sources did.
        for group in _groups(sorted(pairs, key=_place_of)):
            texts = await self._reuse.texts(of, [answer for _, answer in group])
            ids: Sequence[bytes | None] = [None] * len(group)
            if names is not None:
                ids = await _custom_ids(names, [line for line, _ in group])
            for (line, answer), text, custom_id in zip(group, texts, ids, strict=True):
                record = answer.record
                flags = record.flags | Flag.REUSED if record.outcome in _ANSWERED else record.flags & ~Flag.REUSED
                fields = (
                    line, homes.range_no(line), GAP_SHARD, duty.duty_epoch, record.outcome, record.finish,
                    record.status, record.attempts, int(flags), record.latency_ms, record.lane, record.tokens_in,
                    record.tokens_cached, record.tokens_out, record.tokens_reasoning,
                )  # fmt: skip
                self._journal.add(duty.batch_id, copied_line(text, prefix, line, custom_id), fields, 0)
            await self._journal.drain(duty.batch_id)

    async def _input(self, duty: Duty) -> Input:
        if duty.input_blob_key is None or duty.input_index_key is None:
            raise StoreError(f"{duty.batch_id} is planned and has no input")
        return await Input.open(self._blobs, duty.input_blob_key, duty.input_index_key)

    async def _homes(self, duty: Duty) -> _Homes:
        ranges: list[Range] = []
        while page := await self._calls.read(
            self._ledger.ranges, duty.batch_id, ranges[-1].range_no if ranges else -1, RANGES_PAGE
        ):
            ranges += page
        return _Homes(ranges)


def _place_of(pair: tuple[int, Answer]) -> tuple[int, int]:
    return pair[1].record.line, pair[0]


class _Homes:
    """A batch's ranges, as they were at one moment."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self._firsts = array("Q", (home.first_line for home in ranges))
        self._ranges = ranges

    def range_no(self, line: int) -> int:
        return self._of(line).range_no

    def done(self, line: int) -> bool:
        home = self._of(line)
        return bool(home.done >> (line - home.first_line) & 1)

    def _of(self, line: int) -> Range:
        return self._ranges[bisect_right(self._firsts, line) - 1]


def _groups(pairs: Sequence[tuple[int, Answer]]) -> Iterator[list[tuple[int, Answer]]]:
    group: list[tuple[int, Answer]] = []
    size = 0
    for pair in pairs:
        length = pair[1].record.length
        if group and (size + length > GROUP_BYTES or len(group) == GROUP_LINES):
            yield group
            group, size = [], 0
        group.append(pair)
        size += length
    if group:
        yield group


async def _custom_ids(names: Input, lines: Sequence[int]) -> list[bytes]:
    """JSON tokens, as they stand in the input."""
    ids: list[bytes] = []
    some: list[tuple[int, int]] = []
    size = 0
    for record in await records_of(names, lines):
        if some and size + record.length > GROUP_BYTES:
            ids += [decode_line(text)[0] for text in await names.lines(some)]
            some, size = [], 0
        some.append((record.offset, record.length))
        size += record.length
    return ids + [decode_line(text)[0] for text in await names.lines(some)]
