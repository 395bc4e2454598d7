"""What a tenant's quotas leave room for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from batchrouter.domain.tenant import Quotas


class Quota(StrEnum):
    """What is bounded, in the words that people are told."""

    LINES = "lines of batches that have not ended"
    BYTES = "bytes of batches that have not ended"
    STORAGE = "bytes of stored files"
    REQUESTS = "requests to the API in a minute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a tenant has now, in the units of its quotas. `lines` of a batch that is not planned are its file's."""

    lines: int = 0
    bytes: int = 0
    storage_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Excess:
    """`wanted` more would make it more than `limit`; `used` is there already."""

    quota: Quota
    limit: int
    used: int
    wanted: int


def batch_excess(quotas: Quotas, used: Usage, lines: int, size: int) -> Excess | None:
    """Why a batch of so many lines and bytes may not be made now; None: it may."""
    return _excess(Quota.LINES, quotas.max_lines, used.lines, lines) or _excess(
        Quota.BYTES, quotas.max_bytes, used.bytes, size
    )


def file_excess(quotas: Quotas, used: Usage, size: int) -> Excess | None:
    """Why a file of so many bytes may not be kept now; None: it may."""
    return _excess(Quota.STORAGE, quotas.max_storage_bytes, used.storage_bytes, size)


def _excess(quota: Quota, limit: int | None, used: int, wanted: int) -> Excess | None:
    return None if limit is None or used + wanted <= limit else Excess(quota, limit, used, wanted)
