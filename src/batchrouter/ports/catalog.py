"""People's side of the store: files, uploads, batches, keys. Everything is scoped to a tenant.

Every verb is one transaction. What belongs to another tenant is not there: `None`, never a different error. Calls are
synchronous; the service runs them in threads of its own. Lists are cut at `limit` and fetched in short reads, so that a
long list never holds up the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from batchrouter.domain.batch import Batch, Event, LaneShare, NewBatch
from batchrouter.domain.batch_filter import EVERY, BatchFilter
from batchrouter.domain.file import File, RangeSpan, SegmentRef, Upload, UploadPart
from batchrouter.domain.job import Job
from batchrouter.domain.lifecycle import UploadEvent
from batchrouter.domain.quota import Usage
from batchrouter.domain.tenant import ApiKey, Quotas, Tenant

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`more`: there are rows beyond the last of `rows`."""

    rows: tuple[T, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Created:
    """`fresh` false: a repeat, `batch` is the one already made. `conflict`: the idempotency key was used with another
    body, and nothing was made."""

    batch: Batch | None
    fresh: bool
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class Completed:
    """`file` None: the upload was no longer pending, `upload` tells what it is now."""

    upload: Upload
    file: File | None


class Catalog(Protocol):
    # --- keys and tenants -----------------------------------------------------------------------------------------

    def add_tenant(self, tenant: Tenant) -> Tenant:
        """Insert; where one of that name exists, its weight and quotas are changed and it is returned."""
        ...

    def tenants(self) -> list[Tenant]: ...

    def add_key(self, key: ApiKey, digest: str, *, first: bool = False) -> bool:
        """`digest`: lower-case hex SHA-256 of the whole key. The tenant must exist. `first`: only where no key is
        valid, else nothing is changed and it is False; of several that come at once, over all processes, one is."""
        ...

    def keys(self, tenant_id: str | None) -> list[ApiKey]:
        """Newest first, revoked ones included; None: of all tenants."""
        ...

    def revoke_key(self, key_id: str, now_ms: int) -> ApiKey | None:
        """None: no such key. A repeat keeps the first time."""
        ...

    def key_by_digest(self, digest: str) -> ApiKey | None:
        """Revoked keys are not found."""
        ...

    def quotas(self, tenant_id: str) -> Quotas:
        """None of them for a tenant that does not exist."""
        ...

    def usage(self, tenant_id: str) -> Usage: ...

    def take_requests(self, tenant_id: str, minute: int, want: int, most: int) -> int:
        """Take up to `want` of the `most` requests that the tenant has in this unix minute, over all processes;
        returns how many were taken, 0 when none is left. What was taken is never given back; minutes before the last
        are forgotten."""
        ...

    # --- files ----------------------------------------------------------------------------------------------------

    def add_file(self, file: File) -> File:
        """Insert; returns it with its `seq`. Raises `QuotaExceeded` when the tenant may not keep so many bytes."""
        ...

    def file(self, tenant_id: str, file_id: str, now_ms: int) -> File | None:
        """None for a file that is unknown, deleted, or past its `expires_ms`."""
        ...

    def files(
        self, tenant_id: str, *, after: str | None, limit: int, descending: bool, purpose: str | None, now_ms: int
    ) -> Page[File] | None:
        """By creation. None: `after` names no file of the tenant (deleted ones still hold their place)."""
        ...

    def delete_file(self, tenant_id: str, file_id: str, now_ms: int) -> bool:
        """False: it was not there. The bytes go later, and not before the batches that read them are final."""
        ...

    def manifest(self, file: File, after: int, limit: int) -> list[RangeSpan]:
        """Parts of an output or error file with `range_no` > `after`, in order, at most `limit`."""
        ...

    def segments(self, batch_id: str, seqs: Sequence[int]) -> list[SegmentRef]:
        """As `Ledger.segments`."""
        ...

    # --- uploads --------------------------------------------------------------------------------------------------

    def add_upload(self, upload: Upload) -> None: ...

    def upload(self, tenant_id: str, upload_id: str, now_ms: int) -> Upload | None:
        """An upload past its time reads `expired`, whether or not the sweeper has seen it."""
        ...

    def add_part(self, tenant_id: str, part: UploadPart, now_ms: int) -> Upload | None:
        """Add a part if the upload is pending; returns the upload as it is (its state tells whether the part was
        taken), None when there is none. Raises `QuotaExceeded` as `add_file` does."""
        ...

    def parts(self, upload_id: str) -> list[UploadPart]:
        """In order of arrival."""
        ...

    def end_upload(
        self, tenant_id: str, upload_id: str, event: UploadEvent, file: File | None, now_ms: int
    ) -> Completed | None:
        """COMPLETE with its file, or CANCEL, by the upload table, atomically; part blobs become garbage. None: no such
        upload. Raises `QuotaExceeded` as `add_file` does; the upload is then still pending."""
        ...

    # --- batches --------------------------------------------------------------------------------------------------

    def create_batch(self, new: NewBatch, *, now_ms: int) -> Created:
        """Insert in `validating`, with the input's blob noted so that it stays until the batch is final; idempotent:

        - same tenant, route and `idempotency_key` within 24 h: the same batch, or `conflict` if `body_hash` differs;
        - no key, `resent`, same `api_key_id` and `body_hash` within 15 min: the batch already made.

        An input file that does not exist (or has no index) still makes a batch: validation will refuse it. Raises
        `QuotaExceeded` for what is no repeat, when the tenant's batches that are not final would have too many lines
        or bytes with it; of two that come at once and do not fit together, one is refused. Raises `SourceUnusable` for
        what is no repeat when answers of `retry_of` or `resume_from` cannot be kept; once it is made, their bytes stay
        until they are copied, whatever happens to the files."""
        ...

    def batch(self, tenant_id: str, batch_id: str) -> Batch | None: ...

    def batches(
        self, tenant_id: str | None, *, after: str | None, limit: int, wanted: BatchFilter = EVERY
    ) -> Page[Batch] | None:
        """Newest first; None: of all tenants. None is told when `after` names no batch of the tenant; that batch
        itself need not be wanted."""
        ...

    def cancel_batch(self, tenant_id: str, batch_id: str, now_ms: int) -> Batch | None:
        """Set `cancelling` where the table allows it; else nothing changes. Returns the batch as it is now."""
        ...

    def pause_batch(self, tenant_id: str, batch_id: str, now_ms: int, *, paused: bool) -> Batch | None:
        """Nothing more of it is to be sent, or it goes on, with an event (`batch.paused`, `batch.resumed`) and its
        jobs due. Nothing changes where it is so already, or where the batch is neither `validating` nor `in_progress`;
        a batch that begins to close is no longer paused. Returns the batch as it is now."""
        ...

    def lane_shares(self, batch_id: str) -> list[LaneShare]:
        """By lane; empty before planning."""
        ...

    def jobs(self, batch_id: str) -> list[Job]:
        """The batch's native jobs, oldest first; empty once its rows are gone."""
        ...

    def events(self, batch_id: str, after: int, limit: int) -> list[Event]:
        """Events with `no` > `after`, ascending."""
        ...
