"""A lane is shared by weight, everybody gets a turn soon, and nobody is paid for having been away."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.fair_share import QUANTUM, URGENT_MS, Turns, pick_shards, weight_in_tenant
from batchrouter.domain.priority import Priority
from batchrouter.domain.shard import WaitingGroup

FAR_MS = 86_400_000


def group(
    batch: str, tenant: str, shards: int, *, lines: int = 0, weight: int = 1, deadline_ms: int = FAR_MS, **more: Any
) -> WaitingGroup:
    return WaitingGroup(
        lane_id=1,
        batch_id=batch,
        tenant_id=tenant,
        weight=weight,
        deadline_ms=deadline_ms,
        shards=shards,
        lines=lines or shards * 500,
        **more,
    )


# --- claiming -------------------------------------------------------------------------------------------------------


def test_every_batch_gets_a_shard_before_any_gets_a_second() -> None:
    """A hundred shards of one batch do not keep a small one waiting."""
    picked = dict(pick_shards([group("big", "a", 100), group("small", "b", 1, lines=10)], {}, {}, 2000, 0))
    assert picked["small"] == 1
    assert picked["big"] == 4


def test_a_batch_that_holds_nothing_comes_before_one_that_does() -> None:
    """Even of a tenant that holds much already."""
    picked = pick_shards([group("old", "a", 9), group("new", "b", 9)], {"old": 500}, {"a": 500, "b": 9000}, 400, 0)
    assert picked == [("new", 1)]


def test_tenants_share_by_weight_and_what_they_hold_counts() -> None:
    """Weight 3 against 1: three quarters of the lines, those held included."""
    waiting = [group("x", "a", 100, weight=3), group("y", "b", 100)]
    picked = dict(pick_shards(waiting, {"x": 1, "y": 1}, {"a": 0, "b": 0}, 20_000, 0))
    assert picked == {"x": 30, "y": 10}
    picked = dict(pick_shards(waiting, {"x": 1, "y": 4000}, {"a": 0, "b": 4000}, 12_000, 0))
    assert picked == {"x": 24}


def test_a_batch_near_its_deadline_comes_first_within_its_tenant() -> None:
    """The others of that tenant wait; another tenant's share is not touched."""
    waiting = [
        group("calm", "a", 50),
        group("urgent", "a", 50, deadline_ms=URGENT_MS - 1),
        group("other", "b", 50),
    ]
    held = {"calm": 1, "urgent": 1, "other": 1}
    assert dict(pick_shards(waiting, held, {}, 10_000, 0)) == {"urgent": 10, "other": 10}


def test_a_higher_priority_takes_eight_times_as_much_of_its_tenants_part() -> None:
    """And nothing of another tenant's; none of the tenant's own is left without."""
    waiting = [
        group("high", "a", 100, priority=Priority.HIGH),
        group("normal", "a", 100),
        group("low", "a", 100, priority=Priority.LOW),
        group("other", "b", 100),
    ]
    held = dict.fromkeys(("high", "normal", "low", "other"), 1)
    picked = dict(pick_shards(waiting, held, {}, 82_000, 0))
    assert picked["other"] == 82
    assert 70 <= picked["high"] <= 74
    assert 8 <= picked["normal"] <= 10
    assert 1 <= picked["low"] <= 2


def test_turns_within_a_tenant_follow_priority_and_deadlines_go_before() -> None:
    turns, served = Turns(), Counter[str]()
    near = weight_in_tenant(Priority.LOW, URGENT_MS, 0)
    parts = {"high": Priority.HIGH.weight, "normal": Priority.NORMAL.weight, "low": Priority.LOW.weight}
    for batch, part in parts.items():
        turns.add("a", 1, batch, FAR_MS, part)
    for _ in range(7300):
        batch = turns.next()
        assert batch is not None
        served[batch] += QUANTUM
        turns.charge(batch, QUANTUM)
    assert 7.5 <= served["high"] / served["normal"] <= 8.5
    assert 7.5 <= served["normal"] / served["low"] <= 8.5
    assert near > 7 * Priority.HIGH.weight
    assert weight_in_tenant(Priority.LOW, URGENT_MS + 1, 0) == Priority.LOW.weight


def test_no_room_claims_nothing() -> None:
    """And neither does a lane for which nothing waits."""
    assert pick_shards([group("x", "a", 5)], {}, {}, 0, 0) == []
    assert pick_shards([], {}, {}, 100, 0) == []


waiting_groups = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(1, 500), st.integers(1, 5), st.integers(0, FAR_MS)),
    max_size=12,
).map(
    lambda rows: [
        group(f"batch{place}", f"tenant{tenant}", shards, lines=shards * size, weight=weight, deadline_ms=deadline)
        for place, (tenant, shards, size, weight, deadline) in enumerate(rows)
    ]
)


