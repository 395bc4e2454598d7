"""Native jobs and their shards: handed over, kept through every death, overtaken, ended. No line is lost or doubled."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchrouter.domain.job import JobDuty
from batchrouter.domain.lifecycle import BatchEvent, JobEvent
from batchrouter.domain.outcome import Outcome, Record
from batchrouter.domain.shard import LaneKey, Move
from batchrouter.errors import StaleLease
from tests.conformance.scene import CHEAP, FAST, LEASE_MS, SLOW, TENANT, Scene, records_of


def lines(scene: Scene, lane: LaneKey) -> tuple[int, int, int]:
    """(waiting, in a job, done) of b1 in that lane."""
    told = {share.lane_id: (share.waiting, share.in_job, share.done) for share in scene.catalog.lane_shares("b1")}
    return told.get(scene.lane_id(lane), (0, 0, 0))


def all_results(scene: Scene, duty: JobDuty) -> list[Record]:
    return [each for shard in scene.jobs.job_shards(duty.job.id) for each in scene.results(shard, duty)]


# --- handing over ---------------------------------------------------------------------------------------------------


def test_a_job_takes_over_the_shards_of_its_worker(scene: Scene) -> None:
    """Under raised epochs, with their pending lines; they wait for nobody, and the worker has lost them."""
    worker = scene.worker()
    scene.running("b1", (4, 3), (CHEAP,))
    claims = scene.claim(worker, lane=CHEAP)
    scene.settle(worker, "b1", records_of(replace(claims[0], pending=0b0001)))
    job = scene.intend(worker, claims)
    shards = scene.jobs.job_shards(job.id)
    assert [(shard.shard_id, shard.range_no, shard.first_line, shard.lines) for shard in shards] == [
        (claims[0].shard_id, 0, 0, 4),
        (claims[1].shard_id, 1, 4, 3),
    ]
    assert [(shard.members, shard.done, shard.open) for shard in shards] == [(0b1111, 0b0001, True), (0b111, 0, True)]
    assert [shard.epoch for shard in shards] == [claim.epoch + 1 for claim in claims]
    assert scene.ledger.waiting(scene.now) == []
    assert scene.claim(worker, lane=CHEAP) == []
    assert scene.settle(worker, "b1", records_of(claims[1])).admitted == 0
    scene.ledger.release(worker, [(claim.shard_id, claim.epoch) for claim in claims])
    assert scene.jobs.job_shards(job.id) == shards
    assert lines(scene, CHEAP) == (0, 6, 1)


def test_a_batch_that_closes_hands_over_nothing(scene: Scene) -> None:
    """The shards stay the worker's as they were, and there is no job."""
    worker = scene.worker()
    scene.running("b1", lanes=(CHEAP,))
    (claim,) = scene.claim(worker, lane=CHEAP)
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    assert not scene.jobs.intend(worker, scene.new_job([claim]), [(claim.shard_id, claim.epoch)], scene.now)
    gone = scene.new_job([claim], batch_id="gone")
    assert not scene.jobs.intend(worker, gone, [(claim.shard_id, claim.epoch)], scene.now)
    assert scene.jobs.jobs("b1") == []
    assert scene.settle(worker, "b1", records_of(claim)).admitted == 0b1111


