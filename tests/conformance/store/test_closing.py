"""Close before counting: close, seal, gaps, finish."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.outcome import Outcome
from batchrouter.domain.shard import Move
from batchrouter.errors import StaleLease, StoreError
from tests.conformance.scene import LEASE_MS, SLOW, TENANT, WINDOW_MS, Scene, draft_of, gap_records, record, records_of


def expired(scene: Scene, lines: tuple[int, ...] = (4,)) -> str:
    """A running batch past its deadline."""
    worker = scene.worker(lease_ms=2 * WINDOW_MS)
    scene.running(lines=lines)
    scene.now += WINDOW_MS + 1
    return worker


def test_a_batch_completes_only_when_every_line_is_done(scene: Scene) -> None:
    """One line short, nothing changes."""
    worker = expired(scene)
    claim = scene.claim_one(worker)
    scene.settle(worker, "b1", [record(claim, place) for place in range(3)])
    duty = scene.duty(worker, "b1")
    before = scene.picture("b1")
    assert not scene.ledger.close(worker, duty, BatchEvent.COMPLETE, scene.now)
    assert scene.picture("b1") == before
    scene.settle(worker, "b1", [record(claim, 3)])
    assert scene.ledger.close(worker, duty, BatchEvent.COMPLETE, scene.now)


def test_a_batch_expires_only_past_its_deadline(scene: Scene) -> None:
    """Before it, nothing changes."""
    worker = scene.worker()
    scene.running()
    scene.answer_all(worker)
    duty = scene.duty(worker, "b1")
    before = scene.picture("b1")
    assert not scene.ledger.close(worker, duty, BatchEvent.EXPIRE, scene.now)
    assert scene.picture("b1") == before


@pytest.mark.parametrize("first", [BatchEvent.COMPLETE, BatchEvent.EXPIRE, BatchEvent.CANCEL])
@pytest.mark.parametrize("second", [BatchEvent.COMPLETE, BatchEvent.EXPIRE, BatchEvent.CANCEL])
def test_the_first_closer_wins(scene: Scene, first: BatchEvent, second: BatchEvent) -> None:
    """Of completion, expiry and cancel whoever commits first decides how the batch ends; the second sees it and
    changes nothing."""
    worker = expired(scene)
    scene.answer_all(worker)
    duty = scene.duty(worker, "b1")

    def close(event: BatchEvent) -> bool:
        if event is not BatchEvent.CANCEL:
            return scene.ledger.close(worker, duty, event, scene.now)
        before = scene.state("b1")
        cancelled = scene.catalog.cancel_batch(TENANT, "b1", scene.now)
        assert cancelled == scene.batch("b1")
        return scene.state("b1") is not before

    assert close(first)
    before = scene.picture("b1")
    scene.now += 5
    assert not close(second)
    assert scene.picture("b1") == before
    assert scene.batch("b1").closing is first
    told = scene.duty(worker, "b1")
    assert (told.closing, told.closing_ms) == (first, scene.now - 5)


def test_closing_keeps_the_duty(scene: Scene) -> None:
    """Who closed goes on to seal under the same duty."""
    worker = expired(scene)
    duty = scene.duty(worker, "b1")
    assert scene.ledger.close(worker, duty, BatchEvent.EXPIRE, scene.now)
    scene.ledger.seal(worker, duty)
    assert scene.duty(worker, "b1").sealed


def test_who_lost_the_duty_closes_seals_and_ends_nothing(scene: Scene) -> None:
    """Each step is refused to a former holder, at every stage."""
    worker = expired(scene)
    lost = scene.duty(worker, "b1")
    held = scene.duty(worker, "b1")
    for stage in range(3):
        before = scene.picture("b1")
        with pytest.raises(StaleLease):
            scene.ledger.close(worker, lost, BatchEvent.EXPIRE, scene.now)
        with pytest.raises(StaleLease):
            scene.ledger.seal(worker, lost)
        with pytest.raises(StaleLease):
            scene.finish(worker, lost)
        assert scene.picture("b1") == before
        if stage == 0:
            assert scene.ledger.close(worker, held, BatchEvent.EXPIRE, scene.now)
        elif stage == 1:
            scene.ledger.seal(worker, held)


def test_only_a_closing_batch_is_sealed(scene: Scene) -> None:
    """A running batch keeps its shards, whoever asks."""
    worker = expired(scene)
    duty = scene.duty(worker, "b1")
    before = scene.picture("b1")
    with suppress(StoreError):
        scene.ledger.seal(worker, duty)
    assert scene.picture("b1") == before
    assert scene.claim_one(worker).pending == 0b1111


def test_after_the_seal_no_answer_counts_and_a_repeat_is_harmless(scene: Scene) -> None:
    """Held and free shards alike are over, under any epoch that was ever told."""
    worker = expired(scene, lines=(2, 2))
    held = scene.claim_one(worker)
    duty = scene.closed(worker, "b1", BatchEvent.EXPIRE)
    scene.ledger.seal(worker, duty)
    before = scene.picture("b1")
    scene.ledger.seal(worker, duty)
    for epoch in range(held.epoch + 1):
        assert scene.settle(worker, "b1", [record(held, 0, epoch=epoch)]).admitted == 0
    scene.ledger.release(worker, [(held.shard_id, held.epoch)])
    with pytest.raises(StaleLease):
        scene.ledger.move(worker, [Move(shard_id=held.shard_id, epoch=held.epoch, members=1, lane=SLOW)], scene.now)
    assert scene.picture("b1") == before


def test_gaps_before_the_seal_count_for_nothing(scene: Scene) -> None:
    """An answer could still come."""
    worker = expired(scene)
    duty = scene.closed(worker, "b1", BatchEvent.EXPIRE)
    gaps = gap_records(duty, scene.ranges(), Outcome.EXPIRED)
    assert scene.settle(worker, "b1", gaps, duty_epoch=duty.duty_epoch).admitted == 0
    scene.ledger.seal(worker, duty)
    assert scene.settle(worker, "b1", gaps, duty_epoch=duty.duty_epoch).admitted == 0b1111


def test_gaps_fill_only_what_has_no_answer(scene: Scene) -> None:
    """A gap never replaces an answer; gap lines stand in the error file and in neither count, and in no lane."""
    worker = expired(scene)
    claim = scene.claim_one(worker)
    scene.settle(worker, "b1", [record(claim, 0), record(claim, 1, Outcome.FAILED)])
    duty = scene.closed(worker, "b1", BatchEvent.EXPIRE)
    scene.ledger.seal(worker, duty)
    everywhere = gap_records(duty, [replace(home, done=0) for home in scene.ranges()], Outcome.EXPIRED)
    told = scene.settle(worker, "b1", everywhere, duty_epoch=duty.duty_epoch)
    assert (told.admitted, told.drained) == (0b1100, True)
    batch, (home,) = scene.batch("b1"), scene.ranges()
    assert (batch.completed, batch.failed, batch.total) == (1, 1, 4)
    assert (home.output_bytes, home.error_bytes) == (20, 30 + 2 * 40)
    (share,) = scene.catalog.lane_shares("b1")
    assert share.done == 2


def test_gaps_count_only_under_the_duty_that_holds_now(scene: Scene) -> None:
    """A former closer's gaps are skipped, whether it names its own epoch, the new one, or none."""
    worker = expired(scene)
    lost = scene.closed(worker, "b1", BatchEvent.EXPIRE)
    scene.ledger.seal(worker, lost)
    held = scene.duty(worker, "b1")
    before = scene.picture("b1")
    old, new = (gap_records(duty, scene.ranges(), Outcome.EXPIRED) for duty in (lost, held))
    for gaps, epoch in ((old, lost.duty_epoch), (old, held.duty_epoch), (new, lost.duty_epoch), (new, None)):
        assert scene.settle(worker, "b1", gaps, duty_epoch=epoch).admitted == 0
    assert scene.picture("b1") == before
    assert scene.settle(worker, "b1", new, duty_epoch=held.duty_epoch).admitted == 0b1111