@given(waiting_groups, st.integers(0, 5000))
def test_claims_stay_within_what_waits_and_fill_the_room(waiting: list[WaitingGroup], room: int) -> None:
    """Never more shards than wait; less than the room is claimed only when nothing is left; at most one shard over."""
    picked = pick_shards(waiting, {}, {}, room, 0)
    groups = {each.batch_id: each for each in waiting}
    assert len(dict(picked)) == len(picked)
    assert all(1 <= count <= groups[batch].shards for batch, count in picked)
    sizes = {batch: each.lines / each.shards for batch, each in groups.items() if each.shards}
    lines = sum(count * sizes[batch] for batch, count in picked)
    assert lines < room + max(sizes.values(), default=0) + 1
    if sum(each.lines for each in waiting) >= room:
        assert lines >= room - 1e-6
    counts = [dict(picked).get(batch, 0) for batch in sizes]
    assert not (counts and max(counts) > 1 and min(counts) == 0)


# --- turns ----------------------------------------------------------------------------------------------------------


def serve(turns: Turns, rounds: int, take: int = QUANTUM) -> Counter[str]:
    served: Counter[str] = Counter()
    for _ in range(rounds):
        batch = turns.next()
        assert batch is not None
        turns.charge(batch, take)
        served[batch] += take
    return served


def test_shares_follow_the_weights_of_tenants_not_their_batches() -> None:
    """Weights 3 and 1: three quarters against one, though the light tenant has ten batches."""
    turns = Turns()
    turns.add("heavy", 3, "h", FAR_MS)
    for number in range(10):
        turns.add("light", 1, f"l{number}", FAR_MS)
    served = serve(turns, 4000)
    light = {batch: lines for batch, lines in served.items() if batch != "h"}
    assert abs(served["h"] - 3 * sum(light.values())) <= 4 * QUANTUM
    assert len(light) == 10
    assert max(light.values()) - min(light.values()) <= QUANTUM


def test_a_small_batch_beside_a_large_one_is_served_within_two_quanta() -> None:
    """Ten lines that come when 50,000 are under way; of the same tenant or of another."""
    for tenant in ("a", "b"):
        turns = Turns()
        turns.add("a", 1, "large", FAR_MS)
        serve(turns, 1000)
        turns.add(tenant, 1, "small", FAR_MS)
        assert serve(turns, 2)["small"] >= QUANTUM


def test_the_nearer_deadline_breaks_a_tie() -> None:
    """Between batches of a tenant that have had the same."""
    for later_ms, first in ((2000, "sooner"), (500, "later")):
        turns = Turns()
        turns.add("a", 1, "later", 3000)
        turns.add("a", 1, "sooner", 1000)
        turns.add("a", 1, "later", later_ms)
        assert turns.next() == first


def test_a_newcomer_does_not_catch_up() -> None:
    """A tenant that comes late gets its share from now on, not the lane until it is even."""
    turns = Turns()
    turns.add("old", 1, "o", FAR_MS)
    serve(turns, 1000)
    turns.add("new", 1, "n", FAR_MS)
    served = serve(turns, 100)
    assert abs(served["o"] - served["n"]) <= QUANTUM


def test_leaving_and_coming_back_wins_nothing() -> None:
    """A batch that leaves after each turn, because its lines wait, has no more turns than one that stays."""
    turns = Turns()
    turns.add("a", 1, "stays", FAR_MS)
    turns.add("b", 1, "leaves", FAR_MS)
    served: Counter[str] = Counter()
    for _ in range(1000):
        batch = turns.next()
        assert batch is not None
        turns.charge(batch, QUANTUM)
        served[batch] += QUANTUM
        turns.remove("leaves")
        turns.add("b", 1, "leaves", FAR_MS)
    assert abs(served["stays"] - served["leaves"]) <= 2 * QUANTUM


def test_the_turn_stays_until_it_is_charged() -> None:
    """Asking twice gives the same batch; strangers are ignored; without batches there is no turn."""
    turns = Turns()
    assert turns.next() is None
    turns.remove("nobody")
    turns.charge("nobody", 8)
    turns.add("a", 1, "x", FAR_MS)
    turns.add("b", 1, "y", FAR_MS)
    assert turns.next() == "x"
    turns.add("a", 1, "nearer", 5)
    assert turns.next() == "x"
    turns.remove("nearer")
    turns.remove("x")
    assert turns.next() == "y"
    turns.remove("y")
    assert (turns.next(), len(turns)) == (None, 0)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=6),
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), max_size=60),
)
def test_nobody_starves(tenants: list[tuple[int, int]], moves: list[tuple[bool, int, int]]) -> None:
    """After any coming and going, everybody who stays has a turn within a bounded number of turns."""
    turns, present = Turns(), {}
    for come, tenant, number in moves:
        place = tenant % len(tenants)
        batch = f"{place}/{number}"
        if come:
            turns.add(str(place), tenants[place][0], batch, FAR_MS)
            present[batch] = place
        else:
            turns.remove(batch)
            present.pop(batch, None)
        if present:
            serve(turns, 1)
    assert len(turns) == len(present)
    if present:
        weights = [tenants[place][0] for place in set(present.values())]
        bound = 4 * sum(weights) * len(present) + 16
        assert set(serve(turns, bound)) == set(present)
