"""What validation decided, applied whole or not at all."""

from __future__ import annotations

import pytest

from batchrouter.domain.batch import BatchError
from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.shard import Rejection
from batchrouter.errors import StaleLease
from tests.conformance.scene import FAST, LEASE_MS, REFUSAL, SLOW, TENANT, Scene, a_plan


def test_an_accepted_batch_is_cut_as_decided(scene: Scene) -> None:
    """Ranges in order, a free shard per range and lane, lanes made as needed, the total on the batch."""
    worker = scene.worker()
    batch = scene.running(lines=(4, 3), lanes=(FAST, SLOW))
    assert (batch.state, batch.total, batch.in_progress_ms) == (BatchState.IN_PROGRESS, 7, scene.now)
    assert [(home.range_no, home.first_line, home.lines, home.done) for home in scene.ranges()] == [
        (0, 0, 4, 0),
        (1, 4, 3, 0),
    ]
    assert {lane.key for lane in scene.ledger.lanes()} == {FAST, SLOW}
    waiting = {group.lane_id: (group.shards, group.lines) for group in scene.ledger.waiting(scene.now)}
    assert waiting == {scene.lane_id(FAST): (2, 4), scene.lane_id(SLOW): (2, 3)}
    assert [claim.pending for claim in scene.claim(worker, lane=SLOW)] == [0b1010, 0b010]


def test_ranges_are_told_page_by_page(scene: Scene) -> None:
    """After a range, at most as many as asked for."""
    scene.worker()
    scene.running(lines=(1, 1, 1, 1))
    assert [home.range_no for home in scene.ledger.ranges("b1", 0, 2)] == [1, 2]
    assert scene.ledger.ranges("b1", 3, 2) == []
    assert scene.ledger.ranges("nothing", -1, 2) == []


def test_a_refused_batch_fails_with_its_errors_in_order(scene: Scene) -> None:
    """All of them, as they were given; nothing is planned."""
    worker = scene.worker()
    scene.create("b1")
    bad = [
        BatchError(code="invalid_json_line", message=f"Line {n} is no JSON: “x”", param="body", line=n) for n in (3, 1)
    ]
    errors = (*bad, BatchError(code="more", message="And 5 more."))
    assert scene.ledger.plan(worker, scene.duty(worker, "b1"), Rejection(errors=errors), scene.now)
    batch = scene.batch("b1")
    assert (batch.state, batch.errors, batch.failed_ms, batch.total) == (BatchState.FAILED, errors, scene.now, 0)
    assert scene.ranges() == []
    assert scene.catalog.lane_shares("b1") == []


def test_planning_frees_the_duty(scene: Scene) -> None:
    """Another worker may take the next step at once."""
    scene.worker("w1")
    other = scene.worker("w2")
    scene.running()
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    assert scene.has_duty(other, "b1")


def test_a_batch_is_planned_once(scene: Scene) -> None:
    """Under a duty that still holds, a second plan is too late and changes nothing."""
    worker = scene.worker()
    scene.running()
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    duty = scene.duty(worker, "b1")
    before = scene.picture("b1")
    assert not scene.ledger.plan(worker, duty, a_plan("b1", (2, 2)), scene.now)
    assert not scene.ledger.plan(worker, duty, REFUSAL, scene.now)
    assert scene.picture("b1") == before


def test_who_lost_the_duty_plans_nothing(scene: Scene) -> None:
    """The lease lapsed, another took the duty: the plan of the first is refused, whole."""
    scene.worker("w1")
    scene.create("b1")
    lost = scene.duty("w1", "b1")
    scene.now += LEASE_MS + 1
    scene.worker("w2")
    scene.ledger.beat("w2", scene.now, LEASE_MS, [])
    held = scene.duty("w2", "b1")
    assert held.duty_epoch > lost.duty_epoch
    before = scene.picture("b1")
    with pytest.raises(StaleLease):
        scene.ledger.plan("w1", lost, a_plan("b1"), scene.now)
    assert scene.picture("b1") == before
    assert scene.ledger.plan("w2", held, a_plan("b1"), scene.now)


def test_a_duty_taken_again_outdates_the_first(scene: Scene) -> None:
    """Each taking is under a new epoch, by the same worker too."""
    worker = scene.worker()
    scene.create("b1")
    first, second = scene.duty(worker, "b1"), scene.duty(worker, "b1")
    assert second.duty_epoch > first.duty_epoch
    with pytest.raises(StaleLease):
        scene.ledger.plan(worker, first, a_plan("b1"), scene.now)


def test_duties_go_to_one_worker_oldest_first(scene: Scene) -> None:
    """At most as many as asked for; what one holds the other is not offered."""
    for name in ("w1", "w2"):
        scene.worker(name)
    for number in range(3):
        scene.create(f"b{number}")
    assert [duty.batch_id for duty in scene.ledger.take_duties("w1", scene.now, 2)] == ["b0", "b1"]
    assert [duty.batch_id for duty in scene.ledger.take_duties("w2", scene.now, 9)] == ["b2"]


def test_a_step_under_way_is_left_as_it_is(scene: Scene) -> None:
    """A worker that asks for more names what it is doing: that keeps its epoch, and takes no room in the answer."""
    worker = scene.worker("w")
    for number in range(3):
        scene.create(f"b{number}")
    (first,) = scene.ledger.take_duties(worker, scene.now, 1)
    assert [duty.batch_id for duty in scene.ledger.take_duties(worker, scene.now, 1, {"b0"})] == ["b1"]
    assert scene.ledger.plan(worker, first, a_plan("b0"), scene.now)


def test_a_running_batch_needs_no_step(scene: Scene) -> None:
    """Until every line is done, or its window has passed."""
    worker = scene.worker()
    expires_ms = scene.running().expires_ms
    assert not scene.has_duty(worker, "b1")
    scene.answer_all(worker)
    duty = scene.duty(worker, "b1")
    assert (duty.state, duty.done, duty.total, duty.sealed, duty.planned) == (BatchState.IN_PROGRESS, 4, 4, False, True)
    scene.running("b2")
    scene.now = expires_ms + 1
    scene.ledger.beat(worker, scene.now, LEASE_MS, [])
    assert scene.duty(worker, "b2").done == 0


def test_a_cancelled_batch_that_cannot_be_read_ends_without_lines(scene: Scene) -> None:
    """Its refusal is no failure: it stays cancelled, and is not planned for ever."""
    worker = scene.worker()
    scene.create("b1")
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    duty = scene.duty(worker, "b1")
    assert not duty.planned
    assert scene.ledger.plan(worker, duty, REFUSAL, scene.now)
    duty = scene.duty(worker, "b1")
    assert duty.planned
    scene.ledger.seal(worker, duty)
    assert scene.finish(worker, duty)
    batch = scene.batch("b1")
    assert (batch.state, batch.closing, batch.total) == (BatchState.CANCELLED, BatchEvent.CANCEL, 0)
    assert batch.errors == ()
