"""Native jobs as rows: written down, stepped under duties, noted, ended, told to people."""

from __future__ import annotations

import pytest

from batchrouter.domain.job import Enqueued
from batchrouter.domain.lifecycle import BatchEvent, BatchState, JobEvent, JobState
from batchrouter.errors import IllegalTransition, StaleLease, StoreError
from tests.conformance.scene import CHEAP, FAST, LEASE_MS, SLOW, TENANT, WINDOW_MS, Scene

LATER_MS = 10_000


def due(scene: Scene, worker: str) -> list[str]:
    return [duty.job.id for duty in scene.jobs.take_jobs(worker, scene.now, 100)]


# --- writing down ---------------------------------------------------------------------------------------------------


def test_a_job_is_told_as_it_was_written_down(scene: Scene) -> None:
    """Oldest first, to the engine and to people; a batch without jobs, or that nobody knows, has none."""
    worker = scene.worker()
    scene.running("b1", (4, 3), (CHEAP,))
    scene.create("b2")
    first, second = scene.claim(worker, lane=CHEAP)
    jobs = [
        scene.intend(worker, [first], "job_b", reason="why", data={"input": "file-1"}, next_ms=scene.now + 5),
        scene.intend(worker, [second], "job_a"),
    ]
    assert scene.jobs.jobs("b1") == scene.catalog.jobs("b1") == jobs
    assert scene.jobs.jobs("b2") == scene.catalog.jobs("nothing") == []


def test_a_start_that_is_alone_makes_all_jobs_due(scene: Scene) -> None:
    """What they waited for may have been mended while nobody ran. One that has ended stays as it is; a start beside
    others changes nothing."""
    worker = scene.worker("w1")
    scene.running("b1", (4, 3), (CHEAP,))
    first, second = scene.claim(worker, lane=CHEAP)
    scene.intend(worker, [first], "job_a", next_ms=scene.now + LATER_MS)
    scene.intend(worker, [second], "job_b", next_ms=scene.now)
    duty = scene.job_duty("w1", "job_b")
    scene.jobs.end_job("w1", duty, JobEvent.ABANDON, CHEAP, None, scene.now)
    ended = scene.jobs.jobs("b1")[1]
    scene.worker("w2", alone=False)
    assert due(scene, "w2") == []
    scene.worker("w3", alone=True)
    assert due(scene, "w3") == ["job_a"]
    assert scene.jobs.jobs("b1")[1] == ended


def test_the_same_job_is_not_written_down_twice(scene: Scene) -> None:
    """A second one of that id takes no shard."""
    worker = scene.worker()
    scene.running("b1", (4, 3), (CHEAP,))
    first, second = scene.claim(worker, lane=CHEAP)
    job = scene.intend(worker, [first])
    with pytest.raises(StoreError):
        scene.jobs.intend(worker, scene.new_job([second]), [(second.shard_id, second.epoch)], scene.now)
    assert scene.jobs.jobs("b1") == [job]
    assert [shard.shard_id for shard in scene.jobs.job_shards(job.id)] == [first.shard_id]
    assert scene.ledger.waiting(scene.now) == []


def test_what_is_under_way_in_a_lane_is_summed_over_batches_and_workers(scene: Scene) -> None:
    """From the moment it is written down until it is collected."""
    assert scene.jobs.enqueued(scene.lane_id(CHEAP)) == Enqueued(0, 0, 0)
    for number, worker in enumerate(("w1", "w2"), 1):
        scene.worker(worker)
        scene.running(f"b{number}", (4, 4), (CHEAP, FAST), worker)
        claims = scene.claim(worker, f"b{number}", CHEAP)
        scene.intend(worker, claims, f"job_{number}", tokens=100 * number)
    assert scene.jobs.enqueued(scene.lane_id(CHEAP)) == Enqueued(2, 8, 300)
    assert scene.jobs.enqueued(scene.lane_id(FAST)) == Enqueued(0, 0, 0)
    duty = scene.job_duty("w1", "job_2")
    scene.jobs.end_job("w1", duty, JobEvent.ABANDON, CHEAP, None, scene.now)
    assert scene.jobs.enqueued(scene.lane_id(CHEAP)) == Enqueued(1, 4, 100)


# --- duties ---------------------------------------------------------------------------------------------------------


