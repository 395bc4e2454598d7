"""Rows of webhooks and the domain's records, one into the other; and how an event becomes deliveries."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from batchrouter.adapters.sql.rows import Row
from batchrouter.adapters.sql.schema import batches, webhook_deliveries, webhook_endpoints
from batchrouter.adapters.sql.verbs import param
from batchrouter.domain.backlog import WebhookBacklog
from batchrouter.domain.webhook import (
    EVENTS,
    LOG_MOST,
    Attempt,
    Delivery,
    DeliveryEvent,
    DeliveryState,
    Endpoint,
    delivery_step,
)

_e, _d = webhook_endpoints.c, webhook_deliveries.c

ENDPOINT_COLUMNS = (
    _e.id, _e.tenant_id, _e.url, _e.events, _e.description, _e.secret, _e.created_ms, _e.enabled, _e.disabled_reason,
    _e.former_secret, _e.former_until_ms, _e.configured,
)  # fmt: skip
DELIVERY_COLUMNS = (
    _d.id, _d.batch_id, _d.event_no, _d.event_ms, _d.type, _d.state, _d.attempts, _d.since_ms, _d.next_ms, _d.owner,
    _d.log, _d.created_ms, _d.ended_ms,
)  # fmt: skip
WAITING = _d.state == sa.literal_column(f"'{DeliveryState.WAITING}'")
"""As the index has it."""

_LOG = msgspec.json.Decoder(tuple[tuple[int, int | None, str | None, int], ...])


def endpoint_of(row: Row) -> Endpoint:
    (id_, tenant_id, url, events, description, secret, created_ms, enabled, reason, former, former_until_ms,
     configured) = row[: len(ENDPOINT_COLUMNS)]  # fmt: skip
    return Endpoint(
        id=id_,
        tenant_id=tenant_id,
        url=url,
        events=tuple(msgspec.json.decode(events)),
        description=description,
        secret=secret,
        created_ms=created_ms,
        enabled=bool(enabled),
        disabled_reason=reason,
        former_secret=former,
        former_until_ms=former_until_ms,
        configured=bool(configured),
    )


def endpoint_values(endpoint: Endpoint) -> dict[str, Any]:
    values = {column.name: getattr(endpoint, column.name) for column in ENDPOINT_COLUMNS}
    return values | {"events": msgspec.json.encode(endpoint.events).decode()}


def delivery_of(endpoint_id: str, row: Row) -> Delivery:
    """Of a row that begins with `DELIVERY_COLUMNS`."""
    (id_, batch_id, event_no, event_ms, type_, state, attempts, since_ms, next_ms, owner, log, created_ms,
     ended_ms) = row[: len(DELIVERY_COLUMNS)]  # fmt: skip
    return Delivery(
        id=id_,
        endpoint_id=endpoint_id,
        batch_id=batch_id,
        event_no=event_no,
        event_ms=event_ms,
        type=type_,
        state=DeliveryState(state),
        attempts=attempts,
        since_ms=since_ms,
        next_ms=next_ms,
        owner=owner,
        log=() if log is None else _attempts(log),
        created_ms=created_ms,
        ended_ms=ended_ms,
    )


def log_with(log: str | None, attempt: Attempt) -> str:
    """The log and one attempt more, without those that are too many."""
    kept = ((each.at_ms, each.status, each.error, each.took_ms) for each in (*_attempts(log or "[]"), attempt))
    return msgspec.json.encode(list(kept)[-LOG_MOST:]).decode()


def _attempts(log: str) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(at_ms=at_ms, status=status, error=error, took_ms=took_ms)
        for at_ms, status, error, took_ms in _LOG.decode(log)
    )


_WAITING = sa.select(sa.func.count()).select_from(webhook_deliveries).where(WAITING)
_FAILING = sa.select(sa.func.count(sa.distinct(_d.endpoint_seq))).where(WAITING, _d.attempts > 0)
_DISABLED = sa.select(sa.func.count()).where(_e.enabled == sa.false(), _e.disabled_reason.is_not(None))


def webhook_backlog(tx: sa.Connection) -> WebhookBacklog:
    return WebhookBacklog(
        waiting=tx.execute(_WAITING).scalar_one(),
        failing=tx.execute(_FAILING).scalar_one(),
        disabled=tx.execute(_DISABLED).scalar_one(),
    )


# --- moves that several verbs make ----------------------------------------------------------------------------------

_END = (
    webhook_deliveries.update()
    .where(_d.endpoint_seq == param("endpoint"), WAITING)
    .values(
        state=delivery_step(DeliveryState.WAITING, DeliveryEvent.END),
        ended_ms=param("now"),
        owner=None,
        last_error=param("why"),
    )
)
_COLUMNS = ("id", "endpoint_seq", "batch_id", "event_no", "event_ms", "type", "state", "attempts", "next_ms",
            "created_ms")  # fmt: skip
# As `domain.webhook.first_delivery` has it.
_message_id = (
    sa.literal("wh_", sa.String)
    + sa.func.replace(_e.id, "we_", "")
    + sa.literal("_", sa.String)
    + sa.func.replace(batches.c.id, "batch_", "")
    + sa.literal("_", sa.String)
    + sa.cast(param("no"), sa.String)
)
_TELL = webhook_deliveries.insert().from_select(
    _COLUMNS,
    sa.select(
        _message_id,
        _e.seq,
        batches.c.id,
        sa.cast(param("no"), sa.BigInteger),
        sa.cast(param("at"), sa.BigInteger),
        sa.cast(param("type"), sa.String),
        sa.literal(DeliveryState.WAITING.value, sa.String),
        sa.literal(0, sa.BigInteger),
        sa.cast(param("at"), sa.BigInteger),
        sa.cast(param("at"), sa.BigInteger),
    )
    .select_from(batches.join(webhook_endpoints, _e.tenant_id == batches.c.tenant_id))
    .where(batches.c.seq == param("batch"), _e.enabled == sa.true(), _e.events.contains(param("name"))),
)


def tell_endpoints(tx: sa.Connection, batch_seq: int, no: int, type_: str, now_ms: int) -> None:
    """A delivery for every endpoint of the batch's tenant that wants to hear of such an event. Two look-ups in indexes
    where there is none."""
    if type_ in EVENTS:
        values = {"batch": batch_seq, "no": no, "at": now_ms, "type": type_, "name": f'"{type_}"'}
        tx.execute(_TELL, values)


def end_deliveries(tx: sa.Connection, endpoint_seq: int, why: str, now_ms: int) -> None:
    tx.execute(_END, {"endpoint": endpoint_seq, "now": now_ms, "why": why})
