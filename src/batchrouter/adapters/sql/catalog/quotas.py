"""What tenants have and may have."""

from __future__ import annotations

import sqlalchemy as sa

from batchrouter.adapters.sql.database import upsert
from batchrouter.adapters.sql.rows import QUOTA_NAMES
from batchrouter.adapters.sql.schema import batches, files, requests, tenants, upload_parts, uploads
from batchrouter.adapters.sql.verbs import Verbs, param
from batchrouter.domain.file import File, UploadPart
from batchrouter.domain.quota import Excess, Usage, batch_excess, file_excess
from batchrouter.domain.tenant import UNBOUND, Quotas
from batchrouter.errors import QuotaExceeded

_QUOTAS = sa.select(*(tenants.c[name] for name in QUOTA_NAMES)).where(tenants.c.id == param("tenant"))
_LOCKED = _QUOTAS.with_for_update()
_ENQUEUED = (
    sa.select(
        sa.func.coalesce(
            sa.func.sum(sa.case((batches.c.planned, batches.c.total), else_=sa.func.coalesce(files.c.lines, 0))), 0
        ),
        sa.func.coalesce(sa.func.sum(batches.c.input_bytes), 0),
    )
    .select_from(batches.outerjoin(files, files.c.id == batches.c.input_file_id))
    .where(batches.c.live == sa.true(), batches.c.tenant_id == param("tenant"))
)
_STORED = sa.select(sa.func.coalesce(sa.func.sum(files.c.bytes), 0)).where(
    files.c.tenant_id == param("tenant"), files.c.deleted_ms.is_(None)
)
_IN_PARTS = (
    sa.select(sa.func.coalesce(sa.func.sum(upload_parts.c.bytes), 0))
    .join_from(upload_parts, uploads, uploads.c.id == upload_parts.c.upload_id)
    .where(uploads.c.tenant_id == param("tenant"), uploads.c.id != param("upload"))
)
_COUNT = upsert(requests).on_conflict_do_nothing(index_elements=[requests.c.tenant_id, requests.c.minute])
_of_minute = (requests.c.tenant_id == param("tenant"), requests.c.minute == param("at"))
_TAKEN = sa.select(requests.c.taken).where(*_of_minute).with_for_update()
_TAKE = requests.update().where(*_of_minute).values(taken=param("now_taken"))
_FORGET = requests.delete().where(requests.c.tenant_id == param("tenant"), requests.c.minute < param("at") - 1)


class TenantQuotas(Verbs):
    def quotas(self, tenant_id: str) -> Quotas:
        with self._db.read() as tx:
            return _quotas(tx, tenant_id)

    def usage(self, tenant_id: str) -> Usage:
        with self._db.read() as tx:
            lines, size = tx.execute(_ENQUEUED, {"tenant": tenant_id}).one()
            stored = _stored(tx, tenant_id, "")
        return Usage(lines=int(lines), bytes=int(size), storage_bytes=stored)

    def take_requests(self, tenant_id: str, minute: int, want: int, most: int) -> int:
        at = {"tenant": tenant_id, "at": minute}
        with self._db.write() as tx:
            tx.execute(_COUNT, {"tenant_id": tenant_id, "minute": minute, "taken": 0})
            taken: int = tx.execute(_TAKEN, at).scalar_one()
            granted = max(0, min(want, most - taken))
            tx.execute(_TAKE, at | {"now_taken": taken + granted})
            tx.execute(_FORGET, at)
            return granted


def require_room_for_batch(tx: sa.Connection, tenant_id: str, lines: int, size: int) -> None:
    """Raises QuotaExceeded. The tenant's row is locked, so that two that come at once are looked at in turn."""
    quotas = _quotas(tx, tenant_id)
    if quotas.max_lines is None and quotas.max_bytes is None:
        return
    tx.execute(_LOCKED, {"tenant": tenant_id})
    used_lines, used_bytes = tx.execute(_ENQUEUED, {"tenant": tenant_id}).one()
    _refuse(batch_excess(quotas, Usage(lines=int(used_lines), bytes=int(used_bytes)), lines, size))


def require_room_for_file(tx: sa.Connection, file: File, *, upload_id: str = "") -> None:
    """As for a batch. `upload_id`: whose parts become the file."""
    _require_room(tx, file.tenant_id, file.bytes, upload_id)


def require_room_for_part(tx: sa.Connection, tenant_id: str, part: UploadPart) -> None:
    """As for a file."""
    _require_room(tx, tenant_id, part.bytes, "")


def _require_room(tx: sa.Connection, tenant_id: str, size: int, upload_id: str) -> None:
    quotas = _quotas(tx, tenant_id)
    if quotas.max_storage_bytes is None:
        return
    tx.execute(_LOCKED, {"tenant": tenant_id})
    _refuse(file_excess(quotas, Usage(storage_bytes=_stored(tx, tenant_id, upload_id)), size))


def _stored(tx: sa.Connection, tenant_id: str, but: str) -> int:
    """Of files, and of the parts of all uploads `but` one."""
    files_have = tx.execute(_STORED, {"tenant": tenant_id}).scalar_one()
    return int(files_have) + int(tx.execute(_IN_PARTS, {"tenant": tenant_id, "upload": but}).scalar_one())


def _refuse(excess: Excess | None) -> None:
    if excess is not None:
        raise QuotaExceeded(excess)


def _quotas(tx: sa.Connection, tenant_id: str) -> Quotas:
    row = tx.execute(_QUOTAS, {"tenant": tenant_id}).first()
    return UNBOUND if row is None else Quotas(**dict(zip(QUOTA_NAMES, row, strict=True)))
