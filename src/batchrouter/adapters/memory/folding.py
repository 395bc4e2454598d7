"""Folding and retention in memory: what becomes of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchrouter.adapters.memory.files import as_of, segments_of
from batchrouter.adapters.memory.state import BatchRow, Part, atomic
from batchrouter.domain import bitmap
from batchrouter.domain.file import FileRole, SegmentRef
from batchrouter.domain.lifecycle import UploadState
from batchrouter.domain.shard import FoldWork

SWEEP_KEYS_MAX = 1000


class Folding(Part):
    __slots__ = ()

    @atomic
    def foldable(self, limit: int) -> list[FoldWork]:
        found: list[FoldWork] = []
        for row in self._state.batches.values():
            if row.gone_ms is not None:
                continue
            for range_no in sorted(row.ranges):
                home = row.ranges[range_no].range
                if home.folded or home.done != bitmap.full(home.lines):
                    continue
                found.append(
                    FoldWork(
                        batch_id=row.batch.id,
                        range_no=range_no,
                        first_line=home.first_line,
                        lines=home.lines,
                        segment_seqs=home.segment_seqs,
                    )
                )
        return found[:limit]

    @atomic
    def segments(self, batch_id: str, seqs: Sequence[int]) -> list[SegmentRef]:
        return segments_of(self, batch_id, seqs)

    @atomic
    def folded(self, batch_id: str, range_no: int, output_key: str | None, error_key: str | None) -> bool:
        row = self._state.batches.get(batch_id)
        home = None if row is None else row.ranges.get(range_no)
        if row is None or home is None or home.range.folded or row.gone_ms is not None:
            return False
        home.range = replace(home.range, folded=True)
        home.output_key, home.error_key = output_key, error_key
        if all(each.range.folded for each in row.ranges.values()):
            row.segments = {seq: replace(segment, data=None) for seq, segment in row.segments.items()}
        return True


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
        needed = {row.input_blob_key for row in self._state.batches.values() if not row.final}
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
            if not row.final or self._read(row.batch.output_file_id) or self._read(row.batch.error_file_id):
                return
            row.gone_ms = now_ms
            for segment in row.segments.values():
                self._state.note_garbage(segment.blob_key, now_ms)
            for home in row.ranges.values():
                self._state.note_garbage(home.output_key, now_ms)
                self._state.note_garbage(home.error_key, now_ms)
        if row.gone_ms <= now_ms - linger_ms and not self._state.open_jobs(row.batch.id):
            row.segments.clear()
            row.ranges.clear()
            row.shards.clear()
            self._state.jobs = {
                job_id: job for job_id, job in self._state.jobs.items() if job.job.batch_id != row.batch.id
            }

    def _read(self, file_id: str | None) -> bool:
        """Whether people can still read that file."""
        return file_id is not None and self._state.files[file_id].deleted_ms is None
