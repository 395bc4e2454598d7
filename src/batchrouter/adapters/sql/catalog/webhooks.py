"""People's side of webhooks: `ports.webhooks.WebhookCatalog` on SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from batchrouter.adapters.sql.schema import tenants, webhook_deliveries, webhook_endpoints
from batchrouter.adapters.sql.verbs import Verbs, param
from batchrouter.adapters.sql.webhook_rows import (
    DELIVERY_COLUMNS,
    ENDPOINT_COLUMNS,
    WAITING,
    delivery_of,
    end_deliveries,
    endpoint_of,
    endpoint_values,
)
from batchrouter.domain.webhook import Delivery, DeliveryEvent, DeliveryState, Endpoint, delivery_step, reconfigured
from batchrouter.ports.catalog import Page

_e, _d = webhook_endpoints.c, webhook_deliveries.c
_KEPT = frozenset(("id", "tenant_id", "configured", "created_ms"))

_LOCK_TENANT = sa.select(tenants.c.id).where(tenants.c.id == param("tenant")).with_for_update()
_LOCK_TENANTS = sa.select(tenants.c.id).order_by(tenants.c.id).with_for_update()
_COUNT = sa.select(sa.func.count()).where(_e.tenant_id == param("tenant"), _e.configured == sa.false())
_OF_TENANT = sa.select(*ENDPOINT_COLUMNS).where(_e.tenant_id == param("tenant")).order_by(_e.seq)
_ONE = sa.select(*ENDPOINT_COLUMNS).where(_e.tenant_id == param("tenant"), _e.id == param("endpoint"))
_ONE_LOCKED = _ONE.with_for_update()
_SEQ = sa.select(_e.seq, _e.enabled).where(_e.id == param("endpoint")).with_for_update()
_CONFIGURED = sa.select(*ENDPOINT_COLUMNS).where(_e.configured == sa.true()).order_by(_e.seq).with_for_update()
_CHANGE = webhook_endpoints.update().where(_e.seq == param("home"))
_DROP = webhook_endpoints.delete().where(_e.seq == param("seq"))
_DROP_DELIVERIES = webhook_deliveries.delete().where(_d.endpoint_seq == param("seq"))
_home = sa.select(_e.seq).where(_e.id == param("endpoint")).scalar_subquery()
_PLACE = sa.select(_d.seq).where(_d.endpoint_seq == _home, _d.id == param("after"))
_PAGE = (
    sa.select(*DELIVERY_COLUMNS)
    .where(_d.endpoint_seq == _home, _d.seq < param("before"))
    .order_by(_d.seq.desc())
    .limit(param("limit"))
)
_DELIVERY = sa.select(*DELIVERY_COLUMNS).where(_d.endpoint_seq == _home, _d.id == param("delivery"))
_AGAIN = webhook_deliveries.update().where(_d.id == param("delivery"), ~(WAITING & _d.owner.is_not(None)))
_LAST = 2**62


class SqlWebhookCatalog(Verbs):
    def add_endpoint(self, endpoint: Endpoint, most: int) -> bool:
        with self._db.write() as tx:
            tx.execute(_LOCK_TENANT, {"tenant": endpoint.tenant_id})  # of two that come at once the second counts both
            if tx.execute(_COUNT, {"tenant": endpoint.tenant_id}).scalar_one() >= most:
                return False
            tx.execute(webhook_endpoints.insert(), endpoint_values(endpoint))
            return True

    def endpoints(self, tenant_id: str) -> list[Endpoint]:
        with self._db.read() as tx:
            return [endpoint_of(row) for row in tx.execute(_OF_TENANT, {"tenant": tenant_id})]

    def endpoint(self, tenant_id: str, endpoint_id: str) -> Endpoint | None:
        with self._db.read() as tx:
            row = tx.execute(_ONE, {"tenant": tenant_id, "endpoint": endpoint_id}).first()
            return None if row is None else endpoint_of(row)

    def change_endpoint(self, old: Endpoint, new: Endpoint, now_ms: int) -> bool:
        with self._db.write() as tx:
            row = tx.execute(_ONE_LOCKED, {"tenant": old.tenant_id, "endpoint": old.id}).first()
            if row is None or endpoint_of(row) != old:
                return False
            _change(tx, old.id, new, now_ms)
            return True

    def remove_endpoint(self, tenant_id: str, endpoint_id: str) -> bool:
        with self._db.write() as tx:
            if tx.execute(_ONE, {"tenant": tenant_id, "endpoint": endpoint_id}).first() is None:
                return False
            _remove(tx, endpoint_id)
            return True

    def configure(self, endpoints: Sequence[Endpoint], now_ms: int) -> None:
        with self._db.write() as tx:
            tx.execute(_LOCK_TENANTS).all()  # processes that start together do it one after the other
            known = {(each.tenant_id, each.url): each for each in map(endpoint_of, tx.execute(_CONFIGURED))}
            for wanted in endpoints:
                old = known.pop((wanted.tenant_id, wanted.url), None)
                if old is None:
                    tx.execute(webhook_endpoints.insert(), endpoint_values(replace(wanted, configured=True)))
                else:
                    new = reconfigured(old, wanted, now_ms)
                    if new != old:
                        _change(tx, old.id, new, now_ms)
            for gone in known.values():
                _remove(tx, gone.id)

    def deliveries(self, endpoint_id: str, *, after: str | None, limit: int) -> Page[Delivery] | None:
        with self._db.read() as tx:
            before = _LAST
            if after is not None:
                place = tx.execute(_PLACE, {"endpoint": endpoint_id, "after": after}).scalar()
                if place is None:
                    return None
                before = place
            rows = tx.execute(_PAGE, {"endpoint": endpoint_id, "before": before, "limit": limit + 1}).all()
        return Page(tuple(delivery_of(endpoint_id, row) for row in rows[:limit]), len(rows) > limit)

    def add_test(self, delivery: Delivery) -> bool:
        with self._db.write() as tx:
            home = tx.execute(_SEQ, {"endpoint": delivery.endpoint_id}).first()
            if home is None or not home.enabled:
                return False
            tx.execute(webhook_deliveries.insert(), _values(delivery) | {"endpoint_seq": home.seq})
            return True

    def redeliver(self, endpoint_id: str, delivery_id: str, now_ms: int) -> Delivery | None:
        with self._db.write() as tx:
            place = {"endpoint": endpoint_id, "delivery": delivery_id}
            row = tx.execute(_DELIVERY.with_for_update(), place).first()
            if row is None:
                return None
            state = delivery_step(DeliveryState(row.state), DeliveryEvent.REDELIVER)
            anew = {"state": state, "attempts": 0, "since_ms": None, "next_ms": now_ms, "ended_ms": None}
            tx.execute(_AGAIN, {"delivery": delivery_id} | anew)
            return delivery_of(endpoint_id, tx.execute(_DELIVERY, place).one())


def _change(tx: sa.Connection, endpoint_id: str, new: Endpoint, now_ms: int) -> None:
    seq = tx.execute(_SEQ, {"endpoint": endpoint_id}).scalar_one()
    values = {name: value for name, value in endpoint_values(new).items() if name not in _KEPT}
    tx.execute(_CHANGE, {"home": seq} | values)
    if not new.enabled:
        end_deliveries(tx, seq, "its endpoint was disabled", now_ms)


def _remove(tx: sa.Connection, endpoint_id: str) -> None:
    seq = tx.execute(_SEQ, {"endpoint": endpoint_id}).scalar()
    tx.execute(_DROP, {"seq": seq})
    tx.execute(_DROP_DELIVERIES, {"seq": seq})


def _values(delivery: Delivery) -> dict[str, Any]:
    """Of one that has not been tried."""
    values = {column.name: getattr(delivery, column.name) for column in DELIVERY_COLUMNS if column.name != "log"}
    return values | {"state": delivery.state.value}