def test_a_duty_tells_what_a_step_must_know(scene: Scene) -> None:
    """The job, its lane, and its batch at this moment."""
    worker = scene.worker()
    scene.running("b1", (4, 3), (CHEAP, FAST))
    claims = scene.claim(worker, lane=CHEAP)
    job = scene.intend(worker, claims)
    scene.answer_all(worker, lane=FAST)
    duty = scene.job_duty(worker)
    assert duty.job == job
    assert duty.lane == scene.ledger.lane(CHEAP)
    assert (duty.tenant_id, duty.endpoint, duty.deadline_ms) == (
        TENANT, "/v1/chat/completions", scene.batch("b1").expires_ms
    )  # fmt: skip
    assert (duty.batch_state, duty.closing, duty.sealed, duty.pending) == (BatchState.IN_PROGRESS, None, False, 4)
    assert (duty.input_blob_key, duty.input_index_key) == ("files/b1.in", "files/b1.in.index")
    closing = scene.closed(worker, "b1", BatchEvent.CANCEL)
    scene.ledger.seal(worker, closing)
    again = scene.job_duty(worker)
    assert (again.batch_state, again.closing, again.sealed) == (BatchState.CANCELLING, BatchEvent.CANCEL, True)


def test_jobs_are_taken_when_their_time_has_come(scene: Scene) -> None:
    """The longest due first, at most `limit`; those apart, those of others and those that are collected are not."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running("b1", (1,) * 5, (CHEAP,))
    claims = scene.claim("w1", lane=CHEAP)
    for number, (claim, delay) in enumerate(zip(claims, (3, 1, 2, 1, 9), strict=True)):
        scene.intend("w1", [claim], f"job_{number}", next_ms=scene.now + delay)
    assert due(scene, "w1") == []
    scene.now += 3
    first, *_ = scene.jobs.take_jobs("w1", scene.now, 1)
    assert first.job.id == "job_1"
    assert [duty.job.id for duty in scene.jobs.take_jobs("w2", scene.now, 2)] == ["job_3", "job_2"]
    assert due(scene, "w1") == ["job_1", "job_0"]
    assert [duty.job.id for duty in scene.jobs.take_jobs("w1", scene.now, 1, ["job_1"])] == ["job_0"]
    with pytest.raises(StaleLease):  # taken anew since, by the same worker
        scene.note("w1", first)
    scene.jobs.end_job("w1", scene.job_duty("w1", "job_1"), JobEvent.ABANDON, FAST, None, scene.now)
    assert due(scene, "w1") == ["job_0"]


@pytest.mark.parametrize("going", ["lapse", "resign", "restart"])
def test_the_duties_of_a_worker_that_is_gone_are_free(going: str, scene: Scene) -> None:
    """Under a raised epoch: the next takes the step, and the one who was presumed dead changes nothing."""
    scene.worker("w1")
    stale = scene.sent("w1")
    scene.worker("w2")
    assert due(scene, "w2") == []
    if going == "lapse":
        scene.now += LEASE_MS + 1
        scene.worker("w3")
        scene.ledger.beat("w3", scene.now, LEASE_MS, [])
    elif going == "resign":
        scene.ledger.resign("w1")
        scene.worker("w3")
    else:
        scene.worker("w3", alone=True)
    fresh = scene.job_duty("w3")
    assert fresh.duty_epoch > stale.duty_epoch
    before = scene.job()
    for step in (
        lambda: scene.note("w1", stale, next_ms=0),
        lambda: scene.jobs.overtake("w1", stale, FAST, scene.now),
        lambda: scene.jobs.end_job("w1", stale, JobEvent.COLLECT, FAST, "late", scene.now),
    ):
        with pytest.raises(StaleLease):
            step()
    assert scene.job() == before
    assert [shard.open for shard in scene.jobs.job_shards("job_1")] == [True]


def test_a_worker_whose_lease_has_lapsed_takes_no_job(scene: Scene) -> None:
    """Nor does one that was never enlisted: the duty would be nobody's to free."""
    scene.worker("w1")
    scene.running("b1", lanes=(CHEAP,))
    scene.intend("w1", scene.claim("w1", lane=CHEAP))
    scene.now += LEASE_MS
    for name in ("w1", "nobody"):
        with pytest.raises(StaleLease):
            scene.jobs.take_jobs(name, scene.now, 1)
    scene.worker("w2")
    assert due(scene, "w2") == ["job_1"]


