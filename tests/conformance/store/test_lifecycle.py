"""Every cell of the batch table, through the verbs that ask for it: a legal event leads where the table says and is
told as one event; any other changes nothing at all."""

from __future__ import annotations

from contextlib import suppress

import pytest

from batchrouter.domain.lifecycle import BATCH, BATCH_FINAL, FINISH, BatchEvent, BatchState
from batchrouter.domain.outcome import Outcome
from batchrouter.domain.shard import Duty
from batchrouter.errors import StaleLease, StoreError
from tests.conformance.scene import REFUSAL, TENANT, WINDOW_MS, Scene, a_plan, gap_records

# A state, and how the batch came there: what it will end as depends on that.
ROADS = [
    (BatchState.VALIDATING, None),
    (BatchState.IN_PROGRESS, None),
    (BatchState.FINALIZING, BatchEvent.COMPLETE),
    (BatchState.FINALIZING, BatchEvent.EXPIRE),
    (BatchState.CANCELLING, BatchEvent.CANCEL),
    (BatchState.COMPLETED, BatchEvent.COMPLETE),
    (BatchState.FAILED, None),
    (BatchState.EXPIRED, BatchEvent.EXPIRE),
    (BatchState.CANCELLED, BatchEvent.CANCEL),
]


def drive(scene: Scene, state: BatchState, closing: BatchEvent | None) -> Duty:
    """Batch b1 in that state with every line answered, past its deadline, and a duty on it: the worker's own where the
    batch still needs a step, else the last there was."""
    worker = scene.worker(lease_ms=2 * WINDOW_MS)
    scene.create("b1")
    duty = scene.duty(worker, "b1")
    if state is BatchState.FAILED:
        assert scene.ledger.plan(worker, duty, REFUSAL, scene.now)
    elif state is not BatchState.VALIDATING:
        assert scene.ledger.plan(worker, duty, a_plan("b1"), scene.now)
        scene.answer_all(worker)
        scene.now += WINDOW_MS + 1
        duty = scene.duty(worker, "b1")
        if closing is not None:
            duty = scene.closed(worker, "b1", closing)
            scene.ledger.seal(worker, duty)
        if state in BATCH_FINAL:
            assert scene.finish(worker, duty)
    assert scene.state("b1") is state
    assert scene.batch("b1").closing is closing
    return duty


def ask(scene: Scene, event: BatchEvent, duty: Duty) -> None:
    """The verb that brings that event; a final batch has no duty, so that the old one may be refused as stale."""
    with suppress(StaleLease):
        match event:
            case BatchEvent.ACCEPT:
                scene.ledger.plan("w1", duty, a_plan("b1"), scene.now)
            case BatchEvent.REJECT:
                scene.ledger.plan("w1", duty, REFUSAL, scene.now)
            case BatchEvent.COMPLETE | BatchEvent.EXPIRE:
                scene.ledger.close("w1", duty, event, scene.now)
            case BatchEvent.CANCEL:
                scene.catalog.cancel_batch(TENANT, "b1", scene.now)
            case _:
                scene.finish("w1", duty)


@pytest.mark.parametrize("event", [each for each in BatchEvent if each not in FINISH.values()])
@pytest.mark.parametrize(("state", "closing"), ROADS)
def test_a_batch_moves_by_its_table(
    scene: Scene, state: BatchState, closing: BatchEvent | None, event: BatchEvent
) -> None:
    """Accept, reject, complete, expire and cancel in every state."""
    duty = drive(scene, state, closing)
    before, events = scene.picture("b1"), scene.catalog.events("b1", 0, 100)
    ask(scene, event, duty)
    if event not in BATCH[state]:
        assert scene.picture("b1") == before
        return
    batch = scene.batch("b1")
    assert batch.state is BATCH[state][event]
    assert getattr(batch, f"{batch.state}_ms") == scene.now
    assert batch.closing is (event if event in FINISH else None)
    assert len(scene.catalog.events("b1", 0, 100)) == len(events) + 1


@pytest.mark.parametrize(("state", "closing"), [road for road in ROADS if road[0] not in BATCH_FINAL])
def test_a_closing_batch_ends_as_it_began_to_close(scene: Scene, state: BatchState, closing: BatchEvent | None) -> None:
    """Finish leads to the one state that fits `closing`; a batch that does not close cannot finish."""
    duty = drive(scene, state, closing)
    before = scene.picture("b1")
    if closing is None:
        with suppress(StoreError):
            scene.finish("w1", duty)
        assert scene.picture("b1") == before
        return
    assert scene.finish("w1", duty)
    batch = scene.batch("b1")
    assert batch.state is BATCH[state][FINISH[closing]]
    assert getattr(batch, f"{batch.state}_ms") == scene.now


@pytest.mark.parametrize(("state", "closing"), [road for road in ROADS if road[0] in BATCH_FINAL])
def test_a_final_batch_never_changes(scene: Scene, state: BatchState, closing: BatchEvent | None) -> None:
    """No step is due, no shard waits, nothing can be claimed, finished or gapped again."""
    duty = drive(scene, state, closing)
    before = scene.picture("b1")
    assert not scene.has_duty("w1", "b1")
    assert scene.claim("w1") == []
    with suppress(StaleLease):
        assert not scene.ledger.finish("w1", duty, None, None, scene.now + 1)
    gaps = gap_records(duty, a_plan("b1").ranges, Outcome.FAILED)
    assert scene.settle("w1", "b1", gaps, duty_epoch=duty.duty_epoch).admitted == 0
    assert scene.picture("b1") == before


def test_a_cancel_in_validating_ends_cancelled_with_every_line_told(scene: Scene) -> None:
    """A batch cancelled before it was planned is planned for its lines, and sends none of them."""
    worker = scene.worker()
    scene.create("b1")
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    batch = scene.end(worker, "b1", BatchEvent.CANCEL)
    assert batch.state is BatchState.CANCELLED
    assert (batch.total, batch.completed, batch.failed) == (4, 0, 0)
    assert batch.output_file_id is None
    assert batch.error_file_id == "b1.error"
