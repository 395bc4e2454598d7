"""The one way in which a batch's state changes: by its table, with its time, its event and all that follows from it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from batchrouter.adapters.sql.rows import Row, to_json
from batchrouter.adapters.sql.schema import batches, events, jobs
from batchrouter.adapters.sql.verbs import param
from batchrouter.adapters.sql.webhook_rows import tell_endpoints
from batchrouter.domain.lifecycle import BATCH_ENDING, BATCH_FINAL, BatchEvent, BatchState, batch_step

_ADD_EVENT = events.insert()
_CALL_JOBS = (
    jobs.update()
    .where(jobs.c.batch_seq == param("batch"), jobs.c.open == sa.true(), jobs.c.next_ms > param("now"))
    .values(next_ms=param("now"))
)


def enter(tx: sa.Connection, batch: Row, event: BatchEvent, now_ms: int, **changes: Any) -> BatchState:
    """Step a batch whose row (`seq`, `state`, `next_event`) this transaction holds; its jobs are due at once. Raises
    `IllegalTransition` before anything is changed."""
    before = BatchState(batch.state)
    after = batch_step(before, event)
    tx.execute(
        batches.update().where(batches.c.seq == batch.seq),
        {
            "state": after,
            f"{after}_ms": now_ms,
            "live": after not in BATCH_FINAL,
            "next_event": batch.next_event + 1,
            **({"paused_ms": None} if after in BATCH_ENDING else {}),
            **changes,
        },
    )
    tell(tx, batch.seq, batch.next_event, after, now_ms)
    if before is not BatchState.VALIDATING:  # else it has no jobs yet
        call_jobs(tx, batch.seq, now_ms)
    return after


def call_jobs(tx: sa.Connection, batch_seq: int, now_ms: int) -> None:
    """The batch's jobs are due at once."""
    tx.execute(_CALL_JOBS, {"batch": batch_seq, "now": now_ms})


def tell(tx: sa.Connection, batch_seq: int, no: int, what: str, now_ms: int) -> None:
    tx.execute(
        _ADD_EVENT,
        {"batch_seq": batch_seq, "no": no, "type": f"batch.{what}", "at_ms": now_ms, "data": to_json({})},
    )
    tell_endpoints(tx, batch_seq, no, f"batch.{what}", now_ms)
