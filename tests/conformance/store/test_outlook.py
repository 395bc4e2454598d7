"""One look tells what there is to do, and whose turn it is."""

from __future__ import annotations

import pytest

from batchrouter.domain.shard import Outlook
from tests.conformance.scene import CHEAP, LEASE_MS, SLOW, TENANT, Scene


def outlook(scene: Scene, worker: str = "w1") -> Outlook:
    return scene.ledger.outlook(worker, scene.now, 1)


def test_nothing_is_to_be_done_where_nothing_is(scene: Scene) -> None:
    scene.worker()
    assert outlook(scene) == Outlook()


def test_it_tells_what_waits(scene: Scene) -> None:
    """As the verb does that tells nothing else."""
    worker = scene.worker()
    scene.running("b1", (2, 2), (CHEAP, SLOW))
    scene.running("b2", (1,))
    assert len(outlook(scene).waiting) == 3
    assert list(outlook(scene).waiting) == scene.ledger.waiting(scene.now)
    scene.claim(worker, "b2")
    assert list(outlook(scene).waiting) == scene.ledger.waiting(scene.now)
    assert not outlook(scene).duties


def test_it_tells_of_steps_that_the_worker_could_take(scene: Scene) -> None:
    """Of a batch, until another has the duty; when every line is done; and when its window is over."""
    scene.worker("w1")
    scene.worker("w2")
    scene.create("b1")
    assert outlook(scene).duties
    scene.duty("w1", "b1")
    assert outlook(scene, "w1").duties
    assert not outlook(scene, "w2").duties
    expires_ms = scene.running("b2").expires_ms
    assert not outlook(scene, "w2").duties
    scene.answer_all("w2", "b2")
    assert outlook(scene, "w2").duties
    scene.running("b3")
    scene.now = expires_ms
    assert outlook(scene, "w2").duties


def test_it_tells_of_jobs_that_are_due(scene: Scene) -> None:
    """Not before their time, and not of those that another steps."""
    scene.worker("w1")
    duty = scene.sent("w1")
    assert outlook(scene, "w1").jobs
    assert not outlook(scene, "w2").jobs
    scene.note("w1", duty, next_ms=scene.now + 1000)
    assert not outlook(scene, "w2").jobs
    scene.now += 1000
    assert outlook(scene, "w2").jobs
    scene.catalog.cancel_batch(TENANT, duty.job.batch_id, scene.now)
    assert outlook(scene, "w2").duties


@pytest.mark.parametrize("names", [("sweep", "sweep"), ("sweep", "orphans")])
def test_a_turn_is_one_workers_until_its_time_is_over(names: tuple[str, str], scene: Scene) -> None:
    """Of each name for itself."""
    first, second = names
    assert scene.ledger.turn(first, scene.now, LEASE_MS)
    assert scene.ledger.turn(second, scene.now, LEASE_MS) is (first != second)
    scene.now += LEASE_MS - 1
    assert not scene.ledger.turn(first, scene.now, LEASE_MS)
    scene.now += 1
    assert scene.ledger.turn(first, scene.now, LEASE_MS)
    assert not scene.ledger.turn(first, scene.now, LEASE_MS)
