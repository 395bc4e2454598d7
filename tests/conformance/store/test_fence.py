"""Settling: which records count, and what they add."""

from __future__ import annotations

import pytest

from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.outcome import Flag, Outcome, error_mark
from batchrouter.domain.tokens import Tokens
from tests.conformance.scene import FAST, LEASE_MS, SLOW, TENANT, Scene, draft_of, record, records_of


def test_settled_lines_are_done_and_counted(scene: Scene) -> None:
    """Bits, counts, tokens, bytes of each file, the lane's share and the segment come together."""
    worker = scene.worker()
    scene.running()
    claim = scene.claim_one(worker)
    told = scene.settle(
        worker,
        "b1",
        [record(claim, 2), record(claim, 0, Outcome.FAILED), record(claim, 3, length=50)],
    )
    assert (told.seq, told.admitted, told.drained, told.state) == (1, 0b111, False, BatchState.IN_PROGRESS)
    batch = scene.batch("b1")
    assert (batch.completed, batch.failed) == (2, 1)
    assert batch.tokens == Tokens(input=20, cached=8, output=6, reasoning=2)
    (home,) = scene.ranges()
    assert (home.done, home.output_bytes, home.error_bytes, home.segment_seqs) == (0b1101, 70, 30, (1,))
    (share,) = scene.catalog.lane_shares("b1")
    assert (share.waiting, share.done) == (1, 3)


@pytest.mark.parametrize(("planned", "told", "after"), [("m", "m-2024", "m-2024"), ("m", None, "m"), (None, "x", None)])
def test_a_batch_of_one_model_takes_the_upstreams_word_for_it(
    scene: Scene, planned: str | None, told: str | None, after: str | None
) -> None:
    """A batch whose lines name several models has none."""
    worker = scene.worker()
    assert scene.running(model=planned).model == planned
    claim = scene.claim_one(worker)
    scene.settle(worker, "b1", [record(claim, 0)], model=told)
    assert scene.batch("b1").model == after


def test_the_segment_is_kept_as_it_came(scene: Scene) -> None:
    """A small one whole, a large one by its key, in the order asked; unknown ones are left out."""
    worker = scene.worker()
    scene.running()
    claim = scene.claim_one(worker)
    small = draft_of("b1", [record(claim, 0)])
    large = draft_of("b1", [record(claim, 0), record(claim, 1)], blob_key="b1/w1/1", data=None)
    scene.ledger.settle(worker, small, scene.now)
    scene.ledger.settle(worker, large, scene.now)
    second, first = scene.ledger.segments("b1", [2, 9, 1])
    assert (first.seq, first.data, first.blob_key, first.count, first.admitted) == (1, small.data, None, 1, 0b1)
    assert (second.seq, second.data, second.blob_key, second.count, second.admitted) == (2, None, "b1/w1/1", 2, 0b10)
    assert second.length == large.length
    assert scene.catalog.segments("b1", [2, 9, 1]) == [second, first]
    assert scene.ledger.segments("nothing", [1]) == []


def test_a_repeat_changes_nothing(scene: Scene) -> None:
    """The same segment settled twice counts once; its bytes are still needed."""
    worker = scene.worker()
    scene.running()
    claim = scene.claim_one(worker)
    draft = draft_of("b1", records_of(claim), blob_key="b1/w1/1", data=None)
    assert scene.ledger.settle(worker, draft, scene.now).admitted == 0b1111
    before = scene.picture("b1")
    again = scene.ledger.settle(worker, draft, scene.now)
    assert (again.seq, again.admitted, again.drained) == (None, 0, True)
    assert scene.picture("b1") == before
    assert scene.ledger.sweep(scene.now, 0) == []


def test_of_two_answers_to_a_line_the_first_wins(scene: Scene) -> None:
    """Within one segment and across two, whatever their outcomes."""
    worker = scene.worker()
    scene.running()
    claim = scene.claim_one(worker)
    told = scene.settle(worker, "b1", [record(claim, 0), record(claim, 0, Outcome.FAILED), record(claim, 1)])
    assert told.admitted == 0b101
    assert scene.settle(worker, "b1", [record(claim, 1, Outcome.FAILED), record(claim, 2)]).admitted == 0b10
    batch = scene.batch("b1")
    assert (batch.completed, batch.failed) == (3, 0)


def test_a_stale_worker_changes_nothing(scene: Scene) -> None:
    """After its lease lapsed and the shard went on, its answers are skipped, and the next owner's count."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running()
    stale = scene.claim_one("w1")
    scene.now += LEASE_MS + 1
    scene.reap("w2")
    fresh = scene.claim_one("w2")
    before = scene.picture("b1")
    told = scene.settle("w1", "b1", records_of(stale))
    assert (told.seq, told.admitted) == (None, 0)
    assert scene.picture("b1") == before
    assert scene.settle("w2", "b1", records_of(fresh)).admitted == 0b1111


def test_a_freed_shard_admits_nobody_until_it_is_claimed(scene: Scene) -> None:
    """Free or not, the old epoch is over."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running()
    claim = scene.claim_one("w1")
    scene.ledger.release("w1", [(claim.shard_id, claim.epoch)])
    for epoch in range(claim.epoch + 1):
        assert scene.settle("w1", "b1", [record(claim, 0, epoch=epoch)]).admitted == 0


