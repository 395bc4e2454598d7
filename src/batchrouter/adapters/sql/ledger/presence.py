"""Workers: leases, loads, and what becomes of the work of those that are gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa

from batchrouter.adapters.sql.database import upsert
from batchrouter.adapters.sql.schema import batch_lanes, batches, demands, jobs, lanes, loads, samples, shards, workers
from batchrouter.adapters.sql.verbs import Verbs, chunks, many, param
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.samples import LEAST_MS, SHARE
from batchrouter.domain.shard import Beat, Load
from batchrouter.domain.sharing import NO_DEMANDS, Demand, Peer, batch_of_gate
from batchrouter.errors import StaleLease, StoreError

_PATIENCE_MS = 1_000
_RUNNING = (BatchState.VALIDATING, BatchState.IN_PROGRESS)

_ENLIST = upsert(workers)
_ENLIST = _ENLIST.on_conflict_do_update(
    index_elements=[workers.c.id], set_={"lease_until_ms": _ENLIST.excluded.lease_until_ms}
)
_RENEW = workers.update().where(workers.c.id == param("worker"))
_MINE = sa.select(workers.c.lease_until_ms).where(workers.c.id == param("worker"))
# Locked until the end of the transaction, so that what a worker takes under its lease is not left behind by whoever
# frees the worker at that moment. Only the end of the row waits for these two, and neither for the other: a claim that
# takes long holds up no renewal.
_LEASE = _MINE.with_for_update(read=True, key_share=True)
_MY_LEASE = _MINE.with_for_update(key_share=True)
# Passed over where it is being renewed, or freed by another.
_LAPSED = (
    sa.select(workers.c.id)
    .where(workers.c.lease_until_ms <= param("now"), workers.c.id != param("worker"))
    .with_for_update(skip_locked=True)
)
_NEXT_LAPSE = sa.select(sa.func.min(workers.c.lease_until_ms)).where(workers.c.id != param("worker"))
_PEERS = (
    sa.select(workers.c.id, demands.c.gate, demands.c.amount, demands.c.held)
    .outerjoin(demands, demands.c.worker == workers.c.id)
    .order_by(workers.c.id)
)
_COSTS = sa.select(batches.c.id, batches.c.cost_nano).where(batches.c.id.in_(many("ids")))
_NAMED = sa.select(batches.c.id, batches.c.seq, batches.c.state).where(batches.c.id.in_(many("ids")))

_newest = (
    sa.select(sa.func.max(samples.c.at_ms))
    .where(samples.c.batch_seq == loads.c.batch_seq, samples.c.lane_id == loads.c.lane_id)
    .correlate(loads)
    .scalar_subquery()
)
_now = sa.bindparam("now", type_=sa.BigInteger)
_age_ms = _now - sa.func.max(batches.c.in_progress_ms)
_DUE = (
    sa.select(
        loads.c.batch_seq,
        loads.c.lane_id,
        sa.cast(_now, sa.BigInteger),
        sa.func.sum(loads.c.in_flight),
        sa.func.max(lanes.c.limit),
        sa.func.sum(loads.c.throttled),
        sa.func.coalesce(sa.func.max(batch_lanes.c.cost_nano), 0),
    )
    .select_from(loads)
    .join(batches, batches.c.seq == loads.c.batch_seq)
    .join(lanes, lanes.c.id == loads.c.lane_id)
    .outerjoin(batch_lanes, (batch_lanes.c.batch_seq == loads.c.batch_seq) & (batch_lanes.c.lane_id == loads.c.lane_id))
    .where(
        loads.c.batch_seq.in_(sa.select(loads.c.batch_seq).where(loads.c.worker == param("worker"))),
        batches.c.state == BatchState.IN_PROGRESS,
    )
    .group_by(loads.c.batch_seq, loads.c.lane_id)
    .having(_newest.is_(None) | ((_newest <= _now - LEAST_MS) & (_newest <= _now - _age_ms // SHARE)))
)
_SAMPLE = upsert(samples).from_select(list(samples.c), _DUE).on_conflict_do_nothing()
_gone = many("gone")
_owned = (shards.c.open == sa.true()) & shards.c.owner.is_not(None)
_serving = (batches.c.live == sa.true()) & batches.c.duty_owner.is_not(None)
_stepping = (jobs.c.open == sa.true()) & jobs.c.duty_owner.is_not(None)
_HOLDERS = sa.union(
    sa.select(workers.c.id),
    sa.select(shards.c.owner).where(_owned, shards.c.owner.not_in(sa.select(jobs.c.id))),
    sa.select(batches.c.duty_owner).where(_serving),
    sa.select(jobs.c.duty_owner).where(_stepping),
)
# The worker, then batches, then shards, those of a kind in one order: as every verb locks them.
_LOCK_ROWS = [
    sa.select(sa.func.count()).select_from(
        sa.select(key).where(held, owner.in_(_gone)).order_by(key).with_for_update().subquery()
    )
    for key, held, owner in (
        (workers.c.id, sa.true(), workers.c.id),
        (batches.c.seq, _serving, batches.c.duty_owner),
        (shards.c.id, _owned, shards.c.owner),
    )
]
_FREE_SHARDS = (
    shards.update()
    .where(_owned, shards.c.owner.in_(_gone))
    .values(owner=None, epoch=shards.c.epoch + 1, open=shards.c.pending > 0)
)
_FREE_DUTIES = (
    batches.update()
    .where(_serving, batches.c.duty_owner.in_(_gone))
    .values(duty_owner=None, duty_epoch=batches.c.duty_epoch + 1)
)
_FREE_JOB_DUTIES = (
    jobs.update()
    .where(_stepping, jobs.c.duty_owner.in_(_gone))
    .values(duty_owner=None, duty_epoch=jobs.c.duty_epoch + 1)
)
_JOBS_DUE = jobs.update().where(jobs.c.open == sa.true(), jobs.c.next_ms > param("now")).values(next_ms=param("now"))
_DROP_LOADS = loads.delete().where(loads.c.worker.in_(_gone))
_DROP_DEMANDS = demands.delete().where(demands.c.worker.in_(_gone))
_DROP_WORKERS = workers.delete().where(workers.c.id.in_(_gone))


class Presence(Verbs):
    def enlist(self, worker: str, now_ms: int, lease_ms: int, *, alone: bool) -> None:
        with self._db.write() as tx:
            if alone:
                free_all(tx, now_ms, but=worker)
            tx.execute(_ENLIST, {"id": worker, "lease_until_ms": now_ms + lease_ms})

    def beat(
        self, worker: str, now_ms: int, lease_ms: int, loads: Sequence[Load], demands: Mapping[str, Demand] = NO_DEMANDS
    ) -> Beat:
        """A lease that lapsed and was taken by nobody goes on: what was paid for meanwhile still counts. The renewal
        is done before others are freed, and stands whatever becomes of that: rows that somebody holds are waited for
        only for a moment, and are left for the next beat."""
        with self._db.write() as tx:
            lease_until_ms = tx.execute(_MY_LEASE, {"worker": worker}).scalar()
            if lease_until_ms is None:
                return Beat(alive=False)
            tx.execute(_RENEW, {"worker": worker, "lease_until_ms": now_ms + lease_ms})
            closing = _note_loads(tx, worker, loads)
            if loads:
                tx.execute(_SAMPLE, {"worker": worker, "now": now_ms})
            next_lapse_ms = tx.execute(_NEXT_LAPSE, {"worker": worker}).scalar()
            peers, costs = _note_demands(tx, worker, demands), _costs_of(tx, demands)
        beat = Beat(alive=True, closing=closing, next_lapse_ms=next_lapse_ms, peers=peers, costs=costs)
        late = lease_until_ms - now_ms <= lease_ms // 2
        if late or next_lapse_ms is None or next_lapse_ms > now_ms:
            return beat
        return self._reap(worker, now_ms, beat)

    def _reap(self, worker: str, now_ms: int, beat: Beat) -> Beat:
        try:
            with self._db.write(patience_ms=_PATIENCE_MS) as tx:
                reaped = free(tx, tx.execute(_LAPSED, {"now": now_ms, "worker": worker}).scalars().all())
                next_lapse_ms = tx.execute(_NEXT_LAPSE, {"worker": worker}).scalar()
                peers = _peers(tx)
        except StoreError:
            return beat
        return replace(beat, reaped=reaped, next_lapse_ms=next_lapse_ms, peers=peers)

    def resign(self, worker: str) -> None:
        with self._db.write() as tx:
            free(tx, [worker])


def require_lease(tx: sa.Connection, worker: str, now_ms: int) -> None:
    """Raises StaleLease for a worker that was freed, or whose lease has lapsed."""
    lease_until_ms = tx.execute(_LEASE, {"worker": worker}).scalar()
    if lease_until_ms is None or lease_until_ms <= now_ms:
        raise StaleLease(f"the lease of worker {worker} has lapsed")


def free_all(tx: sa.Connection, now_ms: int, *, but: str = "") -> None:
    """All workers but one are known to be gone; what they asked a provider is asked after at once."""
    # Owners, not only rows: a shard whose owner has no row left would be nobody's for ever.
    free(tx, [holder for holder in tx.execute(_HOLDERS).scalars() if holder != but])
    tx.execute(_JOBS_DUE, {"now": now_ms})


def free(tx: sa.Connection, gone: Sequence[str]) -> int:
    """Take everything from these workers and forget them; returns how many shards they had. Shards with nothing
    pending are closed. Those of jobs stay as they are, whoever made the job."""
    freed = 0
    for part in chunks(gone):
        for lock in _LOCK_ROWS:
            tx.execute(lock, {"gone": part})
        freed += tx.execute(_FREE_SHARDS, {"gone": part}).rowcount
        for drop in (_FREE_DUTIES, _FREE_JOB_DUTIES, _DROP_LOADS, _DROP_DEMANDS, _DROP_WORKERS):
            tx.execute(drop, {"gone": part})
    return freed


def _note_loads(tx: sa.Connection, worker: str, told: Sequence[Load]) -> frozenset[str]:
    """Replace the worker's loads; returns the batches among them that are closing or gone."""
    tx.execute(_DROP_LOADS, {"gone": [worker]})
    named = {load.batch_id for load in told}
    seqs: dict[str, int] = {}
    running: set[str] = set()
    for part in chunks(named):
        for id_, seq, state in tx.execute(_NAMED, {"ids": part}):
            seqs[id_] = seq
            if state in _RUNNING:
                running.add(id_)
    rows = [
        {
            "worker": worker,
            "lane_id": load.lane_id,
            "batch_seq": seqs[load.batch_id],
            "in_flight": load.in_flight,
            "retrying": load.retrying,
            "reason": load.reason,
            "until_ms": load.until_ms,
            "throttled": load.throttled,
        }
        for load in told
        if load.batch_id in seqs
    ]
    if rows:
        tx.execute(loads.insert(), rows)
    return frozenset(named - running)


