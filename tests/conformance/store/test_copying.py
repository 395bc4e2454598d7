"""Lines that are in no shard because their answer is known: kept of another batch, or that of an identical line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.outcome import GAP_SHARD, Flag, Outcome, Record
from batchrouter.domain.shard import Duty, Plan, PlannedShard
from batchrouter.domain.source import SourceFault
from batchrouter.errors import SourceUnusable, StaleLease
from tests.conformance.scene import FAST, LEASE_MS, TENANT, WINDOW_MS, Scene, a_plan, gap_records, record, records_of


def a_copying_plan(batch_id: str = "b1", *, sent: int = 0b1100, copying: bool = True, followers: int = 0) -> Plan:
    """Four lines in one range, of which only `sent` are in a shard."""
    shards = (PlannedShard(range_no=0, lane=FAST, members=sent),) if sent else ()
    return replace(a_plan(batch_id), shards=shards, copying=copying, followers=followers)


def copying(scene: Scene, worker: str, batch_id: str = "b1", plan: Plan | None = None) -> None:
    scene.create(batch_id)
    plan = plan or a_copying_plan(batch_id)
    assert scene.ledger.plan(worker, scene.duty(worker, batch_id), plan, scene.now)


def copies(duty: Duty, *places: int, outcome: Outcome = Outcome.SUCCEEDED) -> list[Record]:
    return [
        Record(
            line=place, range_no=0, shard=GAP_SHARD, epoch=duty.duty_epoch, outcome=int(outcome), finish=1, status=200,
            attempts=2, flags=int(Flag.REUSED), latency_ms=7, lane=1, tokens_in=10, tokens_cached=4, tokens_out=3,
            tokens_reasoning=1, offset=0, length=20,
        )
        for place in places
    ]  # fmt: skip


def test_a_batch_with_answers_to_copy_needs_a_step_until_they_are(scene: Scene) -> None:
    worker = scene.worker()
    copying(scene, worker)
    duty = scene.duty(worker, "b1")
    assert (duty.copying, duty.followers, duty.answered, duty.state) == (True, 0, False, BatchState.IN_PROGRESS)
    assert scene.ledger.outlook(worker, scene.now, 1).duties
    scene.ledger.copied(worker, duty)
    assert not scene.has_duty(worker, "b1")
    with pytest.raises(StaleLease):
        scene.ledger.copied(worker, duty)


def test_copies_count_and_cost_nothing(scene: Scene) -> None:
    """They are in the counts and in the files, in no lane, and add neither tokens nor money."""
    worker = scene.worker()
    copying(scene, worker)
    duty = scene.duty(worker, "b1")
    records = [*copies(duty, 0), *copies(duty, 1, outcome=Outcome.FAILED)]
    settled = scene.settle(worker, "b1", records, duty_epoch=duty.duty_epoch)
    assert (settled.admitted, settled.drained) == (0b11, False)
    batch = scene.batch("b1")
    assert (batch.completed, batch.failed, batch.reused, batch.tokens.input, batch.cost_nano) == (1, 1, 2, 0, 0)
    assert [share.done for share in scene.catalog.lane_shares("b1")] == [0]
    assert scene.settle(worker, "b1", records, duty_epoch=duty.duty_epoch).admitted == 0


def test_copies_count_only_under_the_duty_and_while_the_batch_copies(scene: Scene) -> None:
    worker, other = scene.worker("w1"), scene.worker("w2")
    copying(scene, worker)
    lost = scene.duty(worker, "b1")
    duty = scene.duty(worker, "b1")
    assert scene.settle(worker, "b1", copies(lost, 0), duty_epoch=lost.duty_epoch).admitted == 0
    assert scene.settle(other, "b1", copies(duty, 0), duty_epoch=duty.duty_epoch).admitted == 0
    assert scene.settle(worker, "b1", copies(duty, 0), duty_epoch=duty.duty_epoch).admitted == 1
    scene.ledger.copied(worker, duty)
    assert scene.settle(worker, "b1", copies(duty, 1), duty_epoch=duty.duty_epoch).admitted == 0


def test_answers_count_beside_copies(scene: Scene) -> None:
    """One segment may hold both: each record by its own fence."""
    worker = scene.worker()
    copying(scene, worker)
    claim = scene.claim_one(worker)
    assert claim.pending == 0b1100
    duty = scene.duty(worker, "b1")
    both = [record(claim, 2), *copies(duty, 0, 1), record(claim, 3)]
    settled = scene.settle(worker, "b1", both, duty_epoch=duty.duty_epoch)
    assert (settled.admitted, settled.drained) == (0b1111, True)
    assert not scene.ledger.close(worker, duty, BatchEvent.COMPLETE, scene.now), "it still copies"
    scene.ledger.copied(worker, duty)
    assert scene.end(worker, "b1", BatchEvent.COMPLETE).reused == 2


def test_a_cancel_while_it_copies_takes_no_copy_away(scene: Scene) -> None:
    worker = scene.worker()
    copying(scene, worker)
    before = scene.duty(worker, "b1")
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    assert scene.settle(worker, "b1", copies(before, 0), duty_epoch=before.duty_epoch).admitted == 1
    duty = scene.duty(worker, "b1")
    assert (duty.copying, duty.state) == (True, BatchState.CANCELLING)
    scene.ledger.seal(worker, duty)
    assert scene.settle(worker, "b1", copies(duty, 1), duty_epoch=duty.duty_epoch).admitted == 1
    scene.fill_gaps(worker, duty)
    assert scene.finish(worker, duty)
    assert (scene.batch("b1").completed, scene.batch("b1").state) == (2, BatchState.CANCELLED)


def test_followers_are_waited_for_by_nobody_and_told_at_the_close(scene: Scene) -> None:
    """The batch closes when all others are done; it ends when all are."""
    worker = scene.worker()
    copying(scene, worker, plan=a_copying_plan(sent=0b0011, copying=False, followers=2))
    claim = scene.claim_one(worker)
    assert not scene.has_duty(worker, "b1")
    assert scene.settle(worker, "b1", records_of(claim)).drained
    duty = scene.duty(worker, "b1")
    assert duty.answered
    assert scene.ledger.close(worker, duty, BatchEvent.COMPLETE, scene.now)
    duty = scene.duty(worker, "b1")
    scene.ledger.seal(worker, duty)
    assert scene.settle(worker, "b1", copies(duty, 2, 3), duty_epoch=duty.duty_epoch).admitted == 0b11
    assert scene.finish(worker, duty)
    assert (scene.batch("b1").completed, scene.batch("b1").reused) == (4, 2)


def test_a_batch_that_was_cancelled_before_its_plan_copies_too(scene: Scene) -> None:
    worker = scene.worker()
    scene.create("b1")
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    assert scene.ledger.plan(worker, scene.duty(worker, "b1"), a_copying_plan(followers=1), scene.now)
    duty = scene.duty(worker, "b1")
    assert (duty.copying, duty.followers) == (True, 1)


# --- of whom answers are kept -----------------------------------------------------------------------------------------


def ended(scene: Scene, worker: str, batch_id: str = "b0") -> None:
    scene.running(batch_id)
    claim = scene.claim_one(worker, batch_id)
    scene.settle(worker, batch_id, [record(claim, 0), record(claim, 1, Outcome.FAILED)])
    scene.end(worker, batch_id, BatchEvent.CANCEL)


def fault_of(scene: Scene, **named: str) -> SourceFault | None:
    try:
        new = scene.new_batch(f"new {scene.made}", input_file_id="b0.in", **named)
        scene.catalog.create_batch(new, now_ms=scene.now)
    except SourceUnusable as error:
        return error.fault
    finally:
        scene.made += 1
    return None


@pytest.mark.parametrize("name", ["retry_of", "resume_from"])
def test_answers_are_kept_only_of_a_batch_of_the_tenant_that_is_final_and_there(scene: Scene, name: str) -> None:
    """A refusal makes nothing."""
    worker = scene.worker()
    ended(scene, worker)
    scene.running("live")
    scene.tenant("tenant_b")
    scene.create("theirs", tenant_id="tenant_b")
    assert fault_of(scene, **{name: "b0"}) is None
    assert fault_of(scene, **{name: "nobody"}) is SourceFault.MISSING
    assert fault_of(scene, **{name: "theirs"}) is SourceFault.MISSING
    assert fault_of(scene, **{name: "live"}) is SourceFault.RUNNING
    assert scene.catalog.delete_file(TENANT, "b0.in", scene.now)
    assert fault_of(scene, **{name: "b0"}) is SourceFault.INPUT_GONE
    assert scene.catalog.delete_file(TENANT, "b0.output", scene.now)
    assert fault_of(scene, **{name: "b0"}) is SourceFault.FILES_GONE
    page = scene.catalog.batches(TENANT, after=None, limit=10)
    assert page is not None
    assert [batch.id for batch in page.rows if batch.id.startswith("new")] == ["new 0"]


def test_the_bytes_of_a_source_stay_until_they_are_copied(scene: Scene) -> None:
    """Whatever becomes of its files; then they go."""
    worker = scene.worker()
    ended(scene, worker)
    scene.create("b1", resume_from="b0")
    for file_id in ("b0.in", "b0.output", "b0.error"):
        assert scene.catalog.delete_file(TENANT, file_id, scene.now)

    def swept() -> set[str]:
        scene.ledger.sweep(scene.now, 0)
        scene.now += 1
        return set(scene.ledger.sweep(scene.now, 0))

    assert swept() == set()
    assert scene.store.results.segments_from("b0", 0, 10)
    plan = a_copying_plan(followers=1)
    assert scene.ledger.plan(worker, scene.duty(worker, "b1"), plan, scene.now)
    assert swept() == set()
    scene.ledger.copied(worker, scene.duty(worker, "b1"))
    assert swept() == set(), "its followers are told only at the close"
    claim = scene.claim_one(worker, "b1")
    assert claim.after_another
    scene.settle(worker, "b1", records_of(claim))
    scene.end(worker, "b1", BatchEvent.CANCEL)
    assert {"files/b0.in", "files/b0.in.index"} <= swept()
    assert scene.store.results.segments_from("b0", 0, 10) == []


def test_a_retry_is_told_to_whoever_sends(scene: Scene) -> None:
    worker = scene.worker(lease_ms=LEASE_MS + WINDOW_MS)
    ended(scene, worker)
    wish = {"where": {"outcome": ["failed"]}, "set": {"max_tokens": 5}}
    scene.create("b1", retry_of="b0", retry=wish, input_file_id="b0.in", dedupe=True)
    duty = scene.duty(worker, "b1")
    assert (duty.retry_of, duty.retry, duty.dedupe, duty.resume_from) == ("b0", wish, True, None)
    assert scene.ledger.plan(worker, duty, a_plan("b1"), scene.now)
    claim = scene.claim_one(worker, "b1")
    assert (claim.retry, claim.after_another) == (wish, True)
    assert (scene.batch("b1").retry_of, scene.batch("b1").dedupe) == ("b0", True)


def test_gaps_are_only_for_lines_without_an_end(scene: Scene) -> None:
    """A copy is an answer: no gap replaces it."""
    worker = scene.worker()
    copying(scene, worker)
    duty = scene.duty(worker, "b1")
    scene.settle(worker, "b1", copies(duty, 0, 1), duty_epoch=duty.duty_epoch)
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    duty = scene.duty(worker, "b1")
    scene.ledger.seal(worker, duty)
    gaps = gap_records(duty, scene.ranges(), Outcome.CANCELLED)
    assert [gap.line for gap in gaps] == [2, 3]
