"""Whoever follows batches and shards through their lives, for people who look at single ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.shard import Claim, Duty, SegmentDraft, Settled


class Traces(Protocol):
    """Told on the event loop, a few times for each shard, never for each line. Never raises."""

    def claimed(self, claims: Sequence[Claim]) -> None:
        """These shards are in memory here."""
        ...

    def settled(self, segment: SegmentDraft, settled: Settled) -> None:
        """The store took what it admitted of these records."""
        ...

    def dropped(self, batch_id: str) -> None:
        """What is left of the batch's shards is not worked on here any more."""
        ...

    def ended(self, duty: Duty, event: BatchEvent | None) -> None:
        """The batch is final, by the event by which it was closed."""
        ...
