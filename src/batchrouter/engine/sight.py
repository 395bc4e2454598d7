"""What a worker has at this moment, for whoever watches it."""

from __future__ import annotations

from batchrouter.engine.worker import Worker
from batchrouter.ports.meters import LaneNow, WorkerNow


def seen(worker: Worker) -> WorkerNow:
    dispatcher = worker.dispatcher
    return WorkerNow(
        lanes=tuple(
            LaneNow(
                runner.lane.id,
                runner.lane.key,
                runner.pool.state.value,
                runner.in_flight,
                runner.pool.limit,
                runner.retrying,
            )
            for runner in dispatcher.lanes.values()
        ),
        holds_lease=worker.holds_lease,
        stuck=dispatcher.journal.stuck,
        spilled=dispatcher.journal.spilled,
        budget_used=dispatcher.budget.used,
        budget_total=dispatcher.budget.total,
    )