def test_gaps_of_a_dead_closer_are_written_by_the_next(scene: Scene) -> None:
    """The seal stays; the next worker takes the duty over and goes on."""
    expired(scene)
    first = scene.closed("w1", "b1", BatchEvent.EXPIRE)
    scene.ledger.seal("w1", first)
    scene.worker("w2", alone=True)
    second = scene.duty("w2", "b1")
    assert second.sealed
    gaps = gap_records(first, scene.ranges(), Outcome.EXPIRED)
    assert scene.settle("w1", "b1", gaps, duty_epoch=first.duty_epoch).admitted == 0
    scene.fill_gaps("w2", second, Outcome.EXPIRED)
    assert scene.finish("w2", second)
    assert scene.state("b1") is BatchState.EXPIRED


def test_an_unsealed_or_unfilled_batch_does_not_end(scene: Scene) -> None:
    """Every line stands in a file before the batch is final."""
    worker = expired(scene)
    duty = scene.closed(worker, "b1", BatchEvent.EXPIRE)
    for step in range(2):
        before = scene.picture("b1")
        with suppress(StoreError):
            assert not scene.finish(worker, duty)
        assert scene.picture("b1") == before
        if step == 0:
            scene.ledger.seal(worker, duty)
    assert scene.catalog.file(TENANT, "b1.error", scene.now) is None


