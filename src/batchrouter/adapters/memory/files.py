"""Files and uploads in memory, as people see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchrouter.adapters.memory.quotas import require_room_for_file, require_room_for_part
from batchrouter.adapters.memory.state import FileRow, Part, UploadRow, atomic
from batchrouter.domain.file import File, FileRole, RangeSpan, SegmentRef, Upload, UploadPart
from batchrouter.domain.lifecycle import UploadEvent, UploadState, upload_step
from batchrouter.errors import IllegalTransition, StoreError
from batchrouter.ports.catalog import Completed, Page


class Files(Part):
    __slots__ = ()

    @atomic
    def add_file(self, file: File) -> File:
        require_room_for_file(self._state, file)
        return self._state.insert_file(file)

    @atomic
    def file(self, tenant_id: str, file_id: str, now_ms: int) -> File | None:
        row = self._find(tenant_id, file_id, now_ms)
        return None if row is None else row.file

    @atomic
    def files(
        self, tenant_id: str, *, after: str | None, limit: int, descending: bool, purpose: str | None, now_ms: int
    ) -> Page[File] | None:
        rows = [row for row in self._state.files.values() if row.file.tenant_id == tenant_id]
        if descending:
            rows.reverse()
        if after is not None:
            start = next((place for place, row in enumerate(rows) if row.file.id == after), None)
            if start is None:
                return None
            rows = rows[start + 1 :]
        shown = [row.file for row in rows if row.there(now_ms) and purpose in (None, row.file.purpose)]
        return Page(tuple(shown[:limit]), len(shown) > limit)

    @atomic
    def delete_file(self, tenant_id: str, file_id: str, now_ms: int) -> bool:
        row = self._find(tenant_id, file_id, now_ms)
        if row is None:
            return False
        row.deleted_ms = now_ms
        return True

    @atomic
    def manifest(self, file: File, after: int, limit: int) -> list[RangeSpan]:
        row = None if file.batch_id is None else self._state.batches.get(file.batch_id)
        if row is None:
            return []
        output = file.role is FileRole.OUTPUT
        spans = []
        for range_no in sorted(no for no in row.ranges if no > after)[:limit]:
            home = row.ranges[range_no]
            run = home.output if output else home.error
            spans.append(
                RangeSpan(
                    range_no=range_no,
                    first_line=home.range.first_line,
                    lines=home.range.lines,
                    length=home.range.output_bytes if output else home.range.error_bytes,
                    run_key=None if run is None else run[0],
                    run_at=0 if run is None else run[1],
                    segment_seqs=home.range.segment_seqs,
                )
            )
        return spans

    @atomic
    def segments(self, batch_id: str, seqs: Sequence[int]) -> list[SegmentRef]:
        return segments_of(self, batch_id, seqs)

    def _find(self, tenant_id: str, file_id: str, now_ms: int) -> FileRow | None:
        row = self._state.files.get(file_id)
        return row if row is not None and row.file.tenant_id == tenant_id and row.there(now_ms) else None


def segments_of(part: Part, batch_id: str, seqs: Sequence[int]) -> list[SegmentRef]:
    """A segment without bytes, because its ranges are folded, is gone."""
    row = part._state.batches.get(batch_id)
    if row is None:
        return []
    found = (row.segments.get(seq) for seq in seqs)
    return [ref for ref in found if ref is not None and (ref.data is not None or ref.blob_key is not None)]


class Uploads(Part):
    __slots__ = ()

    @atomic
    def add_upload(self, upload: Upload) -> None:
        if upload.id in self._state.uploads:
            raise StoreError(f"an upload {upload.id} exists")
        self._state.uploads[upload.id] = UploadRow(upload)

    @atomic
    def upload(self, tenant_id: str, upload_id: str, now_ms: int) -> Upload | None:
        row = self._upload_row(tenant_id, upload_id)
        return None if row is None else as_of(row.upload, now_ms)

    @atomic
    def add_part(self, tenant_id: str, part: UploadPart, now_ms: int) -> Upload | None:
        row = self._upload_row(tenant_id, part.upload_id)
        if row is None:
            return None
        upload = as_of(row.upload, now_ms)
        if upload.state is UploadState.PENDING:
            require_room_for_part(self._state, tenant_id, part)
            row.parts.append(part)
        return upload

    @atomic
    def parts(self, upload_id: str) -> list[UploadPart]:
        row = self._state.uploads.get(upload_id)
        return [] if row is None else list(row.parts)

    @atomic
    def end_upload(
        self, tenant_id: str, upload_id: str, event: UploadEvent, file: File | None, now_ms: int
    ) -> Completed | None:
        row = self._upload_row(tenant_id, upload_id)
        if row is None:
            return None
        if (event is UploadEvent.COMPLETE) != (file is not None):
            raise StoreError(f"upload {upload_id}: a file comes with '{UploadEvent.COMPLETE}' and with nothing else")
        upload = as_of(row.upload, now_ms)
        try:
            after = upload_step(upload.state, event)
        except IllegalTransition:
            return Completed(upload, None)
        if file is not None:
            require_room_for_file(self._state, file, upload_id=upload_id)
        kept = None if file is None else self._state.insert_file(file)
        row.upload = replace(row.upload, state=after, file_id=None if kept is None else kept.id)
        for part in row.parts:
            if kept is None or part.blob_key not in (kept.blob_key, kept.index_key):
                self._state.note_garbage(part.blob_key, now_ms)
        row.parts.clear()
        return Completed(row.upload, kept)

    def _upload_row(self, tenant_id: str, upload_id: str) -> UploadRow | None:
        row = self._state.uploads.get(upload_id)
        return row if row is not None and row.upload.tenant_id == tenant_id else None


def as_of(upload: Upload, now_ms: int) -> Upload:
    """The upload as it reads at that time: past its time it is expired, though nobody has written so yet."""
    if upload.state is UploadState.PENDING and upload.expires_ms <= now_ms:
        return replace(upload, state=upload_step(upload.state, UploadEvent.EXPIRE))
    return upload
