"""Workers: presence, lapse, resignation, and a restart that knows it is alone."""

from __future__ import annotations

import pytest

from batchrouter.domain.shard import Load
from batchrouter.errors import StaleLease
from tests.conformance.scene import FAST, LEASE_MS, TENANT, Scene, records_of


def test_a_beat_renews_the_lease(scene: Scene) -> None:
    """A worker that beats in time keeps its shards for as long as it does."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running()
    claim = scene.claim_one("w1")
    for _ in range(5):
        scene.now += LEASE_MS - 1
        assert scene.ledger.beat("w1", scene.now, LEASE_MS, []).alive
        scene.ledger.enlist("w2", scene.now, LEASE_MS, alone=False)
        assert scene.ledger.beat("w2", scene.now, LEASE_MS, []).reaped == 0
    assert scene.settle("w1", "b1", records_of(claim)).admitted == 0b1111


def test_a_lapsed_worker_loses_everything_to_the_next_beat(scene: Scene) -> None:
    """Its shards are free under raised epochs, its duties too, and it hears that it is out."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running(lines=(4, 4))
    scene.create("b2")
    first, _ = scene.claim("w1")
    duty = scene.duty("w1", "b2")
    scene.now += LEASE_MS + 1
    beat = scene.reap("w2")
    assert (beat.alive, beat.reaped) == (True, 2)
    again = scene.claim("w2")
    assert [claim.pending for claim in again] == [0b1111, 0b1111]
    assert again[0].epoch > first.epoch
    assert scene.duty("w2", "b2").duty_epoch > duty.duty_epoch
    for _ in range(2):
        assert not scene.ledger.beat("w1", scene.now, LEASE_MS, []).alive
    with pytest.raises(StaleLease):
        scene.claim("w1")
    assert scene.settle("w1", "b1", records_of(first)).admitted == 0


