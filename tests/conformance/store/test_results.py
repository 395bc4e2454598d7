"""Reading finished lines: segments in the order of settling, ranges by line, and what is left after folding."""

from __future__ import annotations

from dataclasses import replace

from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.outcome import Outcome, unpack
from tests.conformance.scene import FAST, SLOW, TENANT, Scene, draft_of, record, records_of, segment


def test_segments_come_in_the_order_of_settling_with_their_records(scene: Scene) -> None:
    """From a number on, at most as many as asked; only what counted is marked, and bytes come only where asked."""
    worker = scene.worker()
    scene.running(lines=(2, 2))
    first, second = scene.claim(worker)
    scene.settle(worker, "b1", [record(second, 0)])
    scene.now += 500
    scene.settle(worker, "b1", [record(second, 0), record(first, 1, Outcome.FAILED)])
    scene.ledger.settle(worker, draft_of("b1", [record(first, 0)], data=None, blob_key="b1/w1/3"), scene.now)
    results = scene.store.results
    views = results.segments_from("b1", 1, 10)
    assert [(view.seq, view.count, view.admitted) for view in views] == [(1, 1, 1), (2, 2, 0b10), (3, 1, 1)]
    assert [view.at_ms for view in views] == [scene.now - 500, scene.now, scene.now]
    assert [view.blob_key for view in views] == [None, None, "b1/w1/3"]
    assert [each.line for view in views[:2] for each in unpack(view.records or b"")] == [2, 2, 1]
    assert views[2].records is None
    assert all(view.data is None for view in views)
    assert [view.seq for view in results.segments_from("b1", 2, 1)] == [2]
    assert results.segments_from("b1", 4, 10) == []
    assert results.segments_from("nothing", 1, 10) == []
    whole = results.segments_of("b1", [2, 9, 1], whole=True)
    assert [view.seq for view in whole] == [2, 1]
    packed, data = segment([record(second, 0), record(first, 1, Outcome.FAILED)])
    assert (whole[0].data, whole[0].records) == (data, packed)
    assert results.segments_of("b1", [2]) == [views[1]]


def test_ranges_are_found_by_line(scene: Scene) -> None:
    """The one that has it and those after it, with what is done and where."""
    worker = scene.worker()
    scene.running(lines=(2, 3, 1))
    claims = scene.claim(worker)
    scene.settle(worker, "b1", [record(claims[1], 2)])
    results = scene.store.results
    assert [view.range_no for view in results.ranges_from("b1", 0, 10)] == [0, 1, 2]
    assert [view.range_no for view in results.ranges_from("b1", 4, 1)] == [1]
    assert results.ranges_from("b1", 6, 10) == []
    assert results.ranges_from("nothing", 0, 10) == []
    (view,) = results.ranges_from("b1", 2, 1)
    assert (view.first_line, view.lines, view.done, view.segment_seqs) == (2, 3, 0b100, (1,))
    assert (view.folded, view.output, view.error) == (False, None, None)


def test_records_outlive_the_bytes_of_small_segments(scene: Scene) -> None:
    """A batch that is folded whole: what is known of each line is as before, its bytes are in the range's run."""
    worker = scene.worker()
    scene.running(lines=(2, 1))
    first, second = scene.claim(worker)
    scene.settle(worker, "b1", [*records_of(first)])
    scene.ledger.settle(worker, draft_of("b1", records_of(second), data=None, blob_key="b1/w1/2"), scene.now)
    results = scene.store.results
    before = results.segments_from("b1", 1, 10)
    assert scene.folded("b1", 0, "run/0", None)
    assert results.segments_of("b1", [1], whole=True)[0].data is not None
    assert scene.folded("b1", 1, "run/1", None)
    assert results.segments_from("b1", 1, 10) == [replace(view, inline=False) for view in before]
    assert [view.inline for view in before] == [True, False]
    assert [view.data for view in results.segments_of("b1", [1, 2], whole=True)] == [None, None]
    assert [view.output for view in results.ranges_from("b1", 0, 10)] == [("run/0", 0), ("run/1", 0)]


def test_what_may_be_read_of_a_batch(scene: Scene) -> None:
    """Its lines as long as the file that holds them is there, its requests as long as the input's file is."""
    worker = scene.worker()
    scene.running(lines=(2,))
    results = scene.store.results
    subject = results.subject(TENANT, "b1", scene.now)
    assert subject is not None
    assert (subject.output, subject.error) == (True, True)
    assert (subject.input_blob_key, subject.input_index_key) == ("files/b1.in", "files/b1.in.index")
    assert subject.batch == scene.batch("b1")
    assert results.subject("another", "b1", scene.now) is None
    assert results.subject(TENANT, "b2", scene.now) is None
    claim = scene.claim_one(worker)
    scene.settle(worker, "b1", [record(claim, 0), record(claim, 1, Outcome.FAILED)])
    scene.end(worker, "b1", BatchEvent.COMPLETE)
    scene.catalog.delete_file(TENANT, "b1.output", scene.now)
    scene.catalog.delete_file(TENANT, "b1.in", scene.now)
    subject = results.subject(TENANT, "b1", scene.now)
    assert subject is not None
    assert (subject.output, subject.error, subject.input_blob_key) == (False, True, None)
    scene.file("b3.in", expires_ms=scene.now + 1000)
    scene.create("b3")
    for later_ms, there in ((999, True), (1000, False)):
        subject = results.subject(TENANT, "b3", scene.now + later_ms)
        assert subject is not None
        assert (subject.input_blob_key is not None) is there
    scene.catalog.delete_file(TENANT, "b1.error", scene.now)
    subject = results.subject(TENANT, "b1", scene.now)
    assert subject is not None
    assert (subject.output, subject.error) == (False, False)


def test_lanes_by_id(scene: Scene) -> None:
    scene.worker()
    scene.running(lanes=(FAST, SLOW))
    fast, slow = scene.lane_id(FAST), scene.lane_id(SLOW)
    assert scene.store.results.lane_keys([fast, slow, 0, 999]) == {fast: FAST, slow: SLOW}


def test_a_pulse_changes_with_everything_that_is_told(scene: Scene) -> None:
    """And with nothing else; many are read at once."""
    worker = scene.worker()
    scene.create("b2")
    results = scene.store.results
    seen = [results.pulses(["b1", "b2"])]
    assert list(seen[0]) == ["b2"]
    scene.running(lines=(2,))
    seen.append(results.pulses(["b1", "b2"]))
    claim = scene.claim_one(worker)
    seen.append(results.pulses(["b1", "b2"]))
    assert seen[1] == seen[2]
    scene.settle(worker, "b1", [record(claim, 0)])
    seen.append(results.pulses(["b1", "b2"]))
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    seen.append(results.pulses(["b1", "b2"]))
    assert len({each.get("b1") for each in seen}) == 4
    assert {each["b2"] for each in seen} == {seen[0]["b2"]}
