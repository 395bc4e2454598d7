"""What the store in memory has still to do."""

from __future__ import annotations

from collections import Counter

from batchrouter.adapters.memory.shards import waiting_groups
from batchrouter.adapters.memory.state import Part, atomic
from batchrouter.adapters.memory.webhooks import webhook_backlog
from batchrouter.domain.backlog import Backlog


class MemoryBacklogs(Part):
    """`ports.backlog.Backlogs`."""

    __slots__ = ()

    @atomic
    def backlog(self, now_ms: int) -> Backlog:
        state = self._state
        live = [row.batch for row in state.batches.values() if not row.final]
        groups = [group for group in waiting_groups(state) if group.lines]
        lines: Counter[int] = Counter()
        for group in groups:
            lines[group.lane_id] += group.lines
        loads: dict[int, tuple[int, int]] = {}
        for load in (load for worker in state.workers.values() for load in worker.loads):
            calls, again = loads.get(load.lane_id, (0, 0))
            loads[load.lane_id] = (calls + load.in_flight, again + load.retrying)
        made_ms = {batch.id: batch.created_ms for batch in live}
        return Backlog(
            waiting=tuple((lane, lines[lane.id]) for lane in state.lanes.values()),
            batches=Counter(batch.state.value for batch in live),
            oldest_ms=min(made_ms.values(), default=None),
            oldest_waiting_ms=min((made_ms[group.batch_id] for group in groups), default=None),
            workers=sum(row.lease_until_ms > now_ms for row in state.workers.values()),
            jobs=Counter(row.job.state.value for row in state.jobs.values() if row.open),
            webhooks=webhook_backlog(state),
            loads=loads,
        )
