"""What every handler is given, what the server itself needs, and the gate that closes when it stops."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate

from batchrouter.api.settings import ApiSettings, ModelInfo, StaticKey
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.meters import Meters
from batchrouter.service.service import Service

Models = Callable[[], Awaitable[Sequence[ModelInfo]]]


@dataclass(slots=True)
class Gate:
    """`closing`: no new work is taken. `on_close` is called when that begins: what waits ends."""

    closing: bool = False
    on_close: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        """On the server's loop. A repeat changes nothing."""
        if not self.closing:
            self.closing = True
            for action in self.on_close:
                action()


@dataclass(frozen=True, slots=True)
class Door:
    """What an `ApiServer` needs, whatever it serves."""

    settings: ApiSettings
    clock: Clock
    chance: Chance
    gate: Gate = field(default_factory=Gate)
    meters: Meters = field(default_factory=Meters)

    def signature(self) -> dict[str, str]:
        """Headers that every reply has: an id that the log knows it by, and the date."""
        return {
            "x-request-id": f"req_{self.chance.hex(32)}",
            "date": formatdate(self.clock.unix_ms() // 1000, usegmt=True),
        }


@dataclass(frozen=True, slots=True)
class Context:
    door: Door
    service: Service
    models: Models
    static_keys: tuple[tuple[bytes, StaticKey], ...] = ()
    """Keys beside the SHA-256 of their secrets."""

    @property
    def settings(self) -> ApiSettings:
        return self.door.settings

    @classmethod
    def of(cls, door: Door, service: Service, models: Models) -> Context:
        keys = tuple((hashlib.sha256(key.secret.encode()).digest(), key) for key in door.settings.static_keys)
        return cls(door, service, models, static_keys=keys)
