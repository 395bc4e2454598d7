"""Batches whose answers a new one keeps."""

from __future__ import annotations

import sqlalchemy as sa

from batchrouter.adapters.sql.schema import batches, files
from batchrouter.adapters.sql.verbs import many, param
from batchrouter.domain.batch import NewBatch
from batchrouter.domain.source import SourceFault
from batchrouter.errors import SourceUnusable

_SOURCE = (
    sa.select(batches.c.live, batches.c.output_file_id, batches.c.error_file_id, batches.c.input_file_id)
    .where(batches.c.id == param("id"), batches.c.tenant_id == param("tenant"))
    .with_for_update(read=True)
)
# Held until the new batch is there, which needs the bytes: nobody deletes a file in between.
_THERE = (
    sa.select(files.c.id)
    .where(
        files.c.id.in_(many("ids")),
        files.c.tenant_id == param("tenant"),
        files.c.deleted_ms.is_(None),
        files.c.expires_ms.is_(None) | (files.c.expires_ms > param("now")),
    )
    .order_by(files.c.id)
    .with_for_update(read=True)
)


def require_sources(tx: sa.Connection, new: NewBatch, now_ms: int) -> None:
    """Raises SourceUnusable where answers cannot be kept of whom the new batch names."""
    for batch_id in (new.retry_of, new.resume_from):
        if batch_id is None:
            continue
        source = tx.execute(_SOURCE, {"id": batch_id, "tenant": new.tenant_id}).first()
        if source is None:
            raise SourceUnusable(batch_id, SourceFault.MISSING)
        if source.live:
            raise SourceUnusable(batch_id, SourceFault.RUNNING)
        own = [file_id for file_id in (source.output_file_id, source.error_file_id) if file_id is not None]
        named = {"ids": [*own, source.input_file_id], "tenant": new.tenant_id, "now": now_ms}
        there = set(tx.execute(_THERE, named).scalars())
        if not there.issuperset(own):
            raise SourceUnusable(batch_id, SourceFault.FILES_GONE)
        if source.input_file_id not in there:
            raise SourceUnusable(batch_id, SourceFault.INPUT_GONE)