@pytest.mark.parametrize("event", [BatchEvent.CANCEL, BatchEvent.EXPIRE, BatchEvent.COMPLETE])
def test_a_batch_that_begins_to_close_or_ends_calls_its_jobs_at_once(event: BatchEvent, scene: Scene) -> None:
    """Though their next step was far away; those of other batches go on as they were."""
    worker = scene.worker(lease_ms=10 * WINDOW_MS)
    for number in (1, 2):
        duty = scene.sent(worker, (2,), f"job_{number}", f"b{number}")
        (shard,) = scene.jobs.job_shards(f"job_{number}")
        if event is BatchEvent.COMPLETE:
            scene.settle(worker, f"b{number}", scene.results(shard, duty))
        scene.note(worker, duty, next_ms=scene.now + 2 * WINDOW_MS)
    scene.now += WINDOW_MS
    assert due(scene, worker) == []
    closing = scene.closed(worker, "b1", event)
    assert due(scene, worker) == ["job_1"]
    scene.note(worker, scene.job_duty(worker, "job_1"), next_ms=scene.now + WINDOW_MS)
    scene.ledger.seal(worker, closing)
    scene.fill_gaps(worker, closing)
    assert due(scene, worker) == []
    assert scene.finish(worker, closing)
    assert due(scene, worker) == ["job_1"]
    assert scene.job("job_2", "b2").next_ms == scene.now + WINDOW_MS


def test_a_step_that_did_not_know_that_its_batch_closes_does_not_put_off_the_next(scene: Scene) -> None:
    """The batch is cancelled while the provider is asked: the job is due again at once."""
    worker = scene.worker()
    duty = scene.sent(worker)
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    assert scene.note(worker, duty, next_ms=scene.now + LATER_MS).next_ms == scene.now
    again = scene.job_duty(worker)
    assert again.batch_state is BatchState.CANCELLING
    assert scene.note(worker, again, next_ms=scene.now + LATER_MS).next_ms == scene.now + LATER_MS


# --- notes ----------------------------------------------------------------------------------------------------------


def test_what_a_step_learnt_is_kept(scene: Scene) -> None:
    """None leaves a field as it is; `data` is replaced; the duty is free again."""
    worker = scene.worker()
    duty = scene.sent(worker)
    noted = scene.note(
        worker, duty, ext_id="theirs", completed=3, failed=1, polls=7, tries=2, reason="slow",
        data={"output": "file-2"}, next_ms=scene.now + LATER_MS,
    )  # fmt: skip
    assert noted == scene.job()
    assert (noted.ext_id, noted.completed, noted.failed, noted.polls, noted.tries, noted.reason) == (
        "theirs", 3, 1, 7, 2, "slow"
    )  # fmt: skip
    assert noted.data == {"output": "file-2"}
    assert due(scene, worker) == []
    scene.now += LATER_MS
    again = scene.note(worker, scene.job_duty(worker), completed=4, next_ms=scene.now + 1)
    assert again == scene.job()
    assert (again.ext_id, again.completed, again.failed, again.reason, again.next_ms) == (
        "theirs", 4, 1, "slow", scene.now + 1
    )  # fmt: skip
    assert again.data == {"output": "file-2"}
    with pytest.raises(StaleLease):
        scene.note(worker, duty)


def test_the_note_before_a_create_keeps_the_duty(scene: Scene) -> None:
    """It says when the job was first sent, and the same step goes on to send it."""
    worker = scene.worker()
    scene.running("b1", lanes=(CHEAP,))
    scene.intend(worker, scene.claim(worker, lane=CHEAP))
    duty = scene.job_duty(worker)
    sent = scene.note(worker, duty, sent_ms=scene.now, tries=1)
    assert (sent.sent_ms, sent.tries, sent.state) == (scene.now, 1, JobState.INTENDED)
    scene.now += 5
    created = scene.note(worker, duty, JobEvent.CREATE, ext_id="theirs", sent_ms=scene.now)
    assert (created.state, created.submitted_ms, created.ext_id) == (JobState.CREATED, scene.now, "theirs")
    with pytest.raises(StaleLease):
        scene.note(worker, duty)


