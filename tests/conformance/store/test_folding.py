"""Folding: a range whose every line is settled becomes one run per file."""

from __future__ import annotations

from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.shard import Fold, FoldWork
from tests.conformance.scene import TENANT, Scene, draft_of, record, records_of


def test_a_range_can_be_folded_once_its_last_line_is_done(scene: Scene) -> None:
    """Not before; with the segments that have its lines, in order of settling."""
    worker = scene.worker()
    scene.running(lines=(2, 2))
    first, second = scene.claim(worker)
    scene.settle(worker, "b1", [record(second, 0)])
    scene.settle(worker, "b1", [record(first, 0)])
    assert scene.foldable(10) == []
    scene.settle(worker, "b1", [record(second, 1)])
    assert scene.foldable(10) == [FoldWork(batch_id="b1", range_no=1, first_line=2, lines=2, segment_seqs=(1, 3))]


def test_older_batches_are_folded_first(scene: Scene) -> None:
    """By batch, then by range, at most as many as asked for."""
    worker = scene.worker()
    for batch_id in ("b1", "b2"):
        scene.running(batch_id, (1, 1))
    scene.answer_all(worker, "b2")
    scene.answer_all(worker, "b1")
    assert [(work.batch_id, work.range_no) for work in scene.foldable(3)] == [("b1", 0), ("b1", 1), ("b2", 0)]


def test_a_folded_range_tells_its_runs(scene: Scene) -> None:
    """By key in each file's manifest, None where it adds nothing; it is folded once."""
    worker = scene.worker()
    scene.running(lines=(1, 1))
    scene.answer_all(worker)
    scene.end(worker, "b1", BatchEvent.COMPLETE)
    assert scene.folded("b1", 0, "b1/run/0", None)
    assert not scene.folded("b1", 0, "b1/run/other", None)
    assert [work.range_no for work in scene.foldable(10)] == [1]
    assert [home.folded for home in scene.ranges()] == [True, False]
    output = scene.catalog.file(TENANT, "b1.output", scene.now)
    assert output is not None
    assert [span.run_key for span in scene.catalog.manifest(output, -1, 10)] == ["b1/run/0", None]


def test_ranges_that_are_folded_together_share_a_run(scene: Scene) -> None:
    """Each file's manifest tells where in it a range begins. All are folded, or none."""
    worker = scene.worker()
    scene.running(lines=(1, 1, 1))
    scene.answer_all(worker)
    scene.end(worker, "b1", BatchEvent.COMPLETE)
    folds = [Fold(range_no=no, output=("b1/run", 20 * no), error=None) for no in range(2)]
    assert not scene.ledger.folded("b1", [*folds, Fold(range_no=7, output=("b1/run", 40), error=None)])
    assert [home.folded for home in scene.ranges()] == [False, False, False]
    assert scene.ledger.folded("b1", folds)
    assert not scene.ledger.folded("b1", [Fold(range_no=2, output=None, error=None), folds[0]])
    assert [home.folded for home in scene.ranges()] == [True, True, False]
    output = scene.catalog.file(TENANT, "b1.output", scene.now)
    assert output is not None
    spans = [(span.run_key, span.run_at) for span in scene.catalog.manifest(output, -1, 10)]
    assert spans == [("b1/run", 0), ("b1/run", 20), (None, 0)]
    assert scene.ledger.known(["b1/run"]) == {"b1/run"}


def test_what_one_takes_to_fold_nobody_else_is_told_of_for_a_while(scene: Scene) -> None:
    """Two workers do not fold the same; whoever takes some and dies is followed by the next."""
    worker = scene.worker()
    scene.running(lines=(1, 1, 1))
    scene.answer_all(worker)
    first = scene.ledger.take_folds(scene.now, scene.now + 1000, 1, 2)
    assert [work.range_no for work in first] == [0, 1]
    assert [work.range_no for work in scene.foldable()] == [2]
    assert scene.ledger.outlook(worker, scene.now, 1).folds
    scene.ledger.take_folds(scene.now, scene.now + 1000, 1, 2)
    assert not scene.ledger.outlook(worker, scene.now, 1).folds
    scene.now += 1000
    assert [work.range_no for work in scene.foldable()] == [0, 1, 2]
    assert scene.folded("b1", 0, "late", None)


def test_a_batch_in_progress_waits_until_it_has_some_to_fold_together(scene: Scene) -> None:
    """One that has ended does not."""
    worker = scene.worker()
    scene.running("b1", (1, 1, 1))
    (claim, *_) = scene.claim(worker, "b1")
    scene.settle(worker, "b1", records_of(claim))
    assert scene.ledger.take_folds(scene.now, scene.now, 2, 10) == []
    assert not scene.ledger.outlook(worker, scene.now, 2).folds
    assert scene.ledger.outlook(worker, scene.now, 1).folds
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    assert [work.range_no for work in scene.ledger.take_folds(scene.now, scene.now, 2, 10)] == [0]


def test_what_does_not_exist_is_not_folded(scene: Scene) -> None:
    """Neither an unknown range nor an unknown batch."""
    scene.worker()
    scene.running()
    assert not scene.folded("b1", 7, "key", None)
    assert not scene.folded("nothing", 0, "key", None)


def test_inline_bytes_go_when_the_last_range_is_folded(scene: Scene) -> None:
    """Until then every segment is whole, because an unfolded range may need it; blobs stay with their keys."""
    worker = scene.worker()
    scene.running(lines=(1, 1, 1))
    small, also_small, large = scene.claim(worker)
    scene.settle(worker, "b1", [*records_of(small), *records_of(also_small)])
    scene.ledger.settle(worker, draft_of("b1", records_of(large), data=None, blob_key="b1/w1/2"), scene.now)
    for range_no in range(3):
        assert all(ref.data or ref.blob_key for ref in scene.ledger.segments("b1", [1, 2]))
        assert len(scene.ledger.segments("b1", [1, 2])) == 2
        assert scene.folded("b1", range_no, f"b1/run/{range_no}", None)
    assert all(ref.data is None for ref in scene.ledger.segments("b1", [1]))
    (kept,) = scene.ledger.segments("b1", [2])
    assert kept.blob_key == "b1/w1/2"
