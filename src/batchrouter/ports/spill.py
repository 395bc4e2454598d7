"""Where finished answers wait that the database or the blob store does not take at the moment.

On this machine, in a place of its own, so that they survive the process. What a process kept is its own for as long as
it lives; then the next one that starts here takes it over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from batchrouter.domain.shard import SegmentDraft


class Kept(NamedTuple):
    """A segment as it was kept: what `worker` would have settled, without `data`, and all its bytes."""

    worker: str
    draft: SegmentDraft
    body: bytes


class Spill(Protocol):
    async def keep(self, worker: str, draft: SegmentDraft, parts: Sequence[bytes]) -> str:
        """Keep a segment, whose bytes are `parts`, records and tail included; returns a name for it. When this returns
        the segment survives the process and a loss of power. Raises `SpillError` when there is no room, and nothing of
        it is left. The draft's `data` and `duty_epoch` are not kept."""
        ...

    async def load(self, name: str) -> Kept:
        """Raises `SpillError` for what is not there, and for what is damaged: that is set aside for people to look at,
        and told in the log."""
        ...

    async def drop(self, name: str) -> None:
        """It is needed no more. A repeat changes nothing."""
        ...

    async def left_behind(self) -> list[str]:
        """Names of all that dead processes kept here, in the order in which each kept it; from now on they are this
        process's. What living ones keep is left alone. A repeat tells only what came since. Raises `SpillError`."""
        ...
