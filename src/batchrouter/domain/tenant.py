"""Tenants and their API keys."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_TENANT = "default"


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """`weight` is the tenant's share of every lane that several tenants want, against the weights of the others."""

    id: str
    name: str
    weight: int
    created_ms: int


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
