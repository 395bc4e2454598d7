"""Batches at work here of which nothing more is sent for a while: what is finished of them cannot be written, or a
person has paused them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from batchrouter.engine.held import BatchRun
from batchrouter.engine.journal import Journal
from batchrouter.engine.lane_runner import LaneRunner
from batchrouter.engine.moving import Mover


class Halts:
    """`let_go` forgets a batch here and sees to it that its shards go back."""

    def __init__(
        self,
        batches: Mapping[str, BatchRun],
        lanes: Callable[[], Iterable[LaneRunner]],
        journal: Callable[[], Journal],
        mover: Callable[[], Mover],
        let_go: Callable[[str], None],
    ) -> None:
        self._batches = batches
        self._lanes = lanes
        self._journal = journal
        self._mover = mover
        self._let_go = let_go

    def on_stuck(self, batch_id: str, stuck: bool) -> None:
        batch = self._batches.get(batch_id)
        if batch is not None:
            batch.stuck = stuck
            self._halt(batch)

    def hear_paused(self, paused: Collection[str]) -> None:
        """Which batches people have paused. Once none of their calls is under way, and what those brought is written
        down, they are let go."""
        for batch in list(self._batches.values()):
            if batch.paused is not (batch.id in paused):
                batch.paused = not batch.paused
                self._halt(batch)
            if batch.paused and self._rests(batch):
                self._let_go(batch.id)

    def _halt(self, batch: BatchRun) -> None:
        """It is to be sent no more, or again."""
        for runner in self._lanes():
            if batch.halted:
                runner.hold_back(batch.id)
            else:
                runner.pump()

    def _rests(self, batch: BatchRun) -> bool:
        """Whether nothing of it is under way here, though it may have lines."""
        flying = any(runner.in_flight_of(batch.id) for runner in self._lanes())
        return not (flying or self._journal().holds(batch.id) or self._mover().moves(batch))
