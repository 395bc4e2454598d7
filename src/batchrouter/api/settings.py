"""What the HTTP side can be told, and what it needs to know of models."""

from __future__ import annotations

from dataclasses import dataclass

from batchrouter.domain.tenant import DEFAULT_TENANT, Role


@dataclass(frozen=True, slots=True)
class StaticKey:
    """A key that is in no store: from the environment, or the data folder's own token."""

    secret: str
    role: Role = Role.USER
    tenant_id: str = DEFAULT_TENANT
    key_id: str = "static"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Times are seconds, sizes bytes.

    `header_timeout_s`: from the first byte of a request's head (or the connection) to its last. `body_timeout_s`: in
    each such time while the server waits for a body, at least `body_min_bytes` must come; else it is over (408).
    """

    version: str = "dev"
    static_keys: tuple[StaticKey, ...] = ()
    max_json_bytes: int = 1024 * 1024
    header_timeout_s: float = 30.0
    body_timeout_s: float = 60.0
    body_min_bytes: int = 4_096
    keep_alive_s: float = 75.0
    retry_after_s: int = 5
    max_connections: int = 4_096


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be named in a line; `id` is the name to use there."""

    id: str
    provider: str
    created_s: int = 0
