"""What a lane asks before it sends."""

from __future__ import annotations

from typing import Protocol


class Gate(Protocol):
    """Whether this worker may send at all: its lease holds, its journal can write, it is not stopping."""

    def may_send(self) -> bool: ...