def _note_demands(tx: sa.Connection, worker: str, told: Mapping[str, Demand]) -> tuple[Peer, ...]:
    """Replace the worker's demands, if they are others than before; returns what all told last."""
    peers = _peers(tx)
    if any(peer.worker == worker and peer.demands == told for peer in peers):
        return peers
    tx.execute(_DROP_DEMANDS, {"gone": [worker]})
    rows = [
        {"worker": worker, "gate": gate, "amount": demand.wanted, "held": demand.held} for gate, demand in told.items()
    ]
    if rows:
        tx.execute(demands.insert(), rows)
    return tuple(Peer(worker, dict(told)) if peer.worker == worker else peer for peer in peers)


def _peers(tx: sa.Connection) -> tuple[Peer, ...]:
    told: dict[str, dict[str, Demand]] = {}
    for id_, gate, amount, held in tx.execute(_PEERS):
        mine = told.setdefault(id_, {})
        if gate is not None:
            mine[gate] = Demand(amount, held)
    return tuple(Peer(name, each) for name, each in told.items())


def _costs_of(tx: sa.Connection, told: Mapping[str, Demand]) -> dict[str, int]:
    ids = [batch_id for gate in told if (batch_id := batch_of_gate(gate)) is not None]
    return {id_: cost_nano for part in chunks(ids) for id_, cost_nano in tx.execute(_COSTS, {"ids": part})}