def test_finishing_makes_files_ids_and_state_at_once(scene: Scene) -> None:
    """The files are there as given, the batch names them and its time is set; a repeat changes nothing."""
    worker = expired(scene)
    claim = scene.claim_one(worker)
    scene.settle(worker, "b1", [record(claim, 0)])
    duty = scene.closed(worker, "b1", BatchEvent.EXPIRE)
    scene.ledger.seal(worker, duty)
    scene.fill_gaps(worker, duty, Outcome.EXPIRED)
    output, error = scene.files_for("b1")
    assert scene.ledger.finish(worker, duty, output, error, scene.now)
    batch = scene.batch("b1")
    assert (batch.state, batch.expired_ms) == (BatchState.EXPIRED, scene.now)
    assert (batch.output_file_id, batch.error_file_id) == ("b1.output", "b1.error")
    kept = scene.catalog.file(TENANT, "b1.error", scene.now)
    assert kept is not None
    assert (kept.bytes, kept.batch_id, kept.role) == (3 * 40, "b1", "error")
    before = scene.picture("b1")
    assert not scene.ledger.finish(worker, duty, output, error, scene.now + 1)
    assert scene.picture("b1") == before


def test_an_empty_file_is_not_made(scene: Scene) -> None:
    """A batch whose every line succeeded has no error file."""
    worker = scene.worker()
    scene.running()
    scene.answer_all(worker)
    batch = scene.end(worker, "b1", BatchEvent.COMPLETE)
    assert (batch.state, batch.completed) == (BatchState.COMPLETED, 4)
    assert (batch.output_file_id, batch.error_file_id) == ("b1.output", None)


def test_a_file_tells_its_parts_in_order(scene: Scene) -> None:
    """The manifest of each file: every range, its bytes in that file, and where they are until it is folded."""
    worker = expired(scene, lines=(2, 2, 2))
    first, second, _ = scene.claim(worker)
    scene.settle(worker, "b1", [*records_of(second), record(first, 0, Outcome.FAILED)])
    scene.end(worker, "b1", BatchEvent.EXPIRE)
    output, error = (scene.catalog.file(TENANT, f"b1.{role}", scene.now) for role in ("output", "error"))
    assert output is not None
    assert error is not None
    assert [
        (span.range_no, span.first_line, span.lines, span.length, span.run_key)
        for span in scene.catalog.manifest(output, -1, 10)
    ] == [(0, 0, 2, 0, None), (1, 2, 2, 40, None), (2, 4, 2, 0, None)]
    assert [span.length for span in scene.catalog.manifest(error, -1, 10)] == [70, 0, 80]
    assert [span.range_no for span in scene.catalog.manifest(error, 0, 1)] == [1]
    assert scene.catalog.manifest(error, 0, 1)[0].segment_seqs == (1,)
    assert sum(span.length for span in scene.catalog.manifest(error, -1, 10)) == error.bytes


def test_a_draft_without_records_is_no_error(scene: Scene) -> None:
    """Nothing counts, nothing is stored."""
    worker = scene.worker()
    scene.running()
    told = scene.ledger.settle(worker, draft_of("b1", []), scene.now)
    assert (told.seq, told.admitted) == (None, 0)


def test_a_worker_that_lapsed_while_closing_hears_so(scene: Scene) -> None:
    """Its duty went to the next; what it had in hand is refused."""
    scene.worker("w1")
    scene.running()
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    duty = scene.duty("w1", "b1")
    scene.now += LEASE_MS + 1
    scene.worker("w2")
    scene.ledger.beat("w2", scene.now, LEASE_MS, [])
    with pytest.raises(StaleLease):
        scene.ledger.seal("w1", duty)
    scene.ledger.seal("w2", scene.duty("w2", "b1"))
