"""Files and uploads as people see them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from batchrouter.domain.lifecycle import UploadState


class FileRole(StrEnum):
    """Where the bytes are: in a blob of the file's own, or spread over a batch's segments and runs."""

    UPLOADED = "uploaded"
    OUTPUT = "output"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Times are unix milliseconds. `lines` is known for indexed files (purpose batch) and for a batch's own files.

    `blob_key` and `index_key` belong to UPLOADED files, `batch_id` to the others. `index_key` is None when the
    purpose is not `batch`.
    """

    id: str
    seq: int = 0
    tenant_id: str
    role: FileRole = FileRole.UPLOADED
    purpose: str
    filename: str
    bytes: int
    lines: int | None = None
    created_ms: int
    expires_ms: int | None = None
    blob_key: str | None = None
    index_key: str | None = None
    batch_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    id: str
    tenant_id: str
    state: UploadState
    filename: str
    purpose: str
    mime_type: str
    bytes: int
    created_ms: int
    expires_ms: int
    file_expires_after_s: int | None = None
    file_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPart:
    id: str
    upload_id: str
    bytes: int
    blob_key: str
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRef:
    """A segment as its row tells: `data` holds a small one whole, else `blob_key` names it. `length` is of the whole
    segment; `admitted` marks the records that counted, by their place in the segment."""

    seq: int
    length: int
    count: int
    admitted: int
    blob_key: str | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeSpan:
    """One range's part of an output or error file, in input order.

    `run_key` names the folded run that has it, from its byte `run_at`, where there is one (None with `length` 0 means
    an empty part); before folding
    the part is made from `segment_seqs`, whose rows `Catalog.segments` tells.
    """

    range_no: int
    first_line: int
    lines: int
    length: int
    run_key: str | None
    segment_seqs: tuple[int, ...]
    run_at: int = 0
