"""Which bytes are needed, and when those that are not may go."""

from __future__ import annotations

import pytest

from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.outcome import Outcome
from tests.conformance.scene import LEASE_MS, REFUSAL, TENANT, Scene, draft_of, record

HOUR_MS = 3600 * 1000


def sweep(scene: Scene) -> set[str]:
    """What may be deleted once everything that is garbage now has lingered."""
    scene.ledger.sweep(scene.now, HOUR_MS)
    scene.now += HOUR_MS
    return set(scene.ledger.sweep(scene.now, HOUR_MS))


def finished(scene: Scene) -> None:
    """A final batch with both files, a segment in a blob and a folded range."""
    worker = scene.worker()
    scene.running(lines=(2, 1))
    first, second = scene.claim(worker)
    draft = draft_of("b1", [record(first, 0), record(first, 1, Outcome.FAILED)], data=None, blob_key="b1/w1/1")
    scene.ledger.settle(worker, draft, scene.now)
    scene.settle(worker, "b1", [record(second, 0)])
    assert scene.folded("b1", 0, "b1/run/0.out", "b1/run/0.err")
    scene.end(worker, "b1", BatchEvent.COMPLETE)


def test_bytes_go_an_hour_after_the_row(scene: Scene) -> None:
    """Noted by the first sweep after the delete, told once they have lingered, and until they are forgotten."""
    scene.file("f1")
    assert scene.ledger.sweep(scene.now, HOUR_MS) == []
    scene.catalog.delete_file(TENANT, "f1", scene.now)
    assert scene.ledger.sweep(scene.now, HOUR_MS) == []
    assert scene.ledger.sweep(scene.now + HOUR_MS - 1, HOUR_MS) == []
    keys = {"files/f1", "files/f1.index"}
    scene.now += HOUR_MS
    assert set(scene.ledger.sweep(scene.now, HOUR_MS)) == keys
    assert set(scene.ledger.sweep(scene.now, HOUR_MS)) == keys
    scene.ledger.forget(sorted(keys))
    assert scene.ledger.sweep(scene.now + HOUR_MS, HOUR_MS) == []


def test_an_expired_file_is_deleted_by_the_sweeper(scene: Scene) -> None:
    """As if by a person."""
    scene.file("f1", expires_ms=scene.now + 10)
    assert sweep(scene) == set()
    assert sweep(scene) == {"files/f1", "files/f1.index"}


def test_a_batch_needs_its_input_until_it_is_final(scene: Scene) -> None:
    """Deleted or not, the bytes stay for as long as a batch reads them; of two batches, for the last."""
    worker = scene.worker(lease_ms=1000 * HOUR_MS)
    scene.file("shared")
    for batch_id in ("b1", "b2"):
        scene.running(batch_id, input_file_id="shared", expires_ms=scene.now + 999 * HOUR_MS)
    scene.catalog.delete_file(TENANT, "shared", scene.now)
    assert sweep(scene) == set()
    scene.end(worker, "b1", BatchEvent.CANCEL)
    assert sweep(scene) == set()
    scene.end(worker, "b2", BatchEvent.CANCEL)
    assert sweep(scene) == {"files/shared", "files/shared.index"}


def test_a_refused_batch_needs_its_input_no_more(scene: Scene) -> None:
    """It is final."""
    worker = scene.worker()
    scene.create("b1")
    scene.catalog.delete_file(TENANT, "b1.in", scene.now)
    assert sweep(scene) == set()
    scene.ledger.beat(worker, scene.now, LEASE_MS, [])
    assert scene.ledger.plan(worker, scene.duty(worker, "b1"), REFUSAL, scene.now)
    assert sweep(scene) == {"files/b1.in", "files/b1.in.index"}


def test_a_final_batch_does_not_take_its_input_along(scene: Scene) -> None:
    """The input file is a person's: it stays until somebody deletes it."""
    finished(scene)
    assert sweep(scene) == set()
    assert scene.catalog.file(TENANT, "b1.in", scene.now) is not None


