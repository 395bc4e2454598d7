"""The seam to whoever knows what models cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from batchrouter.domain.cost import RateCard
from batchrouter.domain.shard import LaneKey


class Prices(Protocol):
    async def cards(self, keys: Sequence[LaneKey]) -> list[RateCard | None]:
        """The lanes' prices now, each in its mode; None: unknown. Never raises; a repeat is quick."""
        ...
