"""The sender's side of webhooks: `ports.webhooks.WebhookLedger` on SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from batchrouter.adapters.sql.schema import webhook_deliveries, webhook_endpoints
from batchrouter.adapters.sql.verbs import Verbs, many, param
from batchrouter.adapters.sql.webhook_rows import (
    DELIVERY_COLUMNS,
    ENDPOINT_COLUMNS,
    WAITING,
    delivery_of,
    end_deliveries,
    endpoint_of,
    log_with,
)
from batchrouter.domain.webhook import Delivery, DeliveryEvent, DeliveryState, Verdict, delivery_step
from batchrouter.ports.webhooks import DueEndpoint, Parcel

_e, _d = webhook_endpoints.c, webhook_deliveries.c
_SWEPT_MAX = 1_000

_soonest = (
    sa.select(_d.next_ms).where(_d.endpoint_seq == _e.seq, WAITING).order_by(_d.next_ms).limit(1)
).correlate(webhook_endpoints).scalar_subquery()  # fmt: skip
_each = sa.select(_e.id, _e.tenant_id, _soonest.label("next_ms")).where(_e.enabled == sa.true())
_all = _each.subquery()
_but = _each.where(_e.id.not_in(many("apart"))).subquery()


def _due(of: sa.Subquery) -> sa.Select[*tuple[Any, ...]]:
    found = sa.select(of.c.id, of.c.tenant_id, of.c.next_ms).where(of.c.next_ms.is_not(None))
    return found.order_by(of.c.next_ms).limit(param("limit"))


_DUE, _DUE_BUT = _due(_all), _due(_but)
_HOME = sa.select(*ENDPOINT_COLUMNS, _e.seq).where(_e.id == param("endpoint"), _e.enabled == sa.true())
_TAKE = (
    sa.select(*DELIVERY_COLUMNS, _d.seq)
    .where(_d.endpoint_seq == param("home"), WAITING, _d.next_ms <= param("now"))
    .order_by(_d.next_ms)
    .limit(param("limit"))
    .with_for_update(skip_locked=True)
)
_TAKEN = webhook_deliveries.update().where(_d.seq == param("delivery"))
_LOCK_HOME = sa.select(_e.seq).where(_e.id == param("endpoint")).with_for_update()
_ONE = sa.select(_d.seq, _d.endpoint_seq, _d.state, _d.owner, _d.log, _d.since_ms, _d.attempts)
_ONE = _ONE.where(_d.id == param("id")).with_for_update()
_DISABLE = webhook_endpoints.update().where(_e.seq == param("home"), _e.enabled == sa.true())
_FREE_ALL = webhook_deliveries.update().where(WAITING, _d.owner.is_not(None))
_FREE = webhook_deliveries.update().where(WAITING, _d.owner == param("whose"))
_OLD = sa.select(_d.seq).where(_d.created_ms < param("until")).order_by(_d.created_ms).limit(_SWEPT_MAX)
_SWEEP = webhook_deliveries.delete().where(_d.seq.in_(_OLD))


class SqlWebhookLedger(Verbs):
    def due_endpoints(self, limit: int, apart: Collection[str] = ()) -> list[DueEndpoint]:
        with self._db.read() as tx:
            if apart:
                rows = tx.execute(_DUE_BUT, {"limit": limit, "apart": list(apart)}).all()
            else:
                rows = tx.execute(_DUE, {"limit": limit}).all()
        return [DueEndpoint(id_, tenant_id, next_ms) for id_, tenant_id, next_ms in rows]

    def take_deliveries(self, owner: str, wants: Mapping[str, int], now_ms: int, until_ms: int) -> list[Parcel]:
        parcels = []
        with self._db.write() as tx:
            for endpoint_id, count in wants.items():
                home = tx.execute(_HOME, {"endpoint": endpoint_id}).first()
                if home is None:
                    continue
                endpoint = endpoint_of(home)
                rows = tx.execute(_TAKE, {"home": home.seq, "now": now_ms, "limit": count}).all()
                if rows:
                    values = {"owner": owner, "next_ms": until_ms}
                    tx.execute(_TAKEN, [{"delivery": row.seq} | values for row in rows])
                parcels += [Parcel(delivery_of(endpoint_id, row), endpoint) for row in rows]
        return parcels

    def settle_delivery(self, owner: str, delivery: Delivery, verdict: Verdict) -> bool:
        attempt = verdict.attempt
        ended_ms = attempt.at_ms + attempt.took_ms
        with self._db.write() as tx:
            if verdict.disable is not None:  # first, as whoever changes an endpoint does
                tx.execute(_LOCK_HOME, {"endpoint": delivery.endpoint_id})
            row = tx.execute(_ONE, {"id": delivery.id}).first()
            if row is None or row.state != DeliveryState.WAITING:
                return False
            if row.owner != owner and verdict.event is not DeliveryEvent.DELIVER:
                return False
            state = delivery_step(DeliveryState.WAITING, verdict.event)
            tx.execute(
                _TAKEN,
                {
                    "delivery": row.seq,
                    "state": state,
                    "attempts": row.attempts + 1,
                    "since_ms": attempt.at_ms if row.since_ms is None else row.since_ms,
                    "next_ms": ended_ms if verdict.next_ms is None else verdict.next_ms,
                    "owner": None,
                    "last_status": attempt.status,
                    "last_error": attempt.error,
                    "log": log_with(row.log, attempt),
                    "ended_ms": None if state is DeliveryState.WAITING else ended_ms,
                },
            )
            if verdict.disable is not None:
                values = {"home": row.endpoint_seq, "enabled": False, "disabled_reason": verdict.disable}
                tx.execute(_DISABLE, values)
                end_deliveries(tx, row.endpoint_seq, "its endpoint was disabled", ended_ms)
            return bool(row.owner == owner)

    def free_deliveries(self, owner: str | None, now_ms: int) -> int:
        with self._db.write() as tx:
            values = {"owner": None, "next_ms": now_ms}
            if owner is None:
                return tx.execute(_FREE_ALL, values).rowcount
            return tx.execute(_FREE, {"whose": owner} | values).rowcount

    def sweep_deliveries(self, until_ms: int) -> int:
        with self._db.write() as tx:
            return tx.execute(_SWEEP, {"until": until_ms}).rowcount
