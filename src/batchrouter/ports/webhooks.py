"""Webhooks in the store: what people ask for, what a sender does, and how one message is posted.

Deliveries come into being with the event itself, in the transaction that changes the batch's state, for every endpoint
of its tenant that is enabled and wants that event. Each verb is one transaction; times are unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from batchrouter.domain.webhook import Answer, Delivery, Endpoint, Verdict
from batchrouter.ports.catalog import Page


class WebhookCatalog(Protocol):
    """People's side, scoped to a tenant: what is another's is not there."""

    def add_endpoint(self, endpoint: Endpoint, most: int) -> bool:
        """False: the tenant has `most` or more beside those of the configuration; nothing was changed."""
        ...

    def endpoints(self, tenant_id: str) -> list[Endpoint]:
        """By creation."""
        ...

    def endpoint(self, tenant_id: str, endpoint_id: str) -> Endpoint | None: ...

    def change_endpoint(self, old: Endpoint, new: Endpoint, now_ms: int) -> bool:
        """Write all but `id`, `tenant_id`, `configured` and `created_ms` as they are in `new`, if it is as in `old`:
        of two that change it at once one does, and no secret is lost. One that is not enabled has its waiting
        deliveries ended. False: it is another by now, or gone, and nothing was changed."""
        ...

    def remove_endpoint(self, tenant_id: str, endpoint_id: str) -> bool:
        """With its deliveries. False: it was not there."""
        ...

    def configure(self, endpoints: Sequence[Endpoint], now_ms: int) -> None:
        """Make the configured endpoints of all tenants these. One whose tenant and url are known keeps its id, its
        deliveries, and whether it is enabled, unless something about it has changed: then it is enabled again. Of a
        changed secret the old one becomes the former. Those that are not among these are removed."""
        ...

    def deliveries(self, endpoint_id: str, *, after: str | None, limit: int) -> Page[Delivery] | None:
        """Newest first; None: `after` names no delivery of the endpoint."""
        ...

    def add_test(self, delivery: Delivery) -> bool:
        """Insert. False: its endpoint is not there, or not enabled."""
        ...

    def redeliver(self, endpoint_id: str, delivery_id: str, now_ms: int) -> Delivery | None:
        """Due now, with all its time for retries before it, whatever became of it before; one that is being sent now
        stays as it is. None: it is not there."""
        ...


@dataclass(frozen=True, slots=True)
class DueEndpoint:
    """`next_ms`: when the first of its waiting deliveries is due."""

    endpoint_id: str
    tenant_id: str
    next_ms: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery and all that is needed to send it."""

    delivery: Delivery
    endpoint: Endpoint


class WebhookLedger(Protocol):
    """The sender's side. `owner` names one life of a sender, and is never reused."""

    def due_endpoints(self, limit: int, apart: Collection[str] = ()) -> list[DueEndpoint]:
        """Enabled endpoints with waiting deliveries, apart from some, the soonest due first. One index look-up for each
        endpoint, however many deliveries it has."""
        ...

    def take_deliveries(self, owner: str, wants: Mapping[str, int], now_ms: int, until_ms: int) -> list[Parcel]:
        """Of each endpoint up to so many deliveries that are due, the longest due first: nobody else's before
        `until_ms`, when they are due again."""
        ...

    def settle_delivery(self, owner: str, delivery: Delivery, verdict: Verdict) -> bool:
        """Write what came of an attempt, and disable the endpoint if the verdict says so, which ends its waiting
        deliveries. False: it is somebody else's by now, or gone; then only a success is still written."""
        ...

    def free_deliveries(self, owner: str | None, now_ms: int) -> int:
        """Those that `owner` has, or (None) anybody, are due now; how many. Every attempt that was under way is made
        again."""
        ...

    def sweep_deliveries(self, until_ms: int) -> int:
        """Forget deliveries that were made before `until_ms`, up to 1,000 of them; how many."""
        ...


class Poster(Protocol):
    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One POST, never redirected and never repeated. Ends in seconds, whatever the receiver does. Raises nothing
        for what it or the network does: the answer's `error` tells, without a secret, a header or the receiver's
        words."""
        ...
