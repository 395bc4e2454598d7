"""The seam to whoever knows what models cost."""

from __future__ import annotations

from typing import Protocol

from batchrouter.domain.cost import RateCard
from batchrouter.domain.shard import LaneKey


class Prices(Protocol):
    async def card(self, key: LaneKey) -> RateCard | None:
        """The lane's prices now, in its mode; None: unknown. Never raises; a repeat is quick."""
        ...