def test_a_job_goes_by_its_table(scene: Scene) -> None:
    """Each state at its time; a move that the table does not have changes nothing, and the duty stays."""
    worker = scene.worker()
    scene.running("b1", lanes=(CHEAP,))
    job = scene.intend(worker, scene.claim(worker, lane=CHEAP))
    duty = scene.job_duty(worker)
    with pytest.raises(IllegalTransition):
        scene.note(worker, duty, JobEvent.CANCEL)
    with pytest.raises(IllegalTransition):
        scene.jobs.end_job(worker, duty, JobEvent.COLLECT, FAST, None, scene.now)
    for event in (JobEvent.COLLECT, JobEvent.ABANDON):
        with pytest.raises(StoreError):
            scene.note(worker, duty, event)
    assert scene.job() == job
    scene.note(worker, duty, JobEvent.CREATE)
    duty = scene.job_duty(worker)
    for event in (JobEvent.CREATE, JobEvent.CANCEL):
        with pytest.raises(StoreError):
            scene.jobs.end_job(worker, duty, event, FAST, None, scene.now)
    with pytest.raises(IllegalTransition):
        scene.jobs.end_job(worker, duty, JobEvent.ABANDON, FAST, None, scene.now)
    scene.now += 5
    cancelling = scene.note(worker, duty, JobEvent.CANCEL)
    assert (cancelling.state, cancelling.cancelling_ms) == (JobState.CANCELLING, scene.now)
    scene.now += 5
    scene.jobs.end_job(worker, scene.job_duty(worker), JobEvent.COLLECT, FAST, "told", scene.now)
    ended = scene.job()
    assert (ended.state, ended.ended_ms, ended.reason) == (JobState.COLLECTED, scene.now, "told")
    assert (ended.submitted_ms, ended.cancelling_ms) == (scene.now - 10, scene.now - 5)
    assert due(scene, worker) == []


def test_an_end_without_a_reason_leaves_the_noted_one(scene: Scene) -> None:
    """What a step told people about the job is not forgotten."""
    worker = scene.worker()
    scene.note(worker, scene.sent(worker), reason="slow")
    scene.jobs.end_job(worker, scene.job_duty(worker), JobEvent.COLLECT, FAST, None, scene.now)
    assert scene.job().reason == "slow"


# --- what the rest of the store tells of them -----------------------------------------------------------------------


def test_the_duty_on_a_batch_counts_its_open_jobs(scene: Scene) -> None:
    """And has the batch's metadata, which may wish for a lane."""
    worker = scene.worker()
    scene.running("b1", (1, 1), (CHEAP,), metadata={"mode": "batch"})
    scene.create("b2")
    for number, claim in enumerate(scene.claim(worker, lane=CHEAP)):
        scene.intend(worker, [claim], f"job_{number}")
    scene.jobs.end_job(worker, scene.job_duty(worker, "job_0"), JobEvent.ABANDON, SLOW, None, scene.now)
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    duties = {duty.batch_id: duty for duty in scene.ledger.take_duties(worker, scene.now, 10)}
    assert (duties["b1"].open_jobs, duties["b1"].metadata) == (1, {"mode": "batch"})
    assert (duties["b2"].open_jobs, duties["b2"].metadata) == (0, {})


def test_rows_of_jobs_go_with_those_of_their_batch(scene: Scene) -> None:
    """When its results can be read by nobody any more; but not before the last job has ended."""
    worker = scene.worker()
    scene.sent(worker, (2,))
    scene.end(worker, "b1", BatchEvent.CANCEL)
    for role in ("output", "error"):
        scene.catalog.delete_file(TENANT, f"b1.{role}", scene.now)
    scene.ledger.sweep(scene.now, 0)
    scene.ledger.sweep(scene.now, 0)
    assert [job.id for job in scene.jobs.jobs("b1")] == ["job_1"]
    assert scene.ranges("b1")
    duty = scene.job_duty(worker)
    assert duty.batch_state is BatchState.CANCELLED
    assert scene.jobs.end_job(worker, duty, JobEvent.COLLECT, FAST, None, scene.now) == 0
    scene.ledger.sweep(scene.now, 0)
    assert scene.jobs.jobs("b1") == scene.catalog.jobs("b1") == []
    assert scene.jobs.job_shards("job_1") == []
    assert scene.ranges("b1") == []
