"""Workers and their leases in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from batchrouter.adapters.memory.state import Part, WorkerRow, atomic
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.samples import due_ms
from batchrouter.domain.settlement import NO_GAIN
from batchrouter.domain.shard import Beat, Load, Sample
from batchrouter.domain.sharing import NO_DEMANDS, Demand, Peer, batch_of_gate

OPEN = frozenset({BatchState.VALIDATING, BatchState.IN_PROGRESS})


class Presence(Part):
    __slots__ = ()

    @atomic
    def enlist(self, worker: str, now_ms: int, lease_ms: int, *, alone: bool) -> None:
        if alone:
            # Owners, not only rows: a shard whose owner has no row left would be nobody's for ever.
            for other in self._holders() - {worker}:
                self._state.free_worker(other)
            for row in self._state.jobs.values():
                row.job = replace(row.job, next_ms=min(row.job.next_ms, now_ms) if row.open else row.job.next_ms)
        self._state.workers[worker] = WorkerRow(now_ms + lease_ms)

    @atomic
    def beat(
        self, worker: str, now_ms: int, lease_ms: int, loads: Sequence[Load], demands: Mapping[str, Demand] = NO_DEMANDS
    ) -> Beat:
        state = self._state
        mine = state.workers.get(worker)
        if mine is None:
            return Beat(alive=False)
        in_time = mine.lease_until_ms - now_ms > lease_ms // 2
        # A lease that lapsed and was taken by nobody goes on: what was paid for meanwhile still counts.
        mine.lease_until_ms = now_ms + lease_ms
        mine.loads = tuple(loads)
        mine.demands = dict(demands)
        self._sample({(load.batch_id, load.lane_id) for load in loads}, now_ms)
        others = {name: row.lease_until_ms for name, row in state.workers.items() if name != worker}
        reaped = 0
        if in_time:
            for name in [name for name, until_ms in others.items() if until_ms <= now_ms]:
                del others[name]
                reaped += state.free_worker(name)
        named = {load.batch_id for load in loads}
        running = {batch_id for batch_id in named & state.batches.keys() if state.batches[batch_id].batch.state in OPEN}
        closing = frozenset(named - running)
        priced = {batch_id for gate in demands if (batch_id := batch_of_gate(gate)) is not None}
        return Beat(
            alive=True,
            closing=closing,
            reaped=reaped,
            next_lapse_ms=min(others.values(), default=None),
            peers=tuple(Peer(name, dict(row.demands)) for name, row in state.workers.items()),
            costs={name: state.batches[name].batch.cost_nano for name in priced & state.batches.keys()},
        )

    def _sample(self, homes: set[tuple[str, int]], now_ms: int) -> None:
        state = self._state
        for batch_id, lane_id in sorted(homes):
            row = state.batches.get(batch_id)
            if row is None or row.batch.state is not BatchState.IN_PROGRESS or lane_id not in state.lanes:
                continue
            assert row.batch.in_progress_ms is not None
            newest = max((each.at_ms for each in row.samples if each.lane_id == lane_id), default=None)
            if newest is not None and newest > now_ms - due_ms(now_ms - row.batch.in_progress_ms):
                continue
            loads = [
                load
                for worker in state.workers.values()
                for load in worker.loads
                if (load.batch_id, load.lane_id) == (batch_id, lane_id)
            ]
            row.samples.append(
                Sample(
                    lane_id=lane_id,
                    at_ms=now_ms,
                    in_flight=sum(load.in_flight for load in loads),
                    limit=state.lanes[lane_id].limit,
                    throttled=sum(load.throttled for load in loads),
                    cost_nano=row.lanes.get(lane_id, NO_GAIN).cost_nano,
                )
            )

    @atomic
    def resign(self, worker: str) -> None:
        self._state.free_worker(worker)

    def _holders(self) -> set[str]:
        rows = self._state.batches.values()
        owners = {shard.owner for row in rows for shard in row.shards.values()} - self._state.jobs.keys()
        servants = {row.duty_owner for row in rows} | {row.duty_owner for row in self._state.jobs.values()}
        return {owner for owner in owners | servants if owner is not None} | self._state.workers.keys()