@pytest.mark.parametrize("wrong", ["another's", "stale", "of another batch", "of another lane"])
def test_a_job_gets_all_its_shards_or_there_is_none(wrong: str, scene: Scene) -> None:
    """One that is not the worker's to give refuses the job, and the others stay the worker's."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running("b1", (2, 2), (CHEAP, FAST))
    scene.running("b2", (2,), (CHEAP,))
    (good,) = scene.claim("w1", lane=CHEAP, count=1)
    bad = {
        "another's": lambda: scene.claim_one("w2", lane=CHEAP),
        "stale": lambda: replace(scene.claim_one("w1", lane=CHEAP), epoch=0),
        "of another batch": lambda: scene.claim_one("w1", "b2", CHEAP),
        "of another lane": lambda: scene.claim_one("w1", lane=FAST),
    }[wrong]()
    pairs = [(good.shard_id, good.epoch), (bad.shard_id, bad.epoch)]
    before = scene.picture("b1")
    for order in (pairs, pairs[::-1]):
        with pytest.raises(StaleLease):
            scene.jobs.intend("w1", scene.new_job([good]), order, scene.now)
    assert scene.picture("b1") == before
    assert scene.jobs.jobs("b1") == []
    assert scene.settle("w1", "b1", records_of(good)).admitted


@pytest.mark.parametrize("going", ["lapse", "resign", "restart"])
def test_a_job_keeps_its_shards_whoever_dies(going: str, scene: Scene) -> None:
    """It lives longer than any worker: its lines are not given out again, and its results count."""
    scene.worker("w1")
    duty = scene.sent("w1", (4, 3))
    results = all_results(scene, duty)
    before = scene.jobs.job_shards("job_1")
    if going == "lapse":
        scene.now += LEASE_MS + 1
        scene.worker("w2")
        assert scene.ledger.beat("w2", scene.now, LEASE_MS, []).reaped == 0
    elif going == "resign":
        scene.ledger.resign("w1")
        scene.worker("w2")
    else:
        scene.worker("w2", alone=True)
    assert scene.jobs.job_shards("job_1") == before
    assert scene.ledger.waiting(scene.now) == []
    assert scene.claim("w2", lane=CHEAP) == []
    assert lines(scene, CHEAP) == (0, 7, 0)
    assert scene.settle("w2", "b1", results).drained


def test_results_count_by_the_shards_of_the_job(scene: Scene) -> None:
    """Whoever brings them, line by line; a repeat counts nothing, and a line that is done keeps its first answer."""
    worker = scene.worker()
    duty = scene.sent(worker, (4,))
    results = all_results(scene, duty)
    assert scene.settle("another", "b1", results[:2]).admitted == 0b11
    assert lines(scene, CHEAP) == (0, 2, 2)
    told = scene.settle(worker, "b1", results)
    assert (told.admitted, told.drained) == (0b1100, True)
    assert scene.settle(worker, "b1", results).admitted == 0
    assert scene.jobs.job_shards("job_1")[0].done == 0b1111
    assert lines(scene, CHEAP) == (0, 0, 4)


# --- overtaking -----------------------------------------------------------------------------------------------------


def test_overtaking_frees_the_pending_lines_and_keeps_late_results(scene: Scene) -> None:
    """They wait in the other lane; what the job still brings counts where no answer has come, and for both lanes."""
    worker = scene.worker()
    duty = scene.sent(worker, (4, 3))
    results = all_results(scene, duty)
    scene.settle(worker, "b1", results[:1])
    before = scene.jobs.job_shards("job_1")
    assert scene.jobs.overtake(worker, duty, FAST, scene.now) == 6
    assert scene.job().twice == 6
    assert scene.jobs.job_shards("job_1") == [replace(shard, open=False) for shard in before]
    assert (lines(scene, CHEAP), lines(scene, FAST)) == ((0, 0, 1), (6, 0, 0))
    first, second = scene.claim(worker)
    assert (first.pending, second.pending) == (0b1110, 0b111)
    assert scene.settle(worker, "b1", records_of(replace(first, pending=0b0010))).admitted == 1
    assert scene.settle(worker, "b1", results).admitted == 0b1111100  # not the one before, nor the one in real time
    assert (lines(scene, CHEAP), lines(scene, FAST)) == ((0, 0, 6), (0, 0, 1))
    assert scene.settle(worker, "b1", records_of(second)).admitted == 0
    scene.ledger.release(worker, [(claim.shard_id, claim.epoch) for claim in (first, second)])
    assert scene.ledger.waiting(scene.now) == []
    assert scene.batch("b1").completed == 7


def test_overtaking_again_moves_nothing_and_the_duty_is_kept(scene: Scene) -> None:
    """Its lines have gone already; the step goes on with the same duty."""
    worker = scene.worker()
    duty = scene.sent(worker)
    assert scene.jobs.overtake(worker, duty, FAST, scene.now) == 4
    before = scene.picture("b1")
    assert scene.jobs.overtake(worker, duty, SLOW, scene.now) == 0
    assert scene.picture("b1") == before
    assert scene.note(worker, duty, JobEvent.CANCEL).twice == 4


def test_overtaking_leaves_a_batch_alone_that_closes(scene: Scene) -> None:
    """Its lines are told as gaps, not sent; until the seal the job's results count."""
    worker = scene.worker()
    duty = scene.sent(worker)
    results = all_results(scene, duty)
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    assert scene.jobs.overtake(worker, duty, FAST, scene.now) == 0
    assert scene.job().twice == 0
    assert [shard.open for shard in scene.jobs.job_shards("job_1")] == [True]
    assert scene.settle(worker, "b1", results[:3]).admitted == 0b111


@pytest.mark.parametrize("verb", ["overtake", "end"])
def test_lines_of_one_range_stay_together(verb: str, scene: Scene) -> None:
    """Two shards of one range, both the job's, leave it as one; lines that are done are left behind."""
    worker = scene.worker()
    scene.running("b1", (6,), (SLOW, CHEAP))
    (slow,) = scene.claim(worker, lane=SLOW)
    (cheap,) = scene.claim(worker, lane=CHEAP)
    scene.ledger.move(
        worker, [Move(shard_id=slow.shard_id, epoch=slow.epoch, members=slow.pending, lane=CHEAP)], scene.now
    )
    (more,) = scene.claim(worker, lane=CHEAP)
    scene.settle(worker, "b1", records_of(cheap)[:1])
    scene.intend(worker, [cheap, more])
    duty = scene.job_duty(worker)
    if verb == "overtake":
        assert scene.jobs.overtake(worker, duty, FAST, scene.now) == 5
    else:
        assert scene.jobs.end_job(worker, duty, JobEvent.ABANDON, FAST, None, scene.now) == 5
    (claim,) = scene.claim(worker)
    assert claim.pending == 0b111101
    assert lines(scene, FAST) == (5, 0, 0)
    assert lines(scene, CHEAP) == (0, 0, 1)


