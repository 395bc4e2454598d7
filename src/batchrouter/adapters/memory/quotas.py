"""What tenants have and may have, in memory."""

from __future__ import annotations

from batchrouter.adapters.memory.state import Part, State, atomic
from batchrouter.domain.batch import NewBatch
from batchrouter.domain.file import File, UploadPart
from batchrouter.domain.quota import Usage, batch_excess, file_excess
from batchrouter.domain.tenant import UNBOUND, Quotas
from batchrouter.errors import QuotaExceeded


class TenantQuotas(Part):
    __slots__ = ()

    @atomic
    def quotas(self, tenant_id: str) -> Quotas:
        return _quotas(self._state, tenant_id)

    @atomic
    def usage(self, tenant_id: str) -> Usage:
        return _usage(self._state, tenant_id)

    @atomic
    def take_requests(self, tenant_id: str, minute: int, want: int, most: int) -> int:
        requests = self._state.requests
        for key in [key for key in requests if key[0] == tenant_id and key[1] < minute - 1]:
            del requests[key]
        taken = requests.get((tenant_id, minute), 0)
        granted = max(0, min(want, most - taken))
        requests[tenant_id, minute] = taken + granted
        return granted


def require_room_for_batch(state: State, new: NewBatch) -> None:
    source = state.files.get(new.input_file_id)
    if source is None or source.file.tenant_id != new.tenant_id:
        return
    lines, size = source.file.lines or 0, source.file.bytes
    excess = batch_excess(_quotas(state, new.tenant_id), _usage(state, new.tenant_id), lines, size)
    if excess is not None:
        raise QuotaExceeded(excess)


def require_room_for_file(state: State, file: File, *, upload_id: str = "") -> None:
    """`upload_id`: whose parts become the file."""
    _require_room(state, file.tenant_id, file.bytes, upload_id)


def require_room_for_part(state: State, tenant_id: str, part: UploadPart) -> None:
    _require_room(state, tenant_id, part.bytes, "")


def _require_room(state: State, tenant_id: str, size: int, upload_id: str) -> None:
    excess = file_excess(_quotas(state, tenant_id), _usage(state, tenant_id, upload_id), size)
    if excess is not None:
        raise QuotaExceeded(excess)


def _quotas(state: State, tenant_id: str) -> Quotas:
    tenant = state.tenants.get(tenant_id)
    return UNBOUND if tenant is None else tenant.quotas


def _usage(state: State, tenant_id: str, but: str = "") -> Usage:
    live = [row for row in state.batches.values() if row.batch.tenant_id == tenant_id and not row.final]
    files = [row.file for row in state.files.values() if row.file.tenant_id == tenant_id and row.deleted_ms is None]
    uploads = [row for row in state.uploads.values() if row.upload.tenant_id == tenant_id and row.upload.id != but]
    sources = {file.id: file.lines or 0 for file in (row.file for row in state.files.values())}
    return Usage(
        lines=sum(row.batch.total if row.planned else sources.get(row.batch.input_file_id, 0) for row in live),
        bytes=sum(row.input_bytes for row in live),
        storage_bytes=sum(file.bytes for file in files) + sum(part.bytes for row in uploads for part in row.parts),
    )
