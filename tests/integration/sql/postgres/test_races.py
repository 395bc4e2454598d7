"""Two processes at once: each race is replayed at the statement where it would hurt."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from batchrouter.domain.lifecycle import BatchEvent, BatchState, JobEvent
from batchrouter.domain.shard import LaneKey, Move
from batchrouter.errors import StaleLease
from tests.conformance.scene import CHEAP, FAST, LEASE_MS, SLOW, TENANT, Scene, draft_of, record, records_of
from tests.integration.sql.postgres.interloper import Pair

DAY_MS = 86_400_000


@pytest.fixture
def scene(pair: Pair) -> Scene:
    return pair.first


@pytest.fixture
def other(pair: Pair) -> Scene:
    return pair.other


def left(scene: Scene, batch_id: str = "b1") -> int:
    """Lines that the lanes still count."""
    return sum(share.waiting for share in scene.catalog.lane_shares(batch_id))


def run_out(scene: Scene, worker: str, batch_id: str = "b1") -> None:
    """Answer whatever can be claimed; afterwards every line must be done and no lane may count one."""
    for lane in (FAST, SLOW, CHEAP):
        scene.answer_all(worker, batch_id, lane)
    batch = scene.batch(batch_id)
    assert (scene.done(batch_id), batch.completed + batch.failed) == (batch.total, batch.total)
    assert left(scene, batch_id) == 0


# --- claims and moves -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["FROM shards WHERE", "FROM shards JOIN", "UPDATE shards"])
def test_two_claims_take_different_shards(pair: Pair, scene: Scene, other: Scene, statement: str) -> None:
    """Wherever the other comes, no shard is told to both, and none is lost."""
    scene.running("b1", (4, 4, 4, 4), worker=scene.worker("w1"))
    scene.worker("w2")
    with pair.at(statement, lambda: other.claim("w2", count=2)) as heard:
        mine = scene.claim("w1", count=2)
    told = {claim.shard_id for claim in (*mine, *heard.answer)}
    assert (len(mine), len(heard.answer), len(told), heard.waited) == (2, 2, 4, False)


def test_lines_that_were_answered_a_moment_ago_are_not_claimed(pair: Pair, scene: Scene, other: Scene) -> None:
    """A late result of an overtaken job comes while the shard to which its line went is being claimed."""
    worker = scene.worker("w1")
    duty = scene.sent(worker)
    (late,) = scene.jobs.job_shards("job_1")
    assert scene.jobs.overtake(worker, duty, FAST, scene.now) == 4
    results = scene.results(late, duty)[:2]
    with pair.at("FROM shards JOIN", lambda: other.settle("w1", "b1", results)) as heard:
        (claim,) = scene.claim(worker)
    assert heard.answer.admitted == 0b11
    assert heard.waited or claim.pending == 0b1100
    scene.settle(worker, "b1", records_of(claim))
    run_out(scene, worker)


@pytest.mark.parametrize("statement", ["FROM batches WHERE", "SELECT shards.id", "FROM shards JOIN", "INSERT INTO"])
def test_lines_do_not_move_while_they_are_settled(pair: Pair, scene: Scene, other: Scene, statement: str) -> None:
    """Either they were answered before, and stay; or they moved, and the answer counts no more."""
    worker = scene.worker("w1")
    scene.running("b1", (8,), worker=worker)
    claim = scene.claim_one(worker)
    answers = [record(claim, place) for place in range(4)]
    move = Move(shard_id=claim.shard_id, epoch=claim.epoch, members=0b1111, lane=SLOW)
    with pair.at(statement, lambda: other.settle(worker, "b1", answers)) as heard:
        (rest,) = scene.ledger.move(worker, [move], scene.now)
    assert heard.answer.admitted == (0 if heard.waited else 0b1111)
    assert left(scene) == (8 if heard.waited else 4)
    scene.settle(worker, "b1", records_of(rest))
    run_out(scene, worker)


def test_moves_and_answers_of_many_shards_wait_in_one_order(pair: Pair, scene: Scene, other: Scene) -> None:
    """No deadlock, though one names them forwards and the other backwards."""
    worker = scene.worker("w1")
    scene.running("b1", (4, 4, 4), worker=worker)
    claims = scene.claim(worker)
    moves = [Move(shard_id=each.shard_id, epoch=each.epoch, members=0b1, lane=SLOW) for each in reversed(claims)]
    answers = [record(each, 3) for each in claims]
    with pair.at("SELECT shards.id FROM shards", lambda: other.settle(worker, "b1", answers)) as heard:
        scene.ledger.move(worker, moves, scene.now)
    assert heard.answer.admitted == 0
    scene.ledger.release(worker, [(each.shard_id, each.epoch + 1) for each in claims])
    run_out(scene, worker)


# --- workers that come and go ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["FROM batches WHERE", "FROM shards WHERE", "UPDATE shards"])
def test_nobody_frees_a_worker_in_the_middle_of_its_claim(
    pair: Pair, scene: Scene, other: Scene, statement: str
) -> None:
    """What it takes would be nobody's for ever. It is freed with the next beat."""
    scene.running("b1", (4, 4), worker=scene.worker("w0"))
    scene.worker("w1", lease_ms=LEASE_MS // 4)
    pair.other.now += LEASE_MS // 4  # to the other it has lapsed, by a hair
    with pair.at(statement, lambda: other.ledger.beat("w0", other.now, LEASE_MS, [])) as heard:
        claims = scene.claim("w1")
    assert heard.answer.reaped == 0
    assert len(claims) == 2
    assert other.ledger.beat("w0", other.now, LEASE_MS, []).reaped == 2
    run_out(other, "w0")


def test_a_worker_that_was_freed_a_moment_ago_claims_nothing(pair: Pair, scene: Scene, other: Scene) -> None:
    """Its row is gone before it asks for it: nothing is taken."""
    scene.running("b1", (4,), worker=scene.worker("w0"))
    scene.worker("w1", lease_ms=LEASE_MS // 4)
    other.now += LEASE_MS // 4
    with (
        pair.at("FROM workers", lambda: other.ledger.beat("w0", other.now, LEASE_MS, [])),
        pytest.raises(StaleLease),
    ):
        scene.claim("w1")
    run_out(other, "w0")


def test_a_lease_that_is_renewed_a_moment_before_is_left_alone(pair: Pair, scene: Scene, other: Scene) -> None:
    """Whoever looks for lapsed leases sees the renewal, or that it is under way."""
    scene.running("b1", (4,), worker=scene.worker("w0"))
    scene.worker("w1", lease_ms=LEASE_MS // 4)
    scene.claim_one("w1")
    pair.pass_time(LEASE_MS // 4)
    with pair.at("FOR UPDATE SKIP LOCKED", lambda: other.ledger.beat("w1", other.now, LEASE_MS, [])) as heard:
        beat = scene.ledger.beat("w0", scene.now, LEASE_MS, [])
    assert heard.answer.alive
    assert beat.reaped == 0


def test_a_renewal_does_not_wait_for_a_claim(pair: Pair, scene: Scene, other: Scene) -> None:
    """However long the worker's other thread has its row."""
    scene.running("b1", (4,), worker=scene.worker("w1"))
    with pair.at("UPDATE shards", lambda: other.ledger.beat("w1", other.now, LEASE_MS, [])) as heard:
        scene.claim("w1")
    assert (heard.answer.alive, heard.waited) == (True, False)


def test_a_renewal_stands_whoever_holds_the_rows_of_the_dead(
    pair: Pair, scene: Scene, other: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are waited for only a moment, and are freed by a later beat."""
    monkeypatch.setattr("batchrouter.adapters.sql.ledger.presence._PATIENCE_MS", 20)
    scene.running("b1", (4,), worker=scene.worker("w0"))
    scene.worker("dead", lease_ms=LEASE_MS // 4)
    scene.claim_one("dead")
    pair.pass_time(LEASE_MS // 4)
    with other.store._database.write() as holding:  # type: ignore[attr-defined]
        holding.execute(sa.text("SELECT 1 FROM shards FOR UPDATE"))
        beat = scene.ledger.beat("w0", scene.now, LEASE_MS, [])
    assert (beat.alive, beat.reaped, beat.next_lapse_ms) == (True, 0, scene.now)
    pair.pass_time(LEASE_MS - 1)
    assert scene.claim("w0") == []  # its lease runs, and nothing is free yet
    for _ in range(2):  # the first is late itself
        beat = scene.ledger.beat("w0", scene.now, LEASE_MS, [])
    assert beat.reaped == 1
    run_out(scene, "w0")


@pytest.mark.parametrize("statement", ["FROM ranges", "FROM shards", "UPDATE shards", "UPDATE batches"])
def test_an_answer_and_a_takeover_agree(pair: Pair, scene: Scene, other: Scene, statement: str) -> None:
    """The answer of a worker that is being freed counts whole, or not at all."""
    scene.running("b1", (4, 4), worker=scene.worker("w0"))
    scene.worker("dead", lease_ms=LEASE_MS // 4)
    claims = scene.claim("dead")
    pair.pass_time(LEASE_MS // 4)
    answers = draft_of("b1", [record(claim, place) for claim in claims for place in range(2)])
    with pair.at(statement, lambda: other.ledger.beat("w0", other.now, LEASE_MS, [])) as heard:
        told = scene.ledger.settle("dead", answers, scene.now)
    assert heard.answer.reaped == 2
    assert told.admitted.bit_count() == scene.done() in (0, 4)
    run_out(other, "w0")


# --- duties ---------------------------------------------------------------------------------------------------------


def test_a_duty_is_given_to_one(pair: Pair, scene: Scene, other: Scene) -> None:
    """Of two that ask at once."""
    for worker in ("w1", "w2"):
        scene.worker(worker)
    for number in range(3):
        scene.create(f"b{number}")
    with pair.at("UPDATE batches", lambda: other.ledger.take_duties("w2", other.now, 10)) as heard:
        mine = scene.ledger.take_duties("w1", scene.now, 2)
    told = [duty.batch_id for duty in (*mine, *heard.answer)]
    assert (len(mine), len(heard.answer), len(set(told)), heard.waited) == (2, 1, 3, False)


def test_the_duty_on_a_job_is_given_to_one(pair: Pair, scene: Scene, other: Scene) -> None:
    """As the duty on a batch."""
    scene.worker("w2")
    scene.running("b1", (4,), (CHEAP,), scene.worker("w1"))
    scene.intend("w1", scene.claim("w1", lane=CHEAP))
    with pair.at("UPDATE jobs", lambda: other.jobs.take_jobs("w2", other.now, 10)) as heard:
        mine = scene.jobs.take_jobs("w1", scene.now, 10)
    assert (len(mine), len(heard.answer)) == (1, 0)


def test_cancel_and_completion_do_not_both_close(pair: Pair, scene: Scene, other: Scene) -> None:
    """Whichever commits first wins; the other changes nothing, and each event has its number."""
    worker = scene.worker("w1")
    scene.running("b1", (4,), worker=worker)
    scene.answer_all(worker)
    duty = scene.duty(worker, "b1")
    with pair.at("UPDATE batches", lambda: other.catalog.cancel_batch(TENANT, "b1", other.now)) as heard:
        assert scene.ledger.close(worker, duty, BatchEvent.COMPLETE, scene.now)
    assert heard.waited
    assert scene.state("b1") is BatchState.FINALIZING
    assert [event.no for event in scene.catalog.events("b1", 0, 10)] == [1, 2, 3]


@pytest.mark.parametrize("statement", ["UPDATE shards", "FROM shards WHERE"])
def test_a_claim_and_a_seal_agree(pair: Pair, scene: Scene, other: Scene, statement: str) -> None:
    """What is claimed at that moment is sealed with the rest: its answers count no more."""
    worker = scene.worker("w1")
    scene.running("b1", (4, 4), worker=scene.worker("w0"))
    duty = scene.closed("w0", "b1", BatchEvent.CANCEL)
    # As if the claim had seen the batch in progress.
    with pytest.MonkeyPatch.context() as patch:
        from batchrouter.adapters.sql.ledger import shards as verbs
        from batchrouter.adapters.sql.schema import batches

        patch.setattr(verbs, "_SEQ", verbs.sa.select(batches.c.seq).where(batches.c.id == verbs.param("batch")))
        with pair.at(statement, lambda: other.ledger.seal("w0", duty)) as heard:
            claims = scene.claim(worker)
    assert heard.answer is None
    for claim in claims:
        assert scene.settle(worker, "b1", records_of(claim)).admitted == 0
    scene.fill_gaps("w0", duty)
    assert scene.finish("w0", duty)


def test_a_completion_waits_for_a_cancel(pair: Pair, scene: Scene, other: Scene) -> None:
    """The same, with the cancel before."""
    worker = scene.worker("w1")
    scene.running("b1", (4,), worker=worker)
    scene.answer_all(worker)
    duty = scene.duty(worker, "b1")
    with pair.at("UPDATE batches", lambda: other.ledger.close(worker, duty, BatchEvent.COMPLETE, other.now)) as heard:
        scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    assert (heard.answer, heard.waited) == (False, True)
    assert scene.state("b1") is BatchState.CANCELLING


@pytest.mark.parametrize("statement", ["FROM ranges", "UPDATE ranges", "INSERT INTO segments"])
def test_two_workers_answer_at_once(pair: Pair, scene: Scene, other: Scene, statement: str) -> None:
    """Different lines of one range, and one line both: each counts once, and every segment has its number."""
    for worker in ("w1", "w2"):
        scene.worker(worker)
    scene.running("b1", (8,), (FAST, SLOW), "w1")
    fast, slow = scene.claim_one("w1"), scene.claim_one("w2", lane=SLOW)
    with pair.at(statement, lambda: other.settle("w2", "b1", records_of(slow))) as heard:
        mine = scene.settle("w1", "b1", records_of(fast))
    assert heard.waited
    assert (mine.seq, heard.answer.seq, heard.answer.drained) == (1, 2, True)
    assert scene.batch("b1").completed == 8
    run_out(scene, "w1")


def test_a_job_ends_while_its_results_come(pair: Pair, scene: Scene, other: Scene) -> None:
    """They are before its end, and count, or after it, and its lines run elsewhere."""
    worker = scene.worker("w1")
    duty = scene.sent(worker)
    (shard,) = scene.jobs.job_shards("job_1")
    results = scene.results(shard, duty)[:2]
    with pair.at("FROM shards JOIN", lambda: other.settle(worker, "b1", results)) as heard:
        moved = scene.jobs.end_job(worker, duty, JobEvent.COLLECT, FAST, None, scene.now)
    assert (moved, heard.answer.admitted, heard.waited) == (4, 0, True)
    run_out(scene, worker)


def test_a_job_is_not_made_of_a_batch_that_closes(pair: Pair, scene: Scene, other: Scene) -> None:
    """The cancel waits, and then finds the job and makes it due."""
    worker = scene.worker("w1")
    scene.running("b1", (4,), (CHEAP,), worker)
    claims = scene.claim(worker, lane=CHEAP)
    with pair.at("INSERT INTO jobs", lambda: other.catalog.cancel_batch(TENANT, "b1", other.now)) as heard:
        scene.intend(worker, claims, next_ms=scene.now + DAY_MS)
    assert heard.waited
    assert [duty.job.id for duty in scene.jobs.take_jobs(worker, scene.now, 10)] == ["job_1"]


def test_a_lane_that_two_name_first_is_one(pair: Pair, scene: Scene, other: Scene) -> None:
    """Both hear the same number."""
    key = LaneKey("openai", "new")
    with pair.at("INSERT INTO lanes", lambda: other.lane_id(key)) as heard:
        mine = scene.lane_id(key)
    assert mine == heard.answer
