"""Every state change writes one event, in the same step."""

from __future__ import annotations

from batchrouter.domain.lifecycle import BatchEvent
from tests.conformance.scene import REFUSAL, TENANT, WINDOW_MS, Scene


def told(scene: Scene, batch_id: str = "b1") -> list[str]:
    events = scene.catalog.events(batch_id, 0, 100)
    assert [event.no for event in events] == list(range(1, len(events) + 1))
    assert {event.batch_id for event in events} <= {batch_id}
    return [event.type for event in events]


def test_a_batch_tells_its_whole_life(scene: Scene) -> None:
    """From its birth to its end, each state once, numbered from 1."""
    worker = scene.worker()
    scene.running()
    scene.answer_all(worker)
    scene.end(worker, "b1", BatchEvent.COMPLETE)
    assert told(scene) == ["batch.validating", "batch.in_progress", "batch.finalizing", "batch.completed"]


def test_each_end_is_told_by_its_name(scene: Scene) -> None:
    """Failed, cancelled, expired."""
    worker = scene.worker(lease_ms=2 * WINDOW_MS)
    scene.create("b1")
    scene.ledger.plan(worker, scene.duty(worker, "b1"), REFUSAL, scene.now)
    scene.running("b2")
    scene.end(worker, "b2", BatchEvent.CANCEL)
    scene.running("b3")
    scene.now += WINDOW_MS + 1
    scene.end(worker, "b3", BatchEvent.EXPIRE)
    assert [told(scene, batch_id)[-1] for batch_id in ("b1", "b2", "b3")] == [
        "batch.failed",
        "batch.cancelled",
        "batch.expired",
    ]


def test_events_carry_the_time_of_their_change(scene: Scene) -> None:
    """The time that the verb was given."""
    scene.worker()
    scene.running()
    scene.now += 77
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    last = scene.catalog.events("b1", 0, 100)[-1]
    assert (last.type, last.at_ms) == ("batch.cancelling", scene.now)


def test_events_are_read_on_from_a_number(scene: Scene) -> None:
    """After N, at most so many; a batch that does not exist has none."""
    worker = scene.worker()
    scene.running()
    scene.end(worker, "b1", BatchEvent.CANCEL)
    assert [event.no for event in scene.catalog.events("b1", 1, 2)] == [2, 3]
    assert scene.catalog.events("b1", 4, 10) == []
    assert scene.catalog.events("nothing", 0, 10) == []


def test_settling_is_no_event(scene: Scene) -> None:
    """Only state changes are told."""
    worker = scene.worker()
    scene.running()
    before = told(scene)
    scene.answer_all(worker)
    assert told(scene) == before
