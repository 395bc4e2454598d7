"""Uploads in parts."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from batchrouter.adapters.sql.catalog.files import insert_file
from batchrouter.adapters.sql.catalog.quotas import require_room_for_file, require_room_for_part
from batchrouter.adapters.sql.garbage import note_garbage
from batchrouter.adapters.sql.rows import PART_COLUMNS, UPLOAD_COLUMNS, part_of, upload_of
from batchrouter.adapters.sql.schema import upload_parts, uploads
from batchrouter.adapters.sql.verbs import Verbs, param
from batchrouter.domain.file import File, Upload, UploadPart
from batchrouter.domain.lifecycle import UploadEvent, UploadState, upload_step
from batchrouter.errors import IllegalTransition, StoreError
from batchrouter.ports.catalog import Completed

_UPLOAD = sa.select(*UPLOAD_COLUMNS).where(uploads.c.id == param("id"), uploads.c.tenant_id == param("tenant"))
_LOCKED = _UPLOAD.with_for_update()
_PARTS = sa.select(*PART_COLUMNS).where(upload_parts.c.upload_id == param("upload")).order_by(upload_parts.c.seq)
_DROP_PARTS = (
    upload_parts.delete().where(upload_parts.c.upload_id == param("upload")).returning(upload_parts.c.blob_key)
)
_END = uploads.update().where(uploads.c.id == param("upload"))


class Uploads(Verbs):
    def add_upload(self, upload: Upload) -> None:
        with self._db.write() as tx:
            tx.execute(uploads.insert(), {column.name: getattr(upload, column.name) for column in UPLOAD_COLUMNS})

    def upload(self, tenant_id: str, upload_id: str, now_ms: int) -> Upload | None:
        with self._db.read() as tx:
            row = tx.execute(_UPLOAD, {"id": upload_id, "tenant": tenant_id}).first()
            return None if row is None else upload_of(row, now_ms)

    def add_part(self, tenant_id: str, part: UploadPart, now_ms: int) -> Upload | None:
        with self._db.write() as tx:
            upload = _find(tx, tenant_id, part.upload_id, now_ms)
            if upload is not None and upload.state is UploadState.PENDING:
                require_room_for_part(tx, tenant_id, part)
                values = {column.name: getattr(part, column.name) for column in PART_COLUMNS}
                tx.execute(upload_parts.insert(), values)
            return upload

    def parts(self, upload_id: str) -> list[UploadPart]:
        """In order of arrival. Empty once the upload has ended: their blobs are garbage then."""
        with self._db.read() as tx:
            return [part_of(row) for row in tx.execute(_PARTS, {"upload": upload_id})]

    def end_upload(
        self, tenant_id: str, upload_id: str, event: UploadEvent, file: File | None, now_ms: int
    ) -> Completed | None:
        """Raises StoreError when COMPLETE comes without a file, or another event with one."""
        if (event is UploadEvent.COMPLETE) != (file is not None):
            raise StoreError(f"upload {upload_id}: a file comes with '{UploadEvent.COMPLETE}' and with nothing else")
        with self._db.write() as tx:
            upload = _find(tx, tenant_id, upload_id, now_ms)
            if upload is None:
                return None
            try:
                state = upload_step(upload.state, event)
            except IllegalTransition:
                return Completed(upload, None)
            if file is not None:
                require_room_for_file(tx, file, upload_id=upload_id)
            made = None if file is None else insert_file(tx, file)
            kept = frozenset() if made is None else frozenset((made.blob_key, made.index_key))
            file_id = None if made is None else made.id
            end_upload(tx, upload_id, state, file_id, now_ms, kept)
            return Completed(replace(upload, state=state, file_id=file_id), made)


def end_upload(
    tx: sa.Connection,
    upload_id: str,
    state: UploadState,
    file_id: str | None,
    now_ms: int,
    kept: frozenset[str | None] = frozenset(),
) -> None:
    """Set the final state; the parts' blobs become garbage, but for those that the file took over (`kept`)."""
    tx.execute(_END.values(state=state, file_id=file_id), {"upload": upload_id})
    keys = tx.execute(_DROP_PARTS, {"upload": upload_id}).scalars().all()
    note_garbage(tx, (key for key in keys if key not in kept), now_ms)


def _find(tx: sa.Connection, tenant_id: str, upload_id: str, now_ms: int) -> Upload | None:
    """Held until the transaction ends."""
    row = tx.execute(_LOCKED, {"id": upload_id, "tenant": tenant_id}).first()
    return None if row is None else upload_of(row, now_ms)
