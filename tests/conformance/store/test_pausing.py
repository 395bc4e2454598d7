"""A person pauses a batch: the store gives nothing more of it out, and everything else goes on."""

from __future__ import annotations

import pytest

from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.shard import LaneMode
from tests.conformance.scene import CHEAP, TENANT, WINDOW_MS, Scene, records_of


def set_paused(scene: Scene, paused: bool = True, batch_id: str = "b1") -> None:
    assert scene.catalog.pause_batch(TENANT, batch_id, scene.now, paused=paused) == scene.batch(batch_id)


def events(scene: Scene) -> list[str]:
    return [event.type for event in scene.catalog.events("b1", 0, 100)]


def test_a_paused_batch_waits_for_nobody_and_is_claimed_by_nobody(scene: Scene) -> None:
    """What is held stays held, and what was sent still counts."""
    worker = scene.worker()
    scene.running(lines=(2, 2))
    claim = scene.claim_one(worker)
    assert scene.ledger.outlook(worker, scene.now, 1).paused == frozenset()
    set_paused(scene)
    assert scene.batch("b1").paused_ms == scene.now
    assert scene.ledger.waiting(scene.now) == []
    assert scene.claim(worker) == []
    assert scene.ledger.outlook(worker, scene.now, 1).paused == {"b1"}
    assert scene.ledger.outlook("w2", scene.now, 1).paused == frozenset()
    assert scene.settle(worker, "b1", records_of(claim)).admitted == 0b11
    scene.ledger.release(worker, [(claim.shard_id, claim.epoch)])
    assert scene.ledger.outlook(worker, scene.now, 1).paused == frozenset()
    set_paused(scene, False)
    assert scene.batch("b1").paused_ms is None
    assert [group.lines for group in scene.ledger.waiting(scene.now)] == [2]
    assert scene.claim_one(worker).pending == 0b11


def test_a_repeat_changes_nothing(scene: Scene) -> None:
    """Neither the time nor the events; nor does a resume of what is not paused."""
    scene.worker()
    scene.running()
    set_paused(scene, False)
    assert events(scene) == ["batch.validating", "batch.in_progress"]
    set_paused(scene)
    before = scene.picture("b1")
    scene.now += 1000
    set_paused(scene)
    assert scene.picture("b1") == before
    set_paused(scene, False)
    assert events(scene)[2:] == ["batch.paused", "batch.resumed"]


def test_another_tenants_batch_is_not_there(scene: Scene) -> None:
    scene.worker()
    scene.running()
    before = scene.picture("b1")
    assert scene.catalog.pause_batch("tenant_b", "b1", scene.now, paused=True) is None
    assert scene.catalog.pause_batch(TENANT, "b2", scene.now, paused=True) is None
    assert scene.picture("b1") == before


@pytest.mark.parametrize("event", [BatchEvent.COMPLETE, BatchEvent.EXPIRE, BatchEvent.CANCEL])
def test_a_paused_batch_ends_as_any_other_and_is_then_no_longer_paused(scene: Scene, event: BatchEvent) -> None:
    """And one that closes cannot be paused any more."""
    worker = scene.worker(lease_ms=2 * WINDOW_MS)
    scene.running()
    if event is BatchEvent.COMPLETE:
        scene.answer_all(worker)
    set_paused(scene)
    scene.now += WINDOW_MS + 1
    scene.closed(worker, "b1", event)
    assert scene.batch("b1").paused_ms is None
    before = scene.picture("b1")
    set_paused(scene)
    assert scene.picture("b1") == before


def test_a_batch_is_paused_before_it_is_planned(scene: Scene) -> None:
    """It is planned all the same."""
    worker = scene.worker()
    scene.create("b1")
    set_paused(scene)
    assert scene.has_duty(worker, "b1")
    scene.running("b2")
    assert scene.state("b1") is BatchState.VALIDATING


def test_no_job_is_made_of_a_paused_batch_and_those_that_are_made_go_on(scene: Scene) -> None:
    """Its jobs are told, and are due when it goes on."""
    worker = scene.worker()
    scene.running(lines=(2, 2), lanes=(CHEAP,))
    first, second = scene.claim(worker, "b1", CHEAP)
    scene.intend(worker, [first])
    duty = scene.job_duty(worker)
    assert not duty.paused
    set_paused(scene)
    pair = [(second.shard_id, second.epoch)]
    assert not scene.jobs.intend(worker, scene.new_job([second], "job_2"), pair, scene.now)
    scene.note(worker, duty, next_ms=scene.now)
    duty = scene.job_duty(worker)
    assert duty.paused
    scene.note(worker, duty, next_ms=scene.now + 600_000)
    assert scene.jobs.take_jobs(worker, scene.now, 10) == []
    set_paused(scene, False)
    (duty,) = scene.jobs.take_jobs(worker, scene.now, 10)
    assert not duty.paused
    assert duty.lane.key.mode is LaneMode.BATCH
