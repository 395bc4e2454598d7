"""What a database has still to do, over all tenants."""

from __future__ import annotations

from batchrouter.domain.backlog import Backlog
from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.shard import Load
from tests.conformance.scene import CHEAP, FAST, LEASE_MS, SLOW, Scene


def backlog(scene: Scene) -> Backlog:
    return scene.store.backlogs.backlog(scene.now)


def waiting(scene: Scene) -> dict[str, int]:
    return {f"{lane.key.provider}/{lane.key.model} {lane.key.mode}": lines for lane, lines in backlog(scene).waiting}


def test_an_empty_database_has_nothing_to_do(scene: Scene) -> None:
    assert backlog(scene) == Backlog()


def test_lines_wait_by_lane_until_a_worker_has_them(scene: Scene) -> None:
    """Over all batches in progress; a lane of which nothing waits is told with 0."""
    worker = scene.worker()
    scene.running("b1", (2, 2), (CHEAP, SLOW))
    scene.running("b2", (3,), (SLOW,))
    assert waiting(scene) == {"openai/fast batch": 2, "local/slow realtime": 5}
    scene.claim(worker, "b2", SLOW)
    assert waiting(scene) == {"openai/fast batch": 2, "local/slow realtime": 2}
    scene.claim(worker, "b1", CHEAP)
    assert waiting(scene) == {"openai/fast batch": 0, "local/slow realtime": 2}


def test_a_native_job_that_has_not_ended_is_told(scene: Scene) -> None:
    scene.worker()
    scene.sent("w1")
    assert dict(backlog(scene).jobs) == {"created": 1}


def test_it_tells_the_oldest_batch_and_that_with_lines_waiting(scene: Scene) -> None:
    worker = scene.worker()
    scene.create("old")
    first_ms = scene.now
    scene.now += 1000
    scene.running("b1", (2,))
    told = backlog(scene)
    assert (told.oldest_ms, told.oldest_waiting_ms) == (first_ms, first_ms + 1000)
    assert dict(told.batches) == {"validating": 1, "in_progress": 1}
    scene.claim(worker, "b1")
    assert backlog(scene).oldest_waiting_ms is None


def test_a_batch_that_is_over_is_in_nothing(scene: Scene) -> None:
    worker = scene.worker()
    scene.running("b1", (2,))
    scene.answer_all(worker)
    scene.end(worker, "b1", BatchEvent.COMPLETE)
    told = backlog(scene)
    assert (dict(told.batches), told.oldest_ms, told.oldest_waiting_ms) == ({}, None, None)


def test_workers_are_those_whose_lease_runs(scene: Scene) -> None:
    scene.worker("w1")
    scene.now += LEASE_MS - 1
    scene.worker("w2")
    assert backlog(scene).workers == 2
    scene.now += 1
    assert backlog(scene).workers == 1


def test_what_workers_have_under_way_is_told_by_lane(scene: Scene) -> None:
    """Over all of them, as of their last beats."""
    for worker in ("w1", "w2"):
        scene.worker(worker)
    scene.running("b1", (2, 2), (FAST, CHEAP))
    fast = scene.lane_id(FAST)
    for worker, in_flight in (("w1", 3), ("w2", 4)):
        load = Load(lane_id=fast, batch_id="b1", in_flight=in_flight, retrying=1)
        scene.ledger.beat(worker, scene.now, LEASE_MS, [load])
    assert dict(backlog(scene).loads) == {fast: (7, 2)}
    scene.ledger.resign("w1")
    assert dict(backlog(scene).loads) == {fast: (4, 1)}
