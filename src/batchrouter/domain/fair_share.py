"""Who is served next: which batches' shards a lane claims, and whose line takes its next free slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from batchrouter.domain.shard import WaitingGroup

QUANTUM = 8
"""Lines a batch may take in one turn, so that choosing costs little per line."""


def pick_shards(
    waiting: Sequence[WaitingGroup],
    held: Mapping[str, int],
    tenant_held: Mapping[str, int],
    room: int,
    now_ms: int,
) -> list[tuple[str, int]]:
    """(batch_id, number of shards) to claim for one lane that has room for `room` more lines, in claiming order.

    `held` is lines already held of each batch, `tenant_held` of each tenant, both in this lane.
    """
    raise NotImplementedError


class Turns:
    """Whose turn it is among the batches that have a line ready in one lane."""

    def add(self, tenant: str, weight: int, batch: str, deadline_ms: int) -> None:
        """The batch has lines ready. A second add of a batch only updates weight and deadline."""
        raise NotImplementedError

    def remove(self, batch: str) -> None:
        """The batch has no line ready now. Unknown batches are ignored."""
        raise NotImplementedError

    def next(self) -> str | None:
        """The batch to serve; the same one until `charge` or `remove`. Take up to QUANTUM lines of it, then charge."""
        raise NotImplementedError

    def charge(self, batch: str, lines: int) -> None:
        """`lines` of the batch went out."""
        raise NotImplementedError
