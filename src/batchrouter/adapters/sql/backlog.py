"""What the database has still to do, counted from indexes of what is open: what is over costs nothing."""

from __future__ import annotations

import sqlalchemy as sa

from batchrouter.adapters.sql.rows import LANE_COLUMNS, lane_of
from batchrouter.adapters.sql.schema import batches, jobs, lanes, loads, shards, workers
from batchrouter.adapters.sql.verbs import Verbs, param
from batchrouter.adapters.sql.webhook_rows import webhook_backlog
from batchrouter.domain.backlog import Backlog
from batchrouter.domain.lifecycle import BatchState

_free = (
    sa.select(shards.c.batch_seq, shards.c.lane_id, sa.func.sum(shards.c.pending).label("lines"))
    .where(shards.c.open == sa.true(), shards.c.owner.is_(None))
    .group_by(shards.c.batch_seq, shards.c.lane_id)
    .subquery()
)
_WAITING = (
    sa.select(_free.c.lane_id, sa.func.sum(_free.c.lines), sa.func.min(batches.c.created_ms))
    .select_from(_free)
    .join(batches, batches.c.seq == _free.c.batch_seq)
    .where(batches.c.state == BatchState.IN_PROGRESS)
    .group_by(_free.c.lane_id)
)
_BATCHES = (
    sa.select(batches.c.state, sa.func.count(), sa.func.min(batches.c.created_ms))
    .where(batches.c.live == sa.true())
    .group_by(batches.c.state)
)
_JOBS = sa.select(jobs.c.state, sa.func.count()).where(jobs.c.open == sa.true()).group_by(jobs.c.state)
_WORKERS = sa.select(sa.func.count()).where(workers.c.lease_until_ms > param("now"))
_LOADS = sa.select(loads.c.lane_id, sa.func.sum(loads.c.in_flight), sa.func.sum(loads.c.retrying)).group_by(
    loads.c.lane_id
)
_LANES = sa.select(*LANE_COLUMNS).order_by(lanes.c.id)


class SqlBacklogs(Verbs):
    """`ports.backlog.Backlogs`."""

    def backlog(self, now_ms: int) -> Backlog:
        with self._db.read() as tx:
            waiting = {lane_id: (int(lines), oldest) for lane_id, lines, oldest in tx.execute(_WAITING)}
            states = {state: (count, oldest) for state, count, oldest in tx.execute(_BATCHES)}
            under_way = {state: count for state, count in tx.execute(_JOBS)}
            alive = tx.execute(_WORKERS, {"now": now_ms}).scalar_one()
            loaded = {lane_id: (int(calls), int(again)) for lane_id, calls, again in tx.execute(_LOADS)}
            every = [lane_of(row) for row in tx.execute(_LANES)]
            hooks = webhook_backlog(tx)
        return Backlog(
            waiting=tuple((lane, waiting.get(lane.id, (0, 0))[0]) for lane in every),
            batches={state: count for state, (count, _) in states.items()},
            oldest_ms=min((oldest for _, oldest in states.values()), default=None),
            oldest_waiting_ms=min((oldest for lines, oldest in waiting.values() if lines), default=None),
            workers=alive,
            jobs=under_way,
            webhooks=hooks,
            loads=loaded,
        )
