"""Lanes: made when a plan or a move first names them, and what was learnt about each."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from batchrouter.adapters.sql.database import upsert
from batchrouter.adapters.sql.rows import LANE_COLUMNS, lane_of
from batchrouter.adapters.sql.schema import lanes, workers
from batchrouter.adapters.sql.verbs import Verbs, param
from batchrouter.domain.shard import Lane, LaneKey

_LANES = sa.select(*LANE_COLUMNS).order_by(lanes.c.id)
_LANE = sa.select(*LANE_COLUMNS).where(
    lanes.c.provider == param("provider"),
    lanes.c.model == param("model"),
    lanes.c.pool == param("pool"),
    lanes.c.mode == param("mode"),
)
_ADD = upsert(lanes).on_conflict_do_nothing(
    index_elements=[lanes.c.provider, lanes.c.model, lanes.c.pool, lanes.c.mode]
)
_NOTE = (
    lanes.update()
    .where(lanes.c.id == param("lane"))
    .values({name: param(f"new_{name}") for name in ("state", "reason", "until_ms", "limit")})
)
_PROBE = (
    lanes.update()
    .where(
        lanes.c.id == param("lane"),
        lanes.c.probe_worker.is_(None)
        | (lanes.c.probe_worker == param("worker"))
        | (lanes.c.probe_until_ms <= param("now"))
        | lanes.c.probe_worker.not_in(sa.select(workers.c.id)),
    )
    .values(probe_worker=param("new_worker"), probe_until_ms=param("new_until"))
)


class Lanes(Verbs):
    def lanes(self) -> list[Lane]:
        with self._db.read() as tx:
            return [lane_of(row) for row in tx.execute(_LANES)]

    def note_lanes(self, lanes: Sequence[Lane]) -> None:
        rows = [
            {
                "lane": lane.id,
                "new_state": lane.state,
                "new_reason": lane.reason,
                "new_until_ms": lane.until_ms,
                "new_limit": lane.limit,
            }
            for lane in lanes
        ]
        if rows:
            with self._db.write() as tx:
                tx.execute(_NOTE, rows)

    def probe(self, worker: str, lane_id: int, now_ms: int, until_ms: int) -> bool:
        with self._db.write() as tx:
            values = {"lane": lane_id, "worker": worker, "now": now_ms, "new_worker": worker, "new_until": until_ms}
            return tx.execute(_PROBE, values).rowcount > 0

    def lane(self, key: LaneKey) -> Lane:
        with self._db.write() as tx:
            return find_or_add(tx, key)


def lane_id_of(tx: sa.Connection, key: LaneKey) -> int:
    return find_or_add(tx, key).id


def find_or_add(tx: sa.Connection, key: LaneKey) -> Lane:
    named = {"provider": key.provider, "model": key.model, "pool": key.pool, "mode": key.mode.value}
    row = tx.execute(_LANE, named).first()
    if row is None:
        tx.execute(_ADD, named | {"state": Lane(id=0, key=key).state})
        row = tx.execute(_LANE, named).one()
    return lane_of(row)
