"""Native jobs: a row that owns its shards, stepped by whoever takes its duty."""

from __future__ import annotations

from dataclasses import replace

from tests.conformance.scene import CHEAP, Scene, records_of


def test_a_job_takes_over_the_shards_of_its_worker(scene: Scene) -> None:
    """Under raised epochs, with their pending lines; they wait for nobody, and the worker has lost them."""
    worker = scene.worker()
    scene.running("b1", (4, 3), (CHEAP,))
    claims = scene.claim(worker, lane=CHEAP)
    scene.settle(worker, "b1", records_of(replace(claims[0], pending=0b0001)))
    job = scene.intend(worker, claims, reason="why", data={"input": "file-1"})
    assert scene.jobs.jobs("b1") == scene.catalog.jobs("b1") == [job]
    shards = scene.jobs.job_shards(job.id)
    assert [(shard.shard_id, shard.range_no, shard.members, shard.done, shard.open) for shard in shards] == [
        (claims[0].shard_id, 0, 0b1111, 0b0001, True),
        (claims[1].shard_id, 1, 0b111, 0, True),
    ]
    assert [shard.epoch for shard in shards] == [claim.epoch + 1 for claim in claims]
    assert scene.ledger.waiting(scene.now) == []
    assert scene.claim(worker, lane=CHEAP) == []
    assert scene.settle(worker, "b1", records_of(claims[1])).admitted == 0
    (share,) = scene.catalog.lane_shares("b1")
    assert (share.mode, share.waiting, share.in_job, share.done) == ("batch", 0, 6, 1)


def test_results_count_by_the_shards_of_the_job(scene: Scene) -> None:
    """Whoever brings them, line by line; a repeat counts nothing, and a line that is done keeps its first answer."""
    worker = scene.worker()
    duty = scene.sent(worker, (4,))
    (shard,) = scene.jobs.job_shards("job_1")
    results = scene.results(shard, duty)
    assert scene.settle("another", "b1", results[:2]).admitted == 0b11
    assert scene.catalog.lane_shares("b1")[0].in_job == 2
    told = scene.settle(worker, "b1", results)
    assert (told.admitted, told.drained) == (0b1100, True)
    assert scene.settle(worker, "b1", results).admitted == 0
    assert scene.jobs.job_shards("job_1")[0].done == 0b1111
    (share,) = scene.catalog.lane_shares("b1")
    assert (share.in_job, share.done, share.waiting) == (0, 4, 0)
