"""Webhooks in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from batchrouter.adapters.memory.state import Part, State, atomic
from batchrouter.domain.backlog import WebhookBacklog
from batchrouter.domain.webhook import (
    LOG_MOST,
    Delivery,
    DeliveryEvent,
    DeliveryState,
    Endpoint,
    Verdict,
    delivery_step,
    reconfigured,
)
from batchrouter.errors import StoreError
from batchrouter.ports.catalog import Page
from batchrouter.ports.webhooks import DueEndpoint, Parcel

_SWEPT_MAX = 1_000


class _Hooks(Part):
    __slots__ = ()

    def _waiting(self, endpoint_id: str) -> list[Delivery]:
        """The longest due first."""
        found = [
            each
            for each in self._state.deliveries.values()
            if each.endpoint_id == endpoint_id and each.state is DeliveryState.WAITING
        ]
        return sorted(found, key=lambda each: each.next_ms)

    def _end_all(self, endpoint_id: str, now_ms: int) -> None:
        for each in self._waiting(endpoint_id):
            state = delivery_step(each.state, DeliveryEvent.END)
            self._state.deliveries[each.id] = replace(each, state=state, ended_ms=now_ms, owner=None)


class MemoryWebhookCatalog(_Hooks):
    """`ports.webhooks.WebhookCatalog`."""

    __slots__ = ()

    @atomic
    def add_endpoint(self, endpoint: Endpoint, most: int) -> bool:
        if sum(not each.configured for each in self.endpoints(endpoint.tenant_id)) >= most:
            return False
        if endpoint.id in self._state.endpoints:
            raise StoreError(f"an endpoint {endpoint.id} exists")
        self._state.endpoints[endpoint.id] = endpoint
        return True

    @atomic
    def endpoints(self, tenant_id: str) -> list[Endpoint]:
        return [each for each in self._state.endpoints.values() if each.tenant_id == tenant_id]

    @atomic
    def endpoint(self, tenant_id: str, endpoint_id: str) -> Endpoint | None:
        found = self._state.endpoints.get(endpoint_id)
        return found if found is not None and found.tenant_id == tenant_id else None

    @atomic
    def change_endpoint(self, old: Endpoint, new: Endpoint, now_ms: int) -> bool:
        if self.endpoint(old.tenant_id, old.id) != old:
            return False
        self._state.endpoints[old.id] = replace(
            new, id=old.id, tenant_id=old.tenant_id, configured=old.configured, created_ms=old.created_ms
        )
        if not new.enabled:
            self._end_all(old.id, now_ms)
        return True

    @atomic
    def remove_endpoint(self, tenant_id: str, endpoint_id: str) -> bool:
        if self.endpoint(tenant_id, endpoint_id) is None:
            return False
        self._remove(endpoint_id)
        return True

    @atomic
    def configure(self, endpoints: Sequence[Endpoint], now_ms: int) -> None:
        known = {(each.tenant_id, each.url): each for each in self._state.endpoints.values() if each.configured}
        for wanted in endpoints:
            old = known.pop((wanted.tenant_id, wanted.url), None)
            if old is None:
                self._state.endpoints[wanted.id] = replace(wanted, configured=True)
            else:
                self.change_endpoint(old, reconfigured(old, wanted, now_ms), now_ms)
        for gone in known.values():
            self._remove(gone.id)

    @atomic
    def deliveries(self, endpoint_id: str, *, after: str | None, limit: int) -> Page[Delivery] | None:
        rows = [each for each in self._state.deliveries.values() if each.endpoint_id == endpoint_id][::-1]
        if after is not None:
            place = next((number for number, each in enumerate(rows) if each.id == after), None)
            if place is None:
                return None
            rows = rows[place + 1 :]
        return Page(tuple(rows[:limit]), len(rows) > limit)

    @atomic
    def add_test(self, delivery: Delivery) -> bool:
        home = self._state.endpoints.get(delivery.endpoint_id)
        if home is None or not home.enabled:
            return False
        self._state.deliveries[delivery.id] = delivery
        return True

    @atomic
    def redeliver(self, endpoint_id: str, delivery_id: str, now_ms: int) -> Delivery | None:
        found = self._state.deliveries.get(delivery_id)
        if found is None or found.endpoint_id != endpoint_id:
            return None
        if found.state is DeliveryState.WAITING and found.owner is not None:
            return found
        state = delivery_step(found.state, DeliveryEvent.REDELIVER)
        made = replace(found, state=state, attempts=0, since_ms=None, next_ms=now_ms, ended_ms=None)
        self._state.deliveries[delivery_id] = made
        return made

    def _remove(self, endpoint_id: str) -> None:
        del self._state.endpoints[endpoint_id]
        self._state.drop_deliveries(lambda each: each.endpoint_id == endpoint_id)


class MemoryWebhookLedger(_Hooks):
    """`ports.webhooks.WebhookLedger`."""

    __slots__ = ()

    @atomic
    def due_endpoints(self, limit: int, apart: Collection[str] = ()) -> list[DueEndpoint]:
        found = []
        for each in self._state.endpoints.values():
            waiting = self._waiting(each.id) if each.enabled and each.id not in apart else []
            if waiting:
                found.append(DueEndpoint(each.id, each.tenant_id, waiting[0].next_ms))
        return sorted(found, key=lambda each: each.next_ms)[:limit]

    @atomic
    def take_deliveries(self, owner: str, wants: Mapping[str, int], now_ms: int, until_ms: int) -> list[Parcel]:
        parcels = []
        for endpoint_id, count in wants.items():
            home = self._state.endpoints.get(endpoint_id)
            if home is None or not home.enabled:
                continue
            for each in [each for each in self._waiting(endpoint_id) if each.next_ms <= now_ms][:count]:
                parcels.append(Parcel(each, home))
                self._state.deliveries[each.id] = replace(each, owner=owner, next_ms=until_ms)
        return parcels

    @atomic
    def settle_delivery(self, owner: str, delivery: Delivery, verdict: Verdict) -> bool:
        found, attempt = self._state.deliveries.get(delivery.id), verdict.attempt
        if found is None or found.state is not DeliveryState.WAITING:
            return False
        if found.owner != owner and verdict.event is not DeliveryEvent.DELIVER:
            return False
        state, ended_ms = delivery_step(found.state, verdict.event), attempt.at_ms + attempt.took_ms
        self._state.deliveries[delivery.id] = replace(
            found,
            state=state,
            attempts=found.attempts + 1,
            since_ms=attempt.at_ms if found.since_ms is None else found.since_ms,
            next_ms=ended_ms if verdict.next_ms is None else verdict.next_ms,
            owner=None,
            log=(*found.log, attempt)[-LOG_MOST:],
            ended_ms=None if state is DeliveryState.WAITING else ended_ms,
        )
        home = self._state.endpoints.get(found.endpoint_id)
        if verdict.disable is not None and home is not None:
            self._state.endpoints[home.id] = replace(home, enabled=False, disabled_reason=verdict.disable)
            self._end_all(home.id, ended_ms)
        return found.owner == owner

    @atomic
    def free_deliveries(self, owner: str | None, now_ms: int) -> int:
        held = [
            each
            for each in self._state.deliveries.values()
            if each.state is DeliveryState.WAITING and each.owner is not None and owner in (None, each.owner)
        ]
        for each in held:
            self._state.deliveries[each.id] = replace(each, owner=None, next_ms=now_ms)
        return len(held)

    @atomic
    def sweep_deliveries(self, until_ms: int) -> int:
        old = [each.id for each in self._state.deliveries.values() if each.created_ms < until_ms][:_SWEPT_MAX]
        gone = set(old)
        self._state.drop_deliveries(lambda each: each.id in gone)
        return len(old)


def webhook_backlog(state: State) -> WebhookBacklog:
    waiting = [each for each in state.deliveries.values() if each.state is DeliveryState.WAITING]
    return WebhookBacklog(
        waiting=len(waiting),
        failing=len({each.endpoint_id for each in waiting if each.attempts}),
        disabled=sum(not each.enabled and each.disabled_reason is not None for each in state.endpoints.values()),
    )
