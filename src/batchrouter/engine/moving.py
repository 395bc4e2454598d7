"""Lines that leave their lane for the next of their chain, many in one transaction, beside the sending.

Moving lines out of a shard raises its epoch, and answers to its other lines may come at any moment. Those that were
written before the move count under the old epoch; those that wait to be written get the new one; so the journal of the
batch writes nothing while the move is under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from batchrouter.domain.shard import LaneKey, Move
from batchrouter.engine.fault import told
from batchrouter.engine.held import BatchRun, Held
from batchrouter.engine.journal import Journal
from batchrouter.errors import StaleLease
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)

COLLECT_S = 0.1
"""How long lines are gathered for one transaction."""
RETRY_FIRST_S, RETRY_MAX_S = 0.5, 10.0


class Mover:
    """Belongs to the event loop. `on_moved(batch)` is told after each transaction."""

    def __init__(
        self,
        ledger: Ledger,
        calls: Calls,
        clock: Clock,
        journal: Journal,
        worker: str,
        on_moved: Callable[[BatchRun], None],
    ) -> None:
        self._ledger = ledger
        self._calls = calls
        self._clock = clock
        self._journal = journal
        self._worker = worker
        self._on_moved = on_moved
        self._leaving: dict[BatchRun, dict[tuple[Held, LaneKey], int]] = {}
        self._task: asyncio.Task[None] | None = None
        self._moving: BatchRun | None = None
        self._stopping = False

    def move(self, held: Held, place: int, lane: LaneKey) -> None:
        """That line goes to `lane`; its own lane has it nowhere any more. There it is as new, without its tries."""
        leaving = self._leaving.setdefault(held.batch, {})
        leaving[held, lane] = leaving.get((held, lane), 0) | 1 << place
        if self._task is None and not self._stopping:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def moves(self, batch: BatchRun) -> bool:
        """Whether lines of it are on their way."""
        return batch is self._moving or batch in self._leaving

    def drop(self, batch: BatchRun) -> None:
        self._leaving.pop(batch, None)

    async def aclose(self) -> None:
        """Give up what is under way (after the journal's `drain_all` no move is); what has not been moved stays in its
        lane."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while self._leaving:
                await self._clock.sleep(COLLECT_S)
                for batch in list(self._leaving):
                    leaving = self._leaving.pop(batch, None)
                    if leaving is not None:
                        await self._move(batch, leaving)
        except Exception as error:  # of ours: the lines wait in the store until the next start
            log.error("lines could not change their lane: %s", told(error))
        finally:
            self._task = None

    async def _move(self, batch: BatchRun, leaving: dict[tuple[Held, LaneKey], int]) -> None:
        epochs: dict[int, int] = {}
        self._moving = batch
        try:
            await self._journal.hold(batch.id)
            moves = [
                Move(shard_id=held.shard_id, epoch=held.epoch, members=places, lane=lane)
                for (held, lane), places in leaving.items()
            ]
            told_epochs = await self._write(batch, moves)
            if told_epochs is None:
                return
            for (held, _), epoch in zip(leaving, told_epochs, strict=True):
                held.epoch = epochs[held.shard_id] = epoch
        finally:
            self._moving = None
            self._journal.go_on(batch.id, epochs)
        batch.open -= sum(places.bit_count() for places in leaving.values())
        self._on_moved(batch)

    async def _write(self, batch: BatchRun, moves: list[Move]) -> list[int] | None:
        """The epochs under which the old shards go on, one a move. None: they are not ours any more, because the batch
        closes or the lease has ended; whoever saw to that has its lines dropped here too."""
        wait_s = RETRY_FIRST_S
        in_doubt = False
        while True:
            try:
                claims = await self._calls.write(self._ledger.move, self._worker, moves, self._clock.unix_ms())
            except StaleLease as error:
                if in_doubt:  # an earlier try was carried out, though nobody was told: it raised each epoch by one
                    return [move.epoch + 1 for move in moves]
                log.warning("%d moves of %s were refused: %s", len(moves), batch.id, told(error))
                return None
            except Exception as error:
                log.error("lines of %s could not change their lane (%s); trying again", batch.id, told(error))
            else:
                return [claim.epoch for claim in claims]
            in_doubt = True
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_MAX_S)
            if batch.dropped or self._stopping:
                return None
