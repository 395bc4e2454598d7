"""The objects of the wire, as they are sent. Members are in OpenAI's order; ours and FastRouter's come last.

Nulls are written out, as OpenAI does; `UNSET` marks what only some replies have.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from batchrouter.api.settings import ModelInfo
from batchrouter.domain.file import File, Upload, UploadPart
from batchrouter.domain.quota import Usage
from batchrouter.domain.tenant import ApiKey, Tenant


class ErrorDetail(Struct):
    message: str
    type: str
    param: str | None
    code: str | None
    status: int


class ErrorObject(Struct):
    error: ErrorDetail


class FileObject(Struct):
    """`file_id`, `num_rows` and `url` are FastRouter's; `num_rows` is null where the lines were not counted."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["processed"]
    status_details: None
    file_id: str
    num_rows: int | None
    url: str


class FileList(Struct):
    object: Literal["list"]
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Struct):
    id: str
    object: Literal["file"]
    deleted: Literal[True]


class UploadObject(Struct):
    id: str
    object: Literal["upload"]
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    expires_at: int
    file: FileObject | None


class PartObject(Struct):
    id: str
    object: Literal["upload.part"]
    created_at: int
    upload_id: str


class ModelObject(Struct):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Struct):
    object: Literal["list"]
    data: list[ModelObject]


class KeyObject(Struct):
    """`secret` is in the reply that makes the key, and nowhere else."""

    id: str
    object: Literal["api_key"]
    tenant: str
    role: Literal["user", "admin"]
    label: str
    tail: str
    created_at: int
    revoked_at: int | None
    secret: str | UnsetType = UNSET


class KeyList(Struct):
    object: Literal["list"]
    data: list[KeyObject]


class CallerObject(Struct):
    """Who asks. `tenant` is the one that an admin acts for; `label` is empty for keys from the environment."""

    id: str
    object: Literal["caller"]
    role: Literal["user", "admin"]
    tenant: str
    label: str
    version: str


class QuotasObject(Struct):
    """What the tenant may have at once; null: as much as it likes."""

    max_in_flight: int | None
    max_lines: int | None
    max_bytes: int | None
    max_storage_bytes: int | None
    max_requests: int | None


class UsageObject(Struct):
    """What the tenant has: lines and bytes of batches that have not ended, bytes of stored files."""

    lines: int
    bytes: int
    storage_bytes: int


class TenantObject(Struct):
    id: str
    object: Literal["tenant"]
    name: str
    weight: int
    created_at: int
    quotas: QuotasObject
    usage: UsageObject | UnsetType = UNSET


class TenantList(Struct):
    object: Literal["list"]
    data: list[TenantObject]


class Health(Struct):
    status: Literal["ok", "stopping", "not_ready"]
    reason: str | UnsetType = UNSET
    """Why it is not ready."""


def file_object(file: File, base_url: str) -> FileObject:
    """`base_url` is where the API was asked, up to and including `/v1`."""
    return FileObject(
        id=file.id,
        object="file",
        bytes=file.bytes,
        created_at=file.created_ms // 1000,
        expires_at=seconds(file.expires_ms),
        filename=file.filename,
        purpose=file.purpose,
        status="processed",
        status_details=None,
        file_id=file.id,
        num_rows=file.lines,
        url=f"{base_url}/files/{file.id}/content",
    )


def upload_object(upload: Upload, file: FileObject | None) -> UploadObject:
    return UploadObject(
        id=upload.id,
        object="upload",
        bytes=upload.bytes,
        created_at=upload.created_ms // 1000,
        filename=upload.filename,
        purpose=upload.purpose,
        status=upload.state.value,
        expires_at=upload.expires_ms // 1000,
        file=file,
    )


def part_object(part: UploadPart) -> PartObject:
    return PartObject(id=part.id, object="upload.part", created_at=part.created_ms // 1000, upload_id=part.upload_id)


def model_object(model: ModelInfo) -> ModelObject:
    return ModelObject(id=model.id, object="model", created=model.created_s, owned_by=model.provider)


def key_object(key: ApiKey, tenant: str, secret: str | UnsetType = UNSET) -> KeyObject:
    return KeyObject(
        id=key.id,
        object="api_key",
        tenant=tenant,
        role=key.role.value,
        label=key.label,
        tail=key.tail,
        created_at=key.created_ms // 1000,
        revoked_at=seconds(key.revoked_ms),
        secret=secret,
    )


def tenant_object(tenant: Tenant, usage: Usage | None = None) -> TenantObject:
    return TenantObject(
        id=tenant.id,
        object="tenant",
        name=tenant.name,
        weight=tenant.weight,
        created_at=tenant.created_ms // 1000,
        quotas=QuotasObject(**asdict(tenant.quotas)),
        usage=UNSET if usage is None else UsageObject(**asdict(usage)),
    )


def seconds(ms: int | None) -> int | None:
    """Times of the wire are whole seconds."""
    return None if ms is None else ms // 1000
