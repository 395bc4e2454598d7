"""Lines that change lane: fallback, overtaking, retry."""

from __future__ import annotations

import pytest

from batchrouter.domain.shard import Claim, LaneKey, Move
from batchrouter.errors import StaleLease
from tests.conformance.scene import FAST, SLOW, TENANT, Scene, record, records_of


def move(scene: Scene, worker: str, claim: Claim, members: int, lane: LaneKey = SLOW) -> Claim:
    asked = Move(shard_id=claim.shard_id, epoch=claim.epoch, members=members, lane=lane)
    (told,) = scene.ledger.move(worker, [asked], scene.now)
    return told


def held(scene: Scene) -> Claim:
    """Shard of four lines in the fast lane, held by w1; w2 is there too."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running()
    return scene.claim_one("w1")


def test_moved_lines_wait_in_their_new_lane(scene: Scene) -> None:
    """They left the old shard, and a free shard of the target lane has them; lanes are made as needed."""
    claim = held(scene)
    rest = move(scene, "w1", claim, 0b0110)
    assert (rest.shard_id, rest.pending, rest.lane_id) == (claim.shard_id, 0b1001, scene.lane_id(FAST))
    (group,) = scene.ledger.waiting(scene.now)
    assert (group.lane_id, group.shards, group.lines) == (scene.lane_id(SLOW), 1, 2)
    moved = scene.claim_one("w2", lane=SLOW)
    assert (moved.range_no, moved.pending) == (0, 0b0110)
    assert moved.shard_id != claim.shard_id


def test_the_old_shard_stays_with_its_owner_under_a_raised_epoch(scene: Scene) -> None:
    """What was sent before the move settles under the new epoch, and under the old one no more."""
    claim = held(scene)
    rest = move(scene, "w1", claim, 0b0110)
    assert rest.epoch > claim.epoch
    assert scene.settle("w1", "b1", [record(claim, 0)]).admitted == 0
    assert scene.settle("w1", "b1", [record(rest, 0)]).admitted == 1
    assert scene.claim("w2") == []


def test_a_moved_line_counts_in_its_new_shard_only(scene: Scene) -> None:
    """No longer a member of the old shard, even under its new epoch."""
    claim = held(scene)
    rest = move(scene, "w1", claim, 0b0110)
    moved = scene.claim_one("w2", lane=SLOW)
    assert scene.settle("w1", "b1", [record(rest, 1), record(rest, 2)]).admitted == 0
    assert scene.settle("w2", "b1", records_of(moved)).admitted == 0b11


def test_done_lines_are_never_moved(scene: Scene) -> None:
    """Whatever the mover asks for."""
    claim = held(scene)
    scene.settle("w1", "b1", [record(claim, 1)])
    rest = move(scene, "w1", claim, 0b0011)
    assert rest.pending == 0b1100
    assert scene.claim_one("w2", lane=SLOW).pending == 0b0001


def test_lines_that_are_no_members_are_not_moved(scene: Scene) -> None:
    """Lines of another lane's shard stay there."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running(lanes=(FAST, SLOW))
    rest = move(scene, "w1", scene.claim_one("w1"), 0b1111, LaneKey("third", "m"))
    assert rest.pending == 0
    assert scene.claim_one("w2", lane=SLOW).pending == 0b1010
    assert scene.claim_one("w2", lane=LaneKey("third", "m")).pending == 0b0101


def test_a_shard_that_lost_every_line_is_closed(scene: Scene) -> None:
    """Told with nothing pending, and given to nobody again."""
    claim = held(scene)
    rest = move(scene, "w1", claim, 0b1111)
    assert rest.pending == 0
    scene.ledger.release("w1", [(rest.shard_id, rest.epoch)])
    assert scene.claim("w2") == []
    (group,) = scene.ledger.waiting(scene.now)
    assert group.lane_id == scene.lane_id(SLOW)


def test_all_moves_or_none(scene: Scene) -> None:
    """One stale move among good ones, and nothing has changed."""
    for name in ("w1", "w2"):
        scene.worker(name)
    scene.running(lines=(2, 2, 2))
    first, second, _ = scene.claim("w1")
    scene.ledger.release("w1", [(second.shard_id, second.epoch)])
    before = scene.picture("b1")
    moves = [Move(shard_id=each.shard_id, epoch=each.epoch, members=1, lane=SLOW) for each in (first, second)]
    with pytest.raises(StaleLease):
        scene.ledger.move("w1", moves, scene.now)
    assert scene.picture("b1") == before
    assert scene.settle("w1", "b1", records_of(first)).admitted == 0b11


def test_claims_after_a_move_are_told_in_order(scene: Scene) -> None:
    """One for each move, of the shard that was named."""
    scene.worker("w1")
    scene.running(lines=(2, 2))
    first, second = scene.claim("w1")
    moves = [Move(shard_id=each.shard_id, epoch=each.epoch, members=0b10, lane=SLOW) for each in (second, first)]
    told = scene.ledger.move("w1", moves, scene.now)
    assert [(each.shard_id, each.range_no, each.pending) for each in told] == [
        (second.shard_id, 1, 1),
        (first.shard_id, 0, 1),
    ]
    assert scene.ledger.move("w1", [], scene.now) == []


@pytest.mark.parametrize("who", ["another worker", "an old epoch", "an unknown shard"])
def test_only_the_owner_moves(scene: Scene, who: str) -> None:
    """Anybody else is stale, and changes nothing."""
    claim = held(scene)
    worker, shard_id, epoch = "w1", claim.shard_id, claim.epoch
    match who:
        case "another worker":
            worker = "w2"
        case "an old epoch":
            epoch -= 1
        case _:
            shard_id = 9999
    before = scene.picture("b1")
    with pytest.raises(StaleLease):
        scene.ledger.move(worker, [Move(shard_id=shard_id, epoch=epoch, members=1, lane=SLOW)], scene.now)
    assert scene.picture("b1") == before


def test_lines_move_on_and_back(scene: Scene) -> None:
    """Any number of times; each line stays in one place, and all are answered in the end."""
    claim = held(scene)
    move(scene, "w1", claim, 0b1111)
    there = scene.claim_one("w2", lane=SLOW)
    move(scene, "w2", there, 0b1100, FAST)
    back = scene.claim_one("w1")
    assert back.pending == 0b1100
    assert scene.settle("w1", "b1", records_of(back)).admitted == 0b11
    assert scene.catalog.lane_shares("b1")[0].done == 2
    assert sum(share.waiting + share.done for share in scene.catalog.lane_shares("b1")) == 4


def test_a_move_in_a_closing_batch_reopens_nothing(scene: Scene) -> None:
    """The new shard goes with the seal like every other."""
    claim = held(scene)
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    rest = move(scene, "w1", claim, 0b0001)
    assert scene.claim("w2", lane=SLOW) == []
    scene.ledger.seal("w1", scene.duty("w1", "b1"))
    assert scene.claim("w2", lane=SLOW) == []
    assert scene.settle("w1", "b1", records_of(rest)).admitted == 0
