"""Reading finished lines in memory."""

from __future__ import annotations

from collections.abc import Sequence

from batchrouter.adapters.memory.state import BatchRow, Part, atomic
from batchrouter.domain.file import SegmentRef
from batchrouter.domain.outcome import RECORD, TAIL_SIZE
from batchrouter.domain.shard import LaneKey, Sample
from batchrouter.ports.results import Pulse, RangeView, SegmentView, Subject


class MemoryResults(Part):
    """`ports.results.Results`."""

    __slots__ = ()

    @atomic
    def subject(self, tenant_id: str, batch_id: str, now_ms: int) -> Subject | None:
        row = self._state.batches.get(batch_id)
        if row is None or row.batch.tenant_id != tenant_id:
            return None
        kept = self._there(row, row.batch.input_file_id, now_ms)
        return Subject(
            batch=row.told(),
            output=row.batch.output_file_id is None or self._there(row, row.batch.output_file_id, now_ms),
            error=row.batch.error_file_id is None or self._there(row, row.batch.error_file_id, now_ms),
            input_blob_key=row.input_blob_key if kept else None,
            input_index_key=row.input_index_key if kept else None,
        )

    @atomic
    def segments_from(self, batch_id: str, seq: int, limit: int) -> list[SegmentView]:
        row = self._state.batches.get(batch_id)
        if row is None:
            return []
        return [_view(row, row.segments[each]) for each in sorted(no for no in row.segments if no >= seq)[:limit]]

    @atomic
    def segments_of(self, batch_id: str, seqs: Sequence[int], *, whole: bool = False) -> list[SegmentView]:
        row = self._state.batches.get(batch_id)
        if row is None:
            return []
        return [_view(row, row.segments[seq], whole=whole) for seq in seqs if seq in row.segments]

    @atomic
    def ranges_from(self, batch_id: str, line: int, limit: int) -> list[RangeView]:
        row = self._state.batches.get(batch_id)
        homes = [] if row is None else [row.ranges[no] for no in sorted(row.ranges)]
        return [
            RangeView(
                range_no=home.range.range_no,
                first_line=home.range.first_line,
                lines=home.range.lines,
                done=home.range.done,
                folded=home.range.folded,
                output=home.output,
                error=home.error,
                segment_seqs=home.range.segment_seqs,
            )
            for home in homes
            if home.range.first_line + home.range.lines > line
        ][:limit]

    @atomic
    def lane_keys(self, ids: Sequence[int]) -> dict[int, LaneKey]:
        return {id: self._state.lanes[id].key for id in ids if id in self._state.lanes}

    @atomic
    def samples(self, batch_id: str, limit: int) -> list[Sample]:
        row = self._state.batches.get(batch_id)
        return [] if row is None else sorted(row.samples, key=lambda each: (each.at_ms, each.lane_id))[-limit:]

    @atomic
    def pulses(self, batch_ids: Sequence[str]) -> dict[str, Pulse]:
        rows = [self._state.batches[id] for id in batch_ids if id in self._state.batches]
        return {row.batch.id: _pulse(row) for row in rows}

    def _there(self, row: BatchRow, file_id: str, now_ms: int) -> bool:
        file = self._state.files.get(file_id)
        return file is not None and file.file.tenant_id == row.batch.tenant_id and file.there(now_ms)


def _view(row: BatchRow, ref: SegmentRef, *, whole: bool = False) -> SegmentView:
    end = row.records.get(ref.seq) if ref.data is None else ref.data
    size = ref.count * RECORD.size
    at = 0 if end is None else len(end) - TAIL_SIZE - size
    return SegmentView(
        seq=ref.seq,
        length=ref.length,
        count=ref.count,
        admitted=ref.admitted,
        at_ms=row.settled_ms.get(ref.seq),
        blob_key=ref.blob_key,
        records=None if end is None else end[at : at + size],
        inline=ref.data is not None,
        data=ref.data if whole else None,
    )


def _pulse(row: BatchRow) -> Pulse:
    batch = row.batch
    return Pulse(
        state=batch.state,
        total=batch.total,
        completed=batch.completed,
        failed=batch.failed,
        segments=row.last_seq + 1,
        events=len(row.events) + 1,
        paused_ms=batch.paused_ms,
    )
