"""How a batch ends: close, seal, copy answers that are known, tell the lines that were never finished,
publish the files, all in this order.

Each step is decided by the store (compare-and-set, epochs), so a crash between any two is repeated by whoever takes
the duty next, to the same end.
"""

from __future__ import annotations

from batchrouter.domain import bitmap
from batchrouter.domain.file import File, FileRole
from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.line import decode_line
from batchrouter.domain.outcome import GAP_SHARD, Outcome
from batchrouter.domain.output_line import gap_line, id_prefix
from batchrouter.domain.shard import Duty, Range
from batchrouter.engine.copying import Copier
from batchrouter.engine.journal import Journal
from batchrouter.engine.settings import EngineSettings
from batchrouter.errors import StoreError
from batchrouter.input import Input
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.ledger import Ledger

RANGES_PAGE = 200
GAP_LINES = 256


class Closer:
    def __init__(
        self,
        ledger: Ledger,
        calls: Calls,
        blobs: Blobs,
        clock: Clock,
        chance: Chance,
        journal: Journal,
        copier: Copier,
        settings: EngineSettings,
        worker: str,
    ) -> None:
        self._ledger = ledger
        self._calls = calls
        self._blobs = blobs
        self._clock = clock
        self._chance = chance
        self._journal = journal
        self._copier = copier
        self._settings = settings
        self._worker = worker

    def tell_end(self, duty: Duty, event: BatchEvent | None) -> None:
        """A batch that had left by `event` is final: for whoever watches."""
        meters = self._journal.meters
        meters.batch_ended(event)
        if meters.traces is not None:
            meters.traces.ended(duty, event)

    def waits(self, duty: Duty) -> bool:
        """Whether a closed batch still gives its native jobs time: cancelled, they hand over what they finished."""
        if not duty.open_jobs or duty.sealed or duty.closing_ms is None or duty.closing is BatchEvent.COMPLETE:
            return False
        return self._clock.unix_ms() - duty.closing_ms < self._settings.cancel_wait_s * 1000

    async def finish(self, duty: Duty) -> bool:
        """From a closed batch (`finalizing` or `cancelling`, planned) to its end. False: another had ended it."""
        await self._let_flushes_land(duty)
        await self._calls.write(self._ledger.seal, self._worker, duty)
        await self._copier.copy_rest(duty)
        if duty.closing is not BatchEvent.COMPLETE:
            await self._write_gaps(duty)
        output_bytes = error_bytes = 0
        after = -1
        while True:
            ranges = await self._calls.read(self._ledger.ranges, duty.batch_id, after, RANGES_PAGE)
            if not ranges:
                break
            after = ranges[-1].range_no
            for each in ranges:
                if each.done != bitmap.full(each.lines):
                    raise StoreError(f"range {each.range_no} of {duty.batch_id} is sealed and has lines without an end")
                output_bytes += each.output_bytes
                error_bytes += each.error_bytes
        now_ms = self._clock.unix_ms()
        return await self._calls.write(
            self._ledger.finish,
            self._worker,
            duty,
            self._file(duty, FileRole.OUTPUT, output_bytes, now_ms),
            self._file(duty, FileRole.ERROR, error_bytes, now_ms),
            now_ms,
        )

    async def _let_flushes_land(self, duty: Duty) -> None:
        """What is finished is kept: our own journal is flushed, other workers get a short grace."""
        await self._journal.drain(duty.batch_id)
        if self._settings.alone or duty.sealed or duty.closing_ms is None or duty.closing is BatchEvent.COMPLETE:
            return
        left_s = self._settings.close_grace_s - (self._clock.unix_ms() - duty.closing_ms) / 1000
        if 0 < left_s <= self._settings.close_grace_s:
            await self._clock.sleep(left_s)

    def _file(self, duty: Duty, role: FileRole, size: int, now_ms: int) -> File | None:
        """Files are made only when they have lines, as OpenAI does (contract 2.3)."""
        if not size:
            return None
        expires_s = duty.output_expires_after_s or self._settings.output_expires_s
        return File(
            id=f"file-{self._chance.token(24)}",
            tenant_id=duty.tenant_id,
            role=role,
            purpose="batch_output",
            filename=f"{duty.batch_id}_{role.value}.jsonl",
            bytes=size,
            created_ms=now_ms,
            expires_ms=now_ms + expires_s * 1000,
            batch_id=duty.batch_id,
        )

    # --- gaps -----------------------------------------------------------------------------------------------------

    async def _write_gaps(self, duty: Duty) -> None:
        """Lines without an end become ordinary records, under this duty."""
        if duty.input_blob_key is None or duty.input_index_key is None:
            return
        source: Input | None = None
        self._journal.allow_gaps(duty.batch_id, duty.duty_epoch)
        try:
            after = -1
            while True:
                ranges = await self._calls.read(self._ledger.ranges, duty.batch_id, after, RANGES_PAGE)
                if not ranges:
                    break
                after = ranges[-1].range_no
                for each in ranges:
                    if each.done != bitmap.full(each.lines):
                        if source is None:
                            source = await Input.open(self._blobs, duty.input_blob_key, duty.input_index_key)
                        await self._write_range_gaps(duty, source, each)
        finally:
            self._journal.end_gaps(duty.batch_id)

    async def _write_range_gaps(self, duty: Duty, source: Input, gaps: Range) -> None:
        outcome = Outcome.CANCELLED if duty.state is BatchState.CANCELLING else Outcome.EXPIRED
        prefix = id_prefix(duty.batch_id)
        records = await source.records(gaps.first_line, gaps.lines)
        places = list(bitmap.members(bitmap.full(gaps.lines) & ~gaps.done))
        for start in range(0, len(places), GAP_LINES):
            some = places[start : start + GAP_LINES]
            texts = await source.lines([(records[place].offset, records[place].length) for place in some])
            for place, text in zip(some, texts, strict=True):
                number = gaps.first_line + place
                line = gap_line(prefix, number, decode_line(text)[0], outcome)
                fields = (number, gaps.range_no, GAP_SHARD, duty.duty_epoch, int(outcome), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
                self._journal.add(duty.batch_id, line, fields, 0)
            await self._journal.drain(duty.batch_id)
