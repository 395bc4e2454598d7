"""Who asks: what authentication found out, and all that the service wants to know of it."""

from __future__ import annotations

from dataclasses import dataclass

from batchrouter.domain.tenant import Role


@dataclass(frozen=True, slots=True)
class Caller:
    tenant_id: str
    key_id: str
    role: Role
