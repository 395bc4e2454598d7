"""The objects of the wire, as they are sent. Members are in OpenAI's order; ours and FastRouter's come last.

Nulls are written out, as OpenAI does; `UNSET` marks what only some replies have.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from batchrouter.api.settings import ModelInfo
from batchrouter.domain.batch import Batch, LaneShare
from batchrouter.domain.file import File, Upload, UploadPart
from batchrouter.domain.tenant import ApiKey, Tenant
from batchrouter.domain.tokens import Tokens
from batchrouter.service.batches import BatchView

BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]


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


class BatchErrorObject(Struct):
    code: str
    message: str
    param: str | None
    line: int | None


class BatchErrorList(Struct):
    object: Literal["list"]
    data: list[BatchErrorObject]


class RequestCounts(Struct):
    total: int
    completed: int
    failed: int


class InputDetails(Struct):
    cached_tokens: int


class OutputDetails(Struct):
    reasoning_tokens: int


class Usage(Struct):
    """`cost` is FastRouter's; null until prices are known."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int
    cost: float | None


class LaneObject(Struct):
    """One lane's part of a batch: counts of lines, and why the lane waits and until when (unix seconds)."""

    provider: str
    model: str
    state: str
    waiting: int
    in_flight: int
    retrying: int
    done: int
    limit: int | None
    reason: str | None
    until: int | None


class Extension(Struct):
    """What OpenAI's object has no place for. `closing`: why the batch ends or ended (complete, expire, cancel).
    `lanes` is not in lists."""

    closing: str | None
    lanes: list[LaneObject] | UnsetType = UNSET


class BatchObject(Struct):
    """`batch_id` is FastRouter's."""

    id: str
    object: Literal["batch"]
    endpoint: str
    model: str | None
    errors: BatchErrorList | None
    input_file_id: str
    completion_window: str
    status: BatchStatus
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: Usage
    metadata: dict[str, str] | None
    batch_id: str
    batchrouter: Extension


class BatchList(Struct):
    object: Literal["list"]
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


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


class TenantObject(Struct):
    id: str
    object: Literal["tenant"]
    name: str
    weight: int
    created_at: int


class TenantList(Struct):
    object: Literal["list"]
    data: list[TenantObject]


class Health(Struct):
    status: Literal["ok", "stopping"]


def file_object(file: File, base_url: str) -> FileObject:
    """`base_url` is where the API was asked, up to and including `/v1`."""
    return FileObject(
        id=file.id,
        object="file",
        bytes=file.bytes,
        created_at=file.created_ms // 1000,
        expires_at=_seconds(file.expires_ms),
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


def batch_object(view: BatchView) -> BatchObject:
    batch = view.batch
    return BatchObject(
        id=batch.id,
        object="batch",
        endpoint=batch.endpoint,
        model=batch.model,
        errors=_errors(batch),
        input_file_id=batch.input_file_id,
        completion_window=batch.completion_window,
        status=batch.state.value,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        created_at=batch.created_ms // 1000,
        in_progress_at=_seconds(batch.in_progress_ms),
        expires_at=batch.expires_ms // 1000,
        finalizing_at=_seconds(batch.finalizing_ms),
        completed_at=_seconds(batch.completed_ms),
        failed_at=_seconds(batch.failed_ms),
        expired_at=_seconds(batch.expired_ms),
        cancelling_at=_seconds(batch.cancelling_ms),
        cancelled_at=_seconds(batch.cancelled_ms),
        request_counts=RequestCounts(batch.total, batch.completed, batch.failed),
        usage=_usage(batch.tokens),
        metadata=None if batch.metadata is None else dict(batch.metadata),
        batch_id=batch.id,
        batchrouter=Extension(
            closing=batch.closing,
            lanes=UNSET if view.lanes is None else [_lane(share) for share in view.lanes],
        ),
    )


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
        revoked_at=_seconds(key.revoked_ms),
        secret=secret,
    )


def tenant_object(tenant: Tenant) -> TenantObject:
    return TenantObject(
        id=tenant.id, object="tenant", name=tenant.name, weight=tenant.weight, created_at=tenant.created_ms // 1000
    )


def _errors(batch: Batch) -> BatchErrorList | None:
    if not batch.errors:
        return None
    return BatchErrorList(
        "list", [BatchErrorObject(error.code, error.message, error.param, error.line) for error in batch.errors]
    )


def _usage(tokens: Tokens) -> Usage:
    return Usage(
        input_tokens=tokens.input,
        input_tokens_details=InputDetails(tokens.cached),
        output_tokens=tokens.output,
        output_tokens_details=OutputDetails(tokens.reasoning),
        total_tokens=tokens.input + tokens.output,
        cost=None,
    )


def _lane(share: LaneShare) -> LaneObject:
    return LaneObject(
        provider=share.provider,
        model=share.model,
        state=share.state,
        waiting=share.waiting,
        in_flight=share.in_flight,
        retrying=share.retrying,
        done=share.done,
        limit=share.limit,
        reason=share.reason,
        until=_seconds(share.until_ms),
    )


def _seconds(ms: int | None) -> int | None:
    return None if ms is None else ms // 1000