# --- ending ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lane", [CHEAP, FAST], ids=["the same lane", "another lane"])
def test_what_an_ended_job_has_left_waits_in_a_lane(lane: LaneKey, scene: Scene) -> None:
    """By range; the job has no shard any more, and nothing that it still brings counts."""
    worker = scene.worker()
    duty = scene.sent(worker, (4, 3))
    results = all_results(scene, duty)
    scene.settle(worker, "b1", results[:5])
    assert scene.jobs.end_job(worker, duty, JobEvent.COLLECT, lane, "expired", scene.now) == 2
    assert scene.jobs.job_shards("job_1") == []
    assert scene.settle(worker, "b1", results).admitted == 0
    assert lines(scene, lane)[:2] == (2, 0)
    (claim,) = scene.claim(worker, lane=lane)
    assert (claim.range_no, claim.pending) == (1, 0b110)
    assert scene.settle(worker, "b1", records_of(claim)).drained
    with pytest.raises(StaleLease):
        scene.jobs.end_job(worker, duty, JobEvent.COLLECT, lane, "expired", scene.now)


def test_a_job_that_has_brought_everything_leaves_nothing(scene: Scene) -> None:
    """No line waits anywhere, and its batch is ready to close."""
    worker = scene.worker()
    duty = scene.sent(worker, (4, 3))
    scene.settle(worker, "b1", all_results(scene, duty))
    assert scene.jobs.end_job(worker, duty, JobEvent.COLLECT, FAST, None, scene.now) == 0
    assert scene.ledger.waiting(scene.now) == []
    assert scene.end(worker, "b1", BatchEvent.COMPLETE).completed == 7


def test_an_overtaken_job_that_ends_leaves_its_lines_where_they_are(scene: Scene) -> None:
    """They are not given out a second time, and late results count no more."""
    worker = scene.worker()
    duty = scene.sent(worker)
    results = all_results(scene, duty)
    scene.jobs.overtake(worker, duty, FAST, scene.now)
    assert scene.jobs.end_job(worker, duty, JobEvent.COLLECT, SLOW, None, scene.now) == 0
    assert scene.settle(worker, "b1", results).admitted == 0
    assert (lines(scene, FAST), lines(scene, SLOW)) == ((4, 0, 0), (0, 0, 0))


@pytest.mark.parametrize("sealed", [False, True])
def test_a_job_that_ends_after_its_batch_began_to_close_frees_no_line(sealed: bool, scene: Scene) -> None:
    """Its shards are only closed: the lines without an answer are the gaps of whoever closes the batch."""
    worker = scene.worker()
    duty = scene.sent(worker)
    results = all_results(scene, duty)
    closing = scene.closed(worker, "b1", BatchEvent.CANCEL)
    if sealed:
        scene.ledger.seal(worker, closing)
        assert scene.jobs.job_shards("job_1") == []
    scene.settle(worker, "b1", results[:1])
    assert scene.jobs.end_job(worker, duty, JobEvent.COLLECT, FAST, None, scene.now) == 0
    assert scene.settle(worker, "b1", results).admitted == 0
    assert (lines(scene, CHEAP)[:2], lines(scene, FAST)) == ((0, 0), (0, 0, 0))
    scene.ledger.seal(worker, closing)
    scene.fill_gaps(worker, closing)
    assert scene.finish(worker, closing)
    assert scene.batch("b1").completed == (0 if sealed else 1)


@pytest.mark.parametrize("overtaken", [False, True])
def test_after_the_seal_no_result_of_a_job_counts(overtaken: bool, scene: Scene) -> None:
    """Neither by its open shards, nor by those that were overtaken: a gap and an answer for one line would be two."""
    worker = scene.worker()
    duty = scene.sent(worker)
    results = all_results(scene, duty)
    if overtaken:
        scene.jobs.overtake(worker, duty, FAST, scene.now)
    closing = scene.closed(worker, "b1", BatchEvent.CANCEL)
    assert scene.settle(worker, "b1", results[:1]).admitted == 1
    scene.ledger.seal(worker, closing)
    assert scene.settle(worker, "b1", results).admitted == 0
    told = scene.fill_gaps(worker, closing, Outcome.CANCELLED)
    assert told is not None
    assert told.drained
    assert scene.settle(worker, "b1", results).admitted == 0
    shares = scene.catalog.lane_shares("b1")
    assert [share.waiting + share.in_job for share in shares] == [0] * len(shares)
