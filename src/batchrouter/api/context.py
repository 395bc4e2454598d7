"""What every handler is given, and the gate that closes when the server stops."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate

from batchrouter.api.settings import ApiSettings, ModelInfo, StaticKey
from batchrouter.service.service import Service

Models = Callable[[], Awaitable[Sequence[ModelInfo]]]


@dataclass(slots=True)
class Gate:
    """`closing`: no new work is taken."""

    closing: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    service: Service
    models: Models
    settings: ApiSettings
    gate: Gate = field(default_factory=Gate)
    static_keys: tuple[tuple[bytes, StaticKey], ...] = ()
    """Keys beside the SHA-256 of their secrets."""

    def signature(self) -> dict[str, str]:
        """Headers that every reply has: an id that the log knows it by, and the date."""
        service = self.service
        return {
            "x-request-id": f"req_{service.chance.hex(32)}",
            "date": formatdate(service.clock.unix_ms() // 1000, usegmt=True),
        }

    @classmethod
    def of(cls, service: Service, models: Models, settings: ApiSettings) -> Context:
        keys = tuple((hashlib.sha256(key.secret.encode()).digest(), key) for key in settings.static_keys)
        return cls(service, models, settings, static_keys=keys)
