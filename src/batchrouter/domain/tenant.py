"""Tenants and their API keys."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_TENANT = "default"


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """What a tenant may have at once; None: no bound.

    `max_in_flight`: calls to upstreams, over all lanes and workers. `max_lines` and `max_bytes`: of its batches that
    are not final, those lines that are done included. `max_storage_bytes`: of its files, answers and parts of uploads
    included. `max_requests`: to the API in one minute.
    """

    max_in_flight: int | None = None
    max_lines: int | None = None
    max_bytes: int | None = None
    max_storage_bytes: int | None = None
    max_requests: int | None = None


UNBOUND = Quotas()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """`weight` is the tenant's share of every lane that several tenants want, against the weights of the others."""

    id: str
    name: str
    weight: int
    created_ms: int
    quotas: Quotas = UNBOUND


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Only the SHA-256 of a key is kept; `tail` is its last four characters, for people to tell keys apart."""

    id: str
    tenant_id: str
    role: Role
    label: str
    tail: str
    created_ms: int
    revoked_ms: int | None = None