@pytest.mark.parametrize("roles", [("output", "error"), ("error", "output")])
def test_results_go_when_both_files_are_gone(scene: Scene, roles: tuple[str, str]) -> None:
    """One file left needs all segments and runs; the last one takes them along."""
    finished(scene)
    results = {"b1/w1/1", "b1/run/0.out", "b1/run/0.err"}
    scene.catalog.delete_file(TENANT, f"b1.{roles[0]}", scene.now)
    assert sweep(scene) == set()
    scene.catalog.delete_file(TENANT, f"b1.{roles[1]}", scene.now)
    assert sweep(scene) == results
    scene.ledger.forget(sorted(results))
    assert sweep(scene) == set()
    assert scene.ledger.known(sorted(results)) == frozenset()
    assert scene.batch("b1").completed == 2


def test_a_running_download_is_not_cut(scene: Scene) -> None:
    """For as long as the bytes of a deleted file linger, its parts and its inline segments can be read."""
    finished(scene)
    output = scene.catalog.file(TENANT, "b1.output", scene.now)
    assert output is not None
    parts, inline = scene.catalog.manifest(output, -1, 10), scene.catalog.segments("b1", [2])
    assert inline[0].data is not None
    for role in ("output", "error"):
        scene.catalog.delete_file(TENANT, f"b1.{role}", scene.now)
    for _ in range(2):
        assert scene.ledger.sweep(scene.now, HOUR_MS) == []
        assert scene.catalog.manifest(output, -1, 10) == parts
        assert scene.catalog.segments("b1", [2]) == inline
        scene.now += HOUR_MS // 4


def test_what_is_gone_is_not_folded(scene: Scene) -> None:
    """Folding a range of a batch whose files are deleted would make bytes that nobody needs."""
    finished(scene)
    assert [work.range_no for work in scene.foldable(10)] == [1]
    for role in ("output", "error"):
        scene.catalog.delete_file(TENANT, f"b1.{role}", scene.now)
    sweep(scene)
    sweep(scene)
    assert scene.foldable(10) == []
    assert not scene.folded("b1", 1, "b1/run/1.out", None)


def test_known_keys_are_those_that_a_row_names(scene: Scene) -> None:
    """Files, indexes, parts, inputs, segments, runs and garbage are known; what a crash left over is not."""
    finished(scene)
    named = ["files/b1.in", "files/b1.in.index", "b1/w1/1", "b1/run/0.out", "b1/run/0.err"]
    assert scene.ledger.known([*named, "b1/w1/99", "files/b1.in~tmp1"]) == frozenset(named)
    assert scene.ledger.known([]) == frozenset()
    for role in ("output", "error"):
        scene.catalog.delete_file(TENANT, f"b1.{role}", scene.now)
    assert sweep(scene) == {"b1/w1/1", "b1/run/0.out", "b1/run/0.err"}
    assert scene.ledger.known(named) == frozenset(named)


def test_the_input_of_a_running_batch_is_known_though_its_file_is_deleted(scene: Scene) -> None:
    """A hunt for orphans must not find it."""
    scene.worker(lease_ms=99 * LEASE_MS)
    scene.running()
    scene.catalog.delete_file(TENANT, "b1.in", scene.now)
    sweep(scene)
    assert scene.ledger.known(["files/b1.in", "files/b1.in.index"]) == {"files/b1.in", "files/b1.in.index"}


def test_a_sweep_tells_at_most_a_thousand_keys(scene: Scene) -> None:
    """The rest comes with the next, once those are forgotten."""
    for number in range(520):
        scene.file(f"f{number}", expires_ms=scene.now + 1)
    scene.now += 2
    first = sweep(scene)
    assert len(first) == 1000
    scene.ledger.forget(sorted(first))
    second = set(scene.ledger.sweep(scene.now, HOUR_MS))
    assert len(second) == 40
    assert not first & second
