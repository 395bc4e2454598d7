"""Folding and retention in memory: what becomes of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchrouter.adapters.memory.files import as_of, segments_of
from batchrouter.adapters.memory.state import BatchRow, Part, RangeRow, atomic
from batchrouter.domain import bitmap
from batchrouter.domain.file import FileRole, SegmentRef
from batchrouter.domain.lifecycle import BatchState, UploadState
from batchrouter.domain.outcome import RECORD, TAIL_SIZE
from batchrouter.domain.shard import Fold, FoldWork

SWEEP_KEYS_MAX = 1000


class Folding(Part):
    __slots__ = ()

    @atomic
    def take_folds(self, now_ms: int, until_ms: int, least: int, limit: int) -> list[FoldWork]:
        rows = [home for row in self._state.batches.values() for home in to_fold(row, now_ms, least)][:limit]
        for home in rows:
            home.fold_until_ms = until_ms
        return [
            FoldWork(
                batch_id=home.range.batch_id,
                range_no=home.range.range_no,
                first_line=home.range.first_line,
                lines=home.range.lines,
                segment_seqs=home.range.segment_seqs,
            )
            for home in rows
        ]

    @atomic
    def segments(self, batch_id: str, seqs: Sequence[int]) -> list[SegmentRef]:
        return segments_of(self, batch_id, seqs)

    @atomic
    def folded(self, batch_id: str, folds: Sequence[Fold]) -> bool:
        row = self._state.batches.get(batch_id)
        homes = [None if row is None else row.ranges.get(fold.range_no) for fold in folds]
        if row is None or row.gone_ms is not None or not all(home is not None and _ripe(home) for home in homes):
            return False
        for fold in folds:
            home = row.ranges[fold.range_no]
            home.range = replace(home.range, folded=True)
            home.output, home.error = fold.output, fold.error
        if all(each.range.folded for each in row.ranges.values()):
            row.records |= {seq: _end_of(each) for seq, each in row.segments.items() if each.data is not None}
            row.segments = {seq: replace(segment, data=None) for seq, segment in row.segments.items()}
        return True


def _end_of(segment: SegmentRef) -> bytes:
    """What is known of each line: records and tail."""
    assert segment.data is not None
    return segment.data[segment.length - TAIL_SIZE - segment.count * RECORD.size :]


def to_fold(row: BatchRow, now_ms: int, least: int) -> list[RangeRow]:
    """As `take_folds` tells them."""
    if row.gone_ms is not None:
        return []
    homes = (row.ranges[range_no] for range_no in sorted(row.ranges))
    ripe = [home for home in homes if _ripe(home) and home.fold_until_ms <= now_ms]
    return ripe if len(ripe) >= least or row.batch.state is not BatchState.IN_PROGRESS else []


def _ripe(home: RangeRow) -> bool:
    return not home.range.folded and home.range.done == bitmap.full(home.range.lines)


class Sweeping(Part):
    __slots__ = ()

    @atomic
    def sweep(self, now_ms: int, linger_ms: int) -> list[str]:
        self._end_uploads(now_ms)
        self._end_files(now_ms)
        self._note_inputs(now_ms)
        for row in self._state.batches.values():
            self._note_results(row, now_ms, linger_ms)
        ripe = [key for key, since_ms in self._state.garbage.items() if since_ms <= now_ms - linger_ms]
        return ripe[:SWEEP_KEYS_MAX]

    @atomic
    def turn(self, name: str, now_ms: int, for_ms: int) -> bool:
        if self._state.turns.get(name, now_ms) > now_ms:
            return False
        self._state.turns[name] = now_ms + for_ms
        return True

    @atomic
    def forget(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._state.garbage.pop(key, None)

    @atomic
    def known(self, keys: Sequence[str]) -> frozenset[str]:
        return frozenset(keys) & {key for key in self._state.named_keys() if key is not None}

    def _end_uploads(self, now_ms: int) -> None:
        for row in self._state.uploads.values():
            row.upload = as_of(row.upload, now_ms)
            if row.upload.state is UploadState.EXPIRED:
                for part in row.parts:
                    self._state.note_garbage(part.blob_key, now_ms)
                row.parts.clear()

    def _end_files(self, now_ms: int) -> None:
        for row in self._state.files.values():
            if row.deleted_ms is None and not row.there(now_ms):
                row.deleted_ms = now_ms

    def _note_inputs(self, now_ms: int) -> None:
        rows = self._state.batches.values()
        needed = {row.input_blob_key for row in rows if not row.final}
        kept_of = set().union(*(row.keeps_of() for row in rows))
        needed |= {row.input_blob_key for row in rows if row.batch.id in kept_of}
        for row in self._state.files.values():
            if row.deleted_ms is None or row.swept or row.file.role is not FileRole.UPLOADED:
                continue
            if row.file.blob_key not in needed:
                self._state.note_garbage(row.file.blob_key, now_ms)
                self._state.note_garbage(row.file.index_key, now_ms)
                row.swept = True

    def _note_results(self, row: BatchRow, now_ms: int, linger_ms: int) -> None:
        """Rows stay readable as long as the bytes do, so that a running download is not cut."""
        if row.gone_ms is None:
            kept = any(row.batch.id in other.keeps_of() for other in self._state.batches.values())
            if kept or not row.final or self._read(row.batch.output_file_id) or self._read(row.batch.error_file_id):
                return
            row.gone_ms = now_ms
            for segment in row.segments.values():
                self._state.note_garbage(segment.blob_key, now_ms)
            for home in row.ranges.values():
                for key in home.run_keys():
                    self._state.note_garbage(key, now_ms)
        if row.gone_ms <= now_ms - linger_ms and not self._state.open_jobs(row.batch.id):
            row.segments.clear()
            row.samples.clear()
            row.records.clear()
            row.settled_ms.clear()
            row.ranges.clear()
            row.shards.clear()
            self._state.jobs = {
                job_id: job for job_id, job in self._state.jobs.items() if job.job.batch_id != row.batch.id
            }

    def _read(self, file_id: str | None) -> bool:
        """Whether people can still read that file."""
        return file_id is not None and self._state.files[file_id].deleted_ms is None
