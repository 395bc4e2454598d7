"""What a batch had in flight, noted with the workers' beats."""

from __future__ import annotations

import itertools

from batchrouter.domain.samples import LEAST_MS, due_ms
from batchrouter.domain.shard import Load, Sample
from tests.conformance.scene import CHEAP, FAST, LEASE_MS, Scene


def beat(scene: Scene, worker: str, lane_id: int, in_flight: int, throttled: int = 0, batch_id: str = "b1") -> None:
    load = Load(lane_id=lane_id, batch_id=batch_id, in_flight=in_flight, retrying=1, throttled=throttled)
    assert scene.ledger.beat(worker, scene.now, LEASE_MS, [load]).alive


def samples(scene: Scene, limit: int = 100) -> list[Sample]:
    return scene.store.results.samples("b1", limit)


def test_a_sample_sums_up_all_workers(scene: Scene) -> None:
    """With the lane's limit, and what its lines had cost."""
    for worker in ("w1", "w2"):
        scene.worker(worker)
    scene.running("b1", (4, 4))
    lane = scene.ledger.lane(FAST)
    beat(scene, "w1", lane.id, 5, throttled=2)
    scene.now += LEAST_MS
    beat(scene, "w2", lane.id, 7, throttled=1)
    first, second = samples(scene)
    assert first == Sample(
        lane_id=lane.id, at_ms=scene.now - LEAST_MS, in_flight=5, limit=lane.limit, throttled=2, cost_nano=0
    )
    assert (second.in_flight, second.throttled) == (12, 3)
    assert samples(scene, 1) == [second]
    assert scene.store.results.samples("nothing", 10) == []


def test_samples_keep_their_distance(scene: Scene) -> None:
    """Whoever beats; the older a batch, the larger it is."""
    for worker in ("w1", "w2"):
        scene.worker(worker)
    scene.running("b1", (4,))
    lane_id = scene.lane_id(FAST)
    began_ms = scene.now
    for _ in range(40):
        for worker in ("w1", "w2"):
            beat(scene, worker, lane_id, 1)
        scene.now += 700
    scene.now += 3_600_000
    scene.worker("w3")
    for _ in range(40):
        beat(scene, "w3", lane_id, 1)
        scene.now += 700
    times = [each.at_ms for each in samples(scene)]
    assert times == sorted(set(times))
    gaps = [(after - before, due_ms(after - began_ms)) for before, after in itertools.pairwise(times)]
    assert all(due <= gap < due + 1_500 for gap, due in gaps if gap < 3_600_000)
    assert max(due for _, due in gaps) > LEAST_MS


def test_lanes_and_batches_are_told_apart(scene: Scene) -> None:
    """And only batches in progress are noted, those of the worker that beats."""
    worker = scene.worker()
    scene.running("b1", (2, 2), (FAST, CHEAP))
    scene.running("b2", (2,))
    fast, cheap = scene.lane_id(FAST), scene.lane_id(CHEAP)
    loads = [Load(lane_id=lane_id, batch_id="b1", in_flight=lane_id, retrying=0) for lane_id in (fast, cheap)]
    scene.ledger.beat(worker, scene.now, LEASE_MS, loads)
    assert [(each.lane_id, each.in_flight) for each in samples(scene)] == sorted([(fast, fast), (cheap, cheap)])
    assert scene.store.results.samples("b2", 10) == []
    scene.catalog.cancel_batch(scene.batch("b1").tenant_id, "b1", scene.now)
    scene.now += LEAST_MS
    beat(scene, worker, fast, 1)
    assert len(samples(scene)) == 2