def test_good_records_count_beside_stale_ones(scene: Scene) -> None:
    """One segment may hold both: each record is decided for itself."""
    worker = scene.worker()
    scene.running(lines=(2, 2))
    first, second = scene.claim(worker)
    scene.ledger.release(worker, [(first.shard_id, first.epoch)])
    told = scene.settle(worker, "b1", [*records_of(first), *records_of(second)])
    assert told.admitted == 0b1100
    assert [home.segment_seqs for home in scene.ranges()] == [(), (1,)]


@pytest.mark.parametrize(
    "changes",
    [
        {"line": 4},
        {"line": 99},
        {"range_no": 1},
        {"range_no": 99},
        {"shard": 9999},
        {"shard": 0},
        {"epoch": 99},
        {"line": 1},
    ],
    ids=str,
)
def test_a_record_that_does_not_fit_its_rows_is_skipped(scene: Scene, changes: dict[str, int]) -> None:
    """A line outside its range, a range or shard that is not there, another epoch, no member of the shard."""
    worker = scene.worker()
    scene.running(lines=(4, 4), lanes=(FAST, SLOW))
    claim = scene.claim_one(worker)
    before = scene.picture("b1")
    assert scene.settle(worker, "b1", [record(claim, 0)._replace(**changes)]).admitted == 0
    assert scene.picture("b1") == before


def test_a_shard_of_another_batch_admits_nothing_here(scene: Scene) -> None:
    """Though range, line and epoch fit."""
    worker = scene.worker()
    scene.running("b1")
    scene.running("b2")
    claim = scene.claim_one(worker, "b2")
    scene.claim_one(worker, "b1")
    assert scene.settle(worker, "b1", records_of(claim)).admitted == 0
    assert scene.done("b1") == scene.done("b2") == 0


def test_a_batch_that_is_gone_admits_nothing(scene: Scene) -> None:
    """No error: there is nobody left to tell."""
    worker = scene.worker()
    scene.running()
    told = scene.settle(worker, "nothing", records_of(scene.claim_one(worker)))
    assert (told.seq, told.admitted) == (None, 0)


def test_segments_are_numbered_without_a_gap(scene: Scene) -> None:
    """`results after N` skips none: a settle that admits nothing takes no number."""
    worker = scene.worker()
    scene.running()
    claim = scene.claim_one(worker)
    seqs = [scene.settle(worker, "b1", [record(claim, place)]).seq for place in (0, 0, 1, 1, 2)]
    assert seqs == [1, None, 2, None, 3]
    assert scene.ranges()[0].segment_seqs == (1, 2, 3)


def test_the_last_line_drains_the_batch(scene: Scene) -> None:
    """Told by the settle that did it, and by every one after."""
    worker = scene.worker()
    scene.running(lines=(1, 1))
    first, second = scene.claim(worker)
    assert not scene.settle(worker, "b1", records_of(first)).drained
    assert scene.settle(worker, "b1", records_of(second)).drained


def test_a_cancelled_batch_admits_answers_until_it_is_sealed(scene: Scene) -> None:
    """The grace for flushes: what was paid for before the seal is delivered, what comes after is not."""
    worker = scene.worker()
    scene.running()
    claim = scene.claim_one(worker)
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    told = scene.settle(worker, "b1", [record(claim, 0)])
    assert (told.admitted, told.state) == (0b1, BatchState.CANCELLING)
    scene.ledger.seal(worker, scene.duty(worker, "b1"))
    assert scene.settle(worker, "b1", [record(claim, 1)]).admitted == 0
    assert scene.batch("b1").completed == 1


def test_many_records_of_many_ranges_settle_at_once(scene: Scene) -> None:
    """A segment may span ranges of 500 lines: every bit of each is right."""
    worker = scene.worker()
    scene.running(lines=(500, 500, 77))
    records = [each for claim in scene.claim(worker) for each in records_of(claim)]
    told = scene.settle(worker, "b1", records)
    assert told.admitted == (1 << 1077) - 1
    assert told.drained
    assert [home.done.bit_count() for home in scene.ranges()] == [500, 500, 77]
    assert scene.batch("b1").completed == 1077


def test_answers_that_break_their_schema_are_counted_once_and_beside_the_completed(scene: Scene) -> None:
    """Only what is admitted counts; the flags of a failed line tell something else."""
    worker = scene.worker()
    scene.running("b1", (5,))
    claim = scene.claim_one(worker)
    broken = [record(claim, place, flags=int(Flag.INVALID_OUTPUT)) for place in (0, 1)]
    failed = record(claim, 3, Outcome.FAILED, flags=error_mark("too_bad"))
    for _ in range(2):
        scene.settle(worker, "b1", [*broken, record(claim, 2), failed])
    scene.settle(worker, "b1", [broken[1], record(claim, 4, flags=int(Flag.INVALID_OUTPUT))])
    batch = scene.batch("b1")
    assert (batch.completed, batch.failed, batch.invalid_output, batch.reused) == (4, 1, 3, 0)
