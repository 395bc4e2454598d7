"""Rows and the domain's records, one into the other. Each `*_of` reads the columns of its `*_COLUMNS`, in their order:
by place, because a name costs a lookup for each value and lists are long.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa

from batchrouter.adapters.sql.schema import (
    api_keys,
    batches,
    files,
    jobs,
    lanes,
    segments,
    tenants,
    upload_parts,
    uploads,
)
from batchrouter.domain import bitmap
from batchrouter.domain.batch import Batch, BatchError
from batchrouter.domain.file import File, FileRole, SegmentRef, Upload, UploadPart
from batchrouter.domain.job import Job
from batchrouter.domain.lifecycle import BatchEvent, BatchState, JobState, UploadEvent, UploadState, upload_step
from batchrouter.domain.priority import Priority
from batchrouter.domain.shard import Lane, LaneKey, LaneMode
from batchrouter.domain.tenant import ApiKey, Quotas, Role, Tenant
from batchrouter.domain.tokens import Tokens

Row: TypeAlias = sa.Row[*tuple[Any, ...]]


def _columns(table: sa.Table, *names: str) -> tuple[sa.Column[Any], ...]:
    return tuple(table.c[name] for name in names)


# --- values ---------------------------------------------------------------------------------------------------------

_errors_in = msgspec.json.Decoder(tuple[BatchError, ...])


def to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def seqs_to_bytes(seqs: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(seqs)}I", *seqs)


def seqs_of(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data)


# --- tenants and keys -----------------------------------------------------------------------------------------------

QUOTA_NAMES = tuple(field.name for field in fields(Quotas))
TENANT_COLUMNS = _columns(tenants, "id", "name", "weight", "created_ms", *QUOTA_NAMES)
KEY_COLUMNS = _columns(api_keys, "id", "tenant_id", "role", "label", "tail", "created_ms", "revoked_ms")


def tenant_of(row: Row) -> Tenant:
    id_, name, weight, created_ms, *quotas = row
    told = Quotas(**dict(zip(QUOTA_NAMES, quotas, strict=True)))
    return Tenant(id=id_, name=name, weight=weight, created_ms=created_ms, quotas=told)


def key_of(row: Row) -> ApiKey:
    id_, tenant_id, role, label, tail, created_ms, revoked_ms = row
    return ApiKey(
        id=id_,
        tenant_id=tenant_id,
        role=Role(role),
        label=label,
        tail=tail,
        created_ms=created_ms,
        revoked_ms=revoked_ms,
    )


# --- files and uploads ----------------------------------------------------------------------------------------------

FILE_COLUMNS = _columns(
    files, "id", "seq", "tenant_id", "role", "purpose", "filename", "bytes", "lines", "created_ms", "expires_ms",
    "blob_key", "index_key", "batch_id",
)  # fmt: skip
UPLOAD_COLUMNS = _columns(
    uploads, "id", "tenant_id", "state", "filename", "purpose", "mime_type", "bytes", "created_ms", "expires_ms",
    "file_expires_after_s", "file_id",
)  # fmt: skip
PART_COLUMNS = _columns(upload_parts, "id", "upload_id", "bytes", "blob_key", "created_ms")
SEGMENT_COLUMNS = _columns(segments, "seq", "length", "count", "admitted", "blob_key", "data")


def file_of(row: Row) -> File:
    (id_, seq, tenant_id, role, purpose, filename, size, lines, created_ms, expires_ms, blob_key, index_key, batch) = (
        row
    )
    return File(
        id=id_,
        seq=seq,
        tenant_id=tenant_id,
        role=FileRole(role),
        purpose=purpose,
        filename=filename,
        bytes=size,
        lines=lines,
        created_ms=created_ms,
        expires_ms=expires_ms,
        blob_key=blob_key,
        index_key=index_key,
        batch_id=batch,
    )


def file_values(file: File) -> dict[str, Any]:
    """All but `seq`, which the store gives."""
    return {column.name: getattr(file, column.name) for column in FILE_COLUMNS if column.name != "seq"}


def upload_of(row: Row, now_ms: int | None) -> Upload:
    """The upload as it reads at `now_ms`: past its time it is expired, though nobody has written so yet."""
    id_, tenant_id, state, filename, purpose, mime_type, size, created_ms, expires_ms, expires_after_s, file_id = row
    shown = UploadState(state)
    if now_ms is not None and shown is UploadState.PENDING and expires_ms <= now_ms:
        shown = upload_step(shown, UploadEvent.EXPIRE)
    return Upload(
        id=id_,
        tenant_id=tenant_id,
        state=shown,
        filename=filename,
        purpose=purpose,
        mime_type=mime_type,
        bytes=size,
        created_ms=created_ms,
        expires_ms=expires_ms,
        file_expires_after_s=expires_after_s,
        file_id=file_id,
    )


def part_of(row: Row) -> UploadPart:
    id_, upload_id, size, blob_key, created_ms = row
    return UploadPart(id=id_, upload_id=upload_id, bytes=size, blob_key=blob_key, created_ms=created_ms)


def segment_of(row: Row) -> SegmentRef:
    seq, length, count, admitted, blob_key, data = row
    return SegmentRef(
        seq=seq,
        length=length,
        count=count,
        admitted=bitmap.from_bytes(admitted),
        blob_key=blob_key,
        data=data,
    )


# --- batches and lanes ----------------------------------------------------------------------------------------------

_TIMES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
BATCH_COLUMNS = _columns(
    batches, "id", "seq", "tenant_id", "state", "closing", "endpoint", "completion_window", "input_file_id", "metadata",
    "output_expires_after_s", "model", "total", "completed", "failed", "tokens_input", "tokens_cached",
    "tokens_output", "tokens_reasoning", "errors", "output_file_id", "error_file_id", "created_ms", "expires_ms",
    "retry_of", "cost_nano", "unpriced", "max_cost_nano", "priority", "resume_from", "dedupe", "paused_ms",
    "invalid_output", "reused", *(f"{name}_ms" for name in _TIMES),
)  # fmt: skip
LANE_COLUMNS = _columns(lanes, "id", "provider", "model", "pool", "mode", "state", "reason", "until_ms", "limit")


JOB_COLUMNS = _columns(
    jobs, "id", "lane_id", "state", "lines", "tokens", "bytes", "created_ms", "next_ms", "sent_ms", "submitted_ms",
    "cancelling_ms", "ended_ms", "ext_id", "completed", "failed", "polls", "tries", "twice", "reason", "data",
)  # fmt: skip


def batch_of(row: Sequence[Any]) -> Batch:
    (id_, seq, tenant_id, state, closing, endpoint, window, input_file_id, metadata, output_expires_after_s, model,
     total, completed, failed, t_input, t_cached, t_output, t_reasoning, errors, output_file_id, error_file_id,
     created_ms, expires_ms, retry_of, cost_nano, unpriced, max_cost_nano, priority, resume_from, dedupe, paused_ms,
     invalid_output, reused, in_progress_ms, finalizing_ms,
     completed_ms, failed_ms, expired_ms, cancelling_ms, cancelled_ms) = row  # fmt: skip
    return Batch(
        id=id_,
        seq=seq,
        tenant_id=tenant_id,
        state=BatchState(state),
        closing=None if closing is None else BatchEvent(closing),
        endpoint=endpoint,
        completion_window=window,
        input_file_id=input_file_id,
        metadata=None if metadata is None else msgspec.json.decode(metadata),
        output_expires_after_s=output_expires_after_s,
        model=model,
        total=total,
        completed=completed,
        failed=failed,
        tokens=Tokens(t_input, t_cached, t_output, t_reasoning),
        cost_nano=cost_nano,
        unpriced=unpriced,
        max_cost_nano=max_cost_nano,
        priority=Priority(priority),
        errors=() if errors is None else _errors_in.decode(errors),
        output_file_id=output_file_id,
        error_file_id=error_file_id,
        created_ms=created_ms,
        expires_ms=expires_ms,
        in_progress_ms=in_progress_ms,
        finalizing_ms=finalizing_ms,
        completed_ms=completed_ms,
        failed_ms=failed_ms,
        expired_ms=expired_ms,
        cancelling_ms=cancelling_ms,
        cancelled_ms=cancelled_ms,
        retry_of=retry_of,
        resume_from=resume_from,
        dedupe=bool(dedupe),
        paused_ms=paused_ms,
        invalid_output=invalid_output,
        reused=reused,
    )


def retry_of_text(text: str | None) -> dict[str, Any] | None:
    """The column `retry`."""
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])


def lane_of(row: Sequence[Any]) -> Lane:
    id_, provider, model, pool, mode, state, reason, until_ms, limit = row
    key = LaneKey(provider, model, pool, LaneMode(mode))
    return Lane(id=id_, key=key, state=state, reason=reason, until_ms=until_ms, limit=limit)


def job_of(batch_id: str, row: Sequence[Any]) -> Job:
    """Of a row that begins with `JOB_COLUMNS`."""
    (id_, lane_id, state, lines, tokens, size, created_ms, next_ms, sent_ms, submitted_ms, cancelling_ms, ended_ms,
     ext_id, completed, failed, polls, tries, twice, reason, data) = row[: len(JOB_COLUMNS)]  # fmt: skip
    return Job(
        id=id_,
        batch_id=batch_id,
        lane_id=lane_id,
        state=JobState(state),
        lines=lines,
        tokens=tokens,
        bytes=size,
        created_ms=created_ms,
        next_ms=next_ms,
        sent_ms=sent_ms,
        submitted_ms=submitted_ms,
        cancelling_ms=cancelling_ms,
        ended_ms=ended_ms,
        ext_id=ext_id,
        completed=completed,
        failed=failed,
        polls=polls,
        tries=tries,
        twice=twice,
        reason=reason,
        data=msgspec.json.decode(data),
    )


def job_values(batch_seq: int, job: Job) -> dict[str, Any]:
    values = {column.name: getattr(job, column.name) for column in JOB_COLUMNS}
    return values | {"batch_seq": batch_seq, "data": to_json(job.data)}
