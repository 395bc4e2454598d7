"""Shards: waiting, claimed, given back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchrouter.domain.priority import Priority
from batchrouter.domain.shard import Claim, WaitingGroup
from batchrouter.domain.tenant import Quotas
from batchrouter.errors import StaleLease
from tests.conformance.scene import FAST, LEASE_MS, SLOW, TENANT, WINDOW_MS, Scene, record, records_of


def test_waiting_shards_are_grouped_by_lane_and_batch(scene: Scene) -> None:
    """With the tenant's weight and the batch's deadline, and the lines that are still to do."""
    scene.tenant("heavy", 5)
    scene.worker()
    scene.running("b1", (4, 4))
    scene.running("b2", (3,), (SLOW,), tenant_id="heavy", expires_ms=scene.now + 9000)
    groups = {group.batch_id: group for group in scene.ledger.waiting(scene.now)}
    assert groups == {
        "b1": WaitingGroup(
            lane_id=scene.lane_id(FAST), batch_id="b1", tenant_id=TENANT, weight=1, deadline_ms=scene.now + WINDOW_MS,
            shards=2, lines=8,
        ),
        "b2": WaitingGroup(
            lane_id=scene.lane_id(SLOW), batch_id="b2", tenant_id="heavy", weight=5, deadline_ms=scene.now + 9000,
            shards=1, lines=3,
        ),
    }  # fmt: skip


def test_a_claim_tells_all_that_sending_needs(scene: Scene) -> None:
    """Where the lines are, whose they are, until when, and which are still to do."""
    worker = scene.worker()
    scene.running(lines=(4, 3))
    first, second = scene.claim(worker)
    assert second == Claim(
        shard_id=second.shard_id, epoch=second.epoch, batch_id="b1", tenant_id=TENANT, weight=1,
        deadline_ms=scene.now + WINDOW_MS, endpoint="/v1/chat/completions", lane_id=scene.lane_id(), range_no=1,
        first_line=4, lines=3, pending=0b111, input_blob_key="files/b1.in", input_index_key="files/b1.in.index",
    )  # fmt: skip
    assert (first.range_no, first.pending) == (0, 0b1111)
    assert first.shard_id > 0


def test_claims_take_the_lowest_ranges_and_no_more_than_asked(scene: Scene) -> None:
    """What is taken waits no longer, and is given to nobody else."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running(lines=(1, 1, 1, 1))
    assert [claim.range_no for claim in scene.claim("w1", count=3)] == [0, 1, 2]
    (group,) = scene.ledger.waiting(scene.now)
    assert group.shards == 1
    assert [claim.range_no for claim in scene.claim("w2")] == [3]
    assert scene.ledger.waiting(scene.now) == []
    assert scene.claim("w1") == []


def test_only_shards_of_that_lane_are_claimed(scene: Scene) -> None:
    """A lane that was never planned, and a batch that does not exist, have none."""
    worker = scene.worker()
    scene.running(lanes=(FAST, SLOW))
    assert [claim.pending for claim in scene.claim(worker, lane=SLOW)] == [0b1010]
    assert scene.ledger.claim(worker, 9999, "b1", 5, scene.now) == []
    assert scene.ledger.claim(worker, scene.lane_id(), "nothing", 5, scene.now) == []


def test_what_is_given_back_waits_again_under_a_raised_epoch(scene: Scene) -> None:
    """The next owner holds a higher epoch, and is told only what is still to do."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running()
    first = scene.claim_one("w1")
    scene.settle("w1", "b1", [record(first, 1)])
    scene.ledger.release("w1", [(first.shard_id, first.epoch)])
    second = scene.claim_one("w2")
    assert second.shard_id == first.shard_id
    assert second.epoch > first.epoch
    assert second.pending == 0b1101


def test_a_shard_with_nothing_pending_is_closed_on_release(scene: Scene) -> None:
    """It waits no more."""
    worker = scene.worker()
    scene.running()
    scene.answer_all(worker)
    assert scene.ledger.waiting(scene.now) == []
    assert scene.claim(worker) == []


def test_a_release_of_what_is_not_held_is_skipped(scene: Scene) -> None:
    """An old epoch, another's shard and an unknown one change nothing; the valid pair beside them is given back."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running(lines=(1, 1))
    mine, theirs = scene.claim_one("w1"), scene.claim_one("w2")
    scene.ledger.release(
        "w1", [(theirs.shard_id, theirs.epoch), (mine.shard_id, mine.epoch - 1), (9999, 1), (mine.shard_id, mine.epoch)]
    )
    (again,) = scene.claim("w1")
    assert again.shard_id == mine.shard_id
    assert scene.settle("w2", "b1", records_of(theirs)).admitted == 1


def test_a_worker_whose_lease_has_lapsed_claims_nothing(scene: Scene) -> None:
    """Though nobody has freed it yet; and a stranger never could."""
    scene.worker()
    scene.running()
    scene.now += LEASE_MS + 1
    for name in ("w1", "stranger"):
        with pytest.raises(StaleLease):
            scene.claim(name)
    (group,) = scene.ledger.waiting(scene.now)
    assert group.lines == 4


def test_a_closing_batch_gives_no_more_shards(scene: Scene) -> None:
    """Nothing waits, nothing is claimed, from the moment of the cancel."""
    worker = scene.worker()
    scene.running(lines=(1, 1))
    scene.claim_one(worker)
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    assert scene.ledger.waiting(scene.now) == []
    assert scene.claim(worker) == []


def test_a_worker_is_told_what_it_holds(scene: Scene) -> None:
    """By id, as it would be told today, and nothing of others: for whoever did not hear the answer to a claim."""
    for worker in ("w1", "w2"):
        scene.worker(worker)
    scene.running("b1", (4, 4, 4), worker="w1")
    claims = scene.claim("w1", count=2)
    scene.claim("w2")
    assert scene.ledger.held("w1") == claims
    scene.settle("w1", "b1", [record(claims[0], 0)])
    scene.ledger.release("w1", [(claims[1].shard_id, claims[1].epoch)])
    assert scene.ledger.held("w1") == [replace(claims[0], pending=0b1110)]
    scene.ledger.resign("w1")
    assert scene.ledger.held("w1") == []


def test_waiting_and_claims_tell_the_priority_and_claims_the_tenants_quota(scene: Scene) -> None:
    """As they are now: a quota that changes is told by the next claim."""
    worker = scene.worker()
    assert scene.running("b1", (4, 4), priority=Priority.HIGH).priority is Priority.HIGH
    assert scene.running("b2").priority is Priority.NORMAL
    told = {group.batch_id: group.priority for group in scene.ledger.waiting(scene.now)}
    assert told == {"b1": Priority.HIGH, "b2": Priority.NORMAL}
    first = scene.claim_one(worker)
    assert (first.priority, first.max_in_flight) == (Priority.HIGH, None)
    home = scene.catalog.tenants()[0]
    scene.catalog.add_tenant(replace(home, quotas=Quotas(max_in_flight=7)))
    assert scene.claim_one(worker).max_in_flight == 7
    scene.running("b3", priority=Priority.LOW)
    assert scene.claim_one(worker, "b3").priority is Priority.LOW