@pytest.mark.parametrize("late_ms", [LEASE_MS // 2, LEASE_MS, 3 * LEASE_MS])
def test_a_worker_that_is_late_itself_takes_nothing_from_the_others(late_ms: int, scene: Scene) -> None:
    """The store was away: whoever comes back first renews, and the rest have time to do the same. What they finished
    meanwhile counts."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running()
    claim = scene.claim_one("w1")
    lapse_ms = scene.now + LEASE_MS
    scene.now += late_ms
    beat = scene.ledger.beat("w2", scene.now, LEASE_MS, [])
    assert (beat.alive, beat.reaped, beat.next_lapse_ms) == (True, 0, lapse_ms)
    assert scene.ledger.beat("w1", scene.now, LEASE_MS, []).alive
    assert scene.ledger.beat("w2", scene.now, LEASE_MS, []).reaped == 0
    assert scene.settle("w1", "b1", records_of(claim)).admitted == 0b1111


def test_the_next_beat_of_a_late_worker_frees_who_did_not_come_back(scene: Scene) -> None:
    """And so does that of one who was in time, at the millisecond at which the other's lease ends."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running()
    scene.claim_one("w1")
    scene.now += LEASE_MS - 1
    assert scene.ledger.beat("w2", scene.now, LEASE_MS, []).reaped == 0
    assert scene.ledger.beat("w2", scene.now, LEASE_MS, []).reaped == 0
    scene.now += 1
    assert scene.ledger.beat("w2", scene.now, LEASE_MS, []).reaped == 1


def test_a_beat_tells_when_the_next_lease_of_another_ends(scene: Scene) -> None:
    """So that whoever takes over looks at that moment. None where nobody else lives, nor for one that is out."""
    scene.worker("w1")
    assert scene.ledger.beat("w1", scene.now, LEASE_MS, []).next_lapse_ms is None
    scene.worker("w2", lease_ms=LEASE_MS + 5)
    scene.worker("w3", lease_ms=LEASE_MS + 3)
    assert scene.ledger.beat("w1", scene.now, LEASE_MS, []).next_lapse_ms == scene.now + LEASE_MS + 3
    scene.ledger.resign("w1")
    beat = scene.ledger.beat("w1", scene.now, LEASE_MS, [])
    assert (beat.alive, beat.next_lapse_ms) == (False, None)


def test_who_is_out_frees_nobody(scene: Scene) -> None:
    """It has no lease of its own any more by which it could be in time."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running()
    claim = scene.claim_one("w1")
    scene.ledger.resign("w2")
    scene.now += LEASE_MS + 1
    assert scene.ledger.beat("w2", scene.now, LEASE_MS, []).reaped == 0
    assert scene.ledger.beat("w1", scene.now, LEASE_MS, []).alive
    assert scene.settle("w1", "b1", records_of(claim)).admitted == 0b1111


def test_a_late_beat_that_nobody_challenged_goes_on(scene: Scene) -> None:
    """A lease that lapsed unnoticed is renewed: what was paid for still counts."""
    worker = scene.worker()
    scene.running()
    claim = scene.claim_one(worker)
    scene.now += 10 * LEASE_MS
    assert scene.ledger.beat(worker, scene.now, LEASE_MS, []).alive
    assert scene.settle(worker, "b1", records_of(claim)).admitted == 0b1111


def test_a_late_answer_that_nobody_challenged_counts(scene: Scene) -> None:
    """The fence is the epoch, not the clock."""
    worker = scene.worker()
    scene.running()
    claim = scene.claim_one(worker)
    scene.now += 10 * LEASE_MS
    assert scene.settle(worker, "b1", records_of(claim)).admitted == 0b1111


def test_who_resigns_gives_back_everything_at_once(scene: Scene) -> None:
    """Shards and duties are free without a lapse; a repeat changes nothing; nobody else loses anything."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running(lines=(1, 1))
    scene.create("b2")
    mine, theirs = scene.claim_one("w1"), scene.claim_one("w2")
    scene.duty("w1", "b2")
    scene.ledger.resign("w1")
    scene.ledger.resign("w1")
    assert scene.settle("w1", "b1", records_of(mine)).admitted == 0
    assert scene.settle("w2", "b1", records_of(theirs)).admitted == 1
    assert [claim.shard_id for claim in scene.claim("w2")] == [mine.shard_id]
    assert scene.has_duty("w2", "b2")
    assert not scene.ledger.beat("w1", scene.now, LEASE_MS, []).alive


def test_a_start_that_is_alone_ends_every_lease_at_once(scene: Scene) -> None:
    """The folder lock proves that the former owner is dead: no lapse is waited for."""
    scene.worker("w1")
    scene.running()
    scene.create("b2")
    claim, duty = scene.claim_one("w1"), scene.duty("w1", "b2")
    scene.worker("w2", alone=True)
    assert scene.settle("w1", "b1", records_of(claim)).admitted == 0
    (again,) = scene.claim("w2")
    assert again.epoch > claim.epoch
    assert scene.duty("w2", "b2").duty_epoch > duty.duty_epoch
    assert not scene.ledger.beat("w1", scene.now, LEASE_MS, []).alive


def test_a_start_beside_others_takes_nothing_from_them(scene: Scene) -> None:
    """Without `alone`, announcing oneself frees nobody."""
    scene.worker("w1")
    scene.running()
    claim = scene.claim_one("w1")
    scene.worker("w2")
    assert scene.claim("w2") == []
    assert scene.settle("w1", "b1", records_of(claim)).admitted == 0b1111


def test_a_worker_whose_lease_has_lapsed_takes_no_duty(scene: Scene) -> None:
    """It is refused, or offered none; the duty is the next worker's."""
    scene.worker("w1")
    scene.create("b1")
    scene.now += LEASE_MS + 1
    try:
        taken = scene.ledger.take_duties("w1", scene.now, 10)
    except StaleLease:
        taken = []
    assert taken == []
    scene.worker("w2")
    assert scene.has_duty("w2", "b1")


def test_a_beat_tells_which_batches_are_closing(scene: Scene) -> None:
    """Of those that the worker named in its loads, so that it can end their calls; gone ones too."""
    worker = scene.worker()
    for batch_id in ("b1", "b2", "b3"):
        scene.running(batch_id)
    scene.catalog.cancel_batch(TENANT, "b2", scene.now)
    scene.catalog.cancel_batch(TENANT, "b3", scene.now)
    lane_id = scene.lane_id()
    loads = [Load(lane_id=lane_id, batch_id=batch_id, in_flight=1, retrying=0) for batch_id in ("b1", "b2", "gone")]
    assert scene.ledger.beat(worker, scene.now, LEASE_MS, loads).closing == {"b2", "gone"}


def test_loads_are_replaced_by_each_beat_and_go_with_their_worker(scene: Scene) -> None:
    """People see what is in flight now, over all workers, and nothing of the dead."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running(lines=(4, 4))
    lane_id = scene.lane_id(FAST)

    def load(in_flight: int, retrying: int) -> list[Load]:
        return [Load(lane_id=lane_id, batch_id="b1", in_flight=in_flight, retrying=retrying)]

    def seen() -> tuple[int, int, int, int]:
        (share,) = scene.catalog.lane_shares("b1")
        return share.waiting, share.in_flight, share.retrying, share.done

    assert seen() == (8, 0, 0, 0)
    scene.ledger.beat("w1", scene.now, LEASE_MS, load(3, 1))
    scene.ledger.beat("w2", scene.now, LEASE_MS, load(1, 1))
    assert seen() == (2, 4, 2, 0)
    scene.ledger.beat("w1", scene.now, LEASE_MS, load(2, 0))
    assert seen() == (4, 3, 1, 0)
    scene.ledger.resign("w2")
    assert seen() == (6, 2, 0, 0)
    scene.now += LEASE_MS + 1
    scene.worker("w3")
    scene.ledger.beat("w3", scene.now, LEASE_MS, [])
    assert seen() == (8, 0, 0, 0)


def test_a_batch_that_waits_in_a_lane_for_a_reason_of_its_own_is_told_that_reason(scene: Scene) -> None:
    """Instead of the lane's, and only of that batch; the soonest time of any worker. It goes with the load."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running("b1", lines=(4, 4))
    scene.running("b2", lines=(4,))
    lane_id = scene.lane_id(FAST)

    def load(reason: str | None, until_ms: int | None) -> list[Load]:
        return [Load(lane_id=lane_id, batch_id="b1", in_flight=0, retrying=0, reason=reason, until_ms=until_ms)]

    def seen(batch_id: str = "b1") -> tuple[str, str | None, int | None]:
        (share,) = scene.catalog.lane_shares(batch_id)
        return share.state, share.reason, share.until_ms

    scene.ledger.beat("w1", scene.now, LEASE_MS, load("all failed", 9000))
    assert seen() == ("paused", "all failed", 9000)
    assert seen("b2") == ("open", None, None)
    scene.ledger.beat("w2", scene.now, LEASE_MS, load("all failed", 8000))
    assert seen() == ("paused", "all failed", 8000)
    scene.ledger.beat("w1", scene.now, LEASE_MS, load(None, None))
    scene.ledger.beat("w2", scene.now, LEASE_MS, [])
    assert seen() == ("open", None, None)
