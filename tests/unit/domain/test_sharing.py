"""One limit, several workers: everybody gets what is fair, and all together never more than there is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.sharing import (
    EVERYTHING,
    Account,
    Peer,
    Split,
    batch_of_gate,
    by_turns,
    evenly,
    lane_gate,
    max_min,
    member_gate,
    money_gate,
    tenant_gate,
    wholly,
)

names = st.sampled_from("abcdefg")
amounts = st.one_of(st.just(0.0), st.floats(0, 1e6), st.just(float(EVERYTHING)))
demands = st.dictionaries(names, amounts, min_size=1)
counts = st.dictionaries(names, st.one_of(st.integers(0, 20), st.just(EVERYTHING)).map(float), min_size=1)
limits = st.floats(0, 1e6)


@given(limits, demands)
def test_max_min_is_fair_and_leaves_nothing_that_anybody_wants(limit: float, wants: dict[str, float]) -> None:
    shares = max_min(limit, wants)
    assert shares.keys() == wants.keys()
    assert sum(shares.values()) == pytest.approx(min(limit, sum(wants.values())), rel=1e-6, abs=1e-9)
    for name, share in shares.items():
        assert 0 <= share <= wants[name]
        if share < wants[name] * (1 - 1e-9):
            assert share >= max(shares.values()) * (1 - 1e-9) - 1e-9


@given(limits, demands)
def test_what_nobody_wants_is_split_evenly(limit: float, wants: dict[str, float]) -> None:
    shares, least = evenly(limit, wants), max_min(limit, wants)
    assert sum(shares.values()) == pytest.approx(limit, rel=1e-6, abs=1e-9)
    more = [shares[name] - least[name] for name in wants]
    assert max(more) == pytest.approx(min(more), rel=1e-6, abs=1e-3)


@given(st.integers(0, 50), counts, st.integers(0, 100))
def test_whole_parts_are_max_min_to_the_last_one(limit: int, wants: dict[str, float], turn: int) -> None:
    shares = wholly(turn)(limit, wants)
    assert sum(shares.values()) == limit
    assert all(share == int(share) and share >= 0 for share in shares.values())
    short = [name for name in wants if shares[name] < wants[name]]
    for name in short:
        assert shares[name] >= max(shares.values()) - 1


def test_what_cannot_be_split_goes_round() -> None:
    wants = dict.fromkeys("abc", float(EVERYTHING))
    for split in (wholly, by_turns):
        first = [next(name for name, share in split(turn)(1, wants).items() if share) for turn in range(6)]
        assert first == ["a", "b", "c", "a", "b", "c"]


def test_money_is_split_while_every_part_will_do() -> None:
    """A line that costs 40 at most needs 40: of 100 two can have a part, three cannot."""
    assert by_turns(0)(100, {"a": 40.0, "b": 30.0, "c": 0.0}) == {"a": 50, "b": 50, "c": 0}
    assert by_turns(1)(100, {"a": 40.0, "b": 30.0, "c": 20.0}) == {"a": 0, "b": 100, "c": 0}
    assert by_turns(0)(-5, {"a": 40.0}) == {"a": 0}
    assert by_turns(0)(100, {"a": 0.0}) == {"a": 0}


def test_gates_have_names_of_their_own() -> None:
    gates = [lane_gate(1), member_gate(1, "0", "requests"), tenant_gate("1"), money_gate("1")]
    assert len(set(gates)) == 4
    assert [batch_of_gate(gate) for gate in gates] == [None, None, None, "1"]


class Fleet:
    """Workers over one table, each going by what it saw at its own last beat."""

    def __init__(self, limit: float, split: Split = evenly) -> None:
        self.limit = limit
        self.split = split
        self.table: dict[str, Peer] = {}
        self.accounts: dict[str, Account] = {}
        self.unseen: dict[str, Peer] = {}
        self.missed: dict[str, set[str]] = {}

    def beat(self, name: str, wanted: int, has: int = 0, *, late: bool = False) -> float:
        """`late`: beats at the same time do not see it; but the next ones after those do."""
        self.commit(name, *self.missed.get(name, ()))
        self.missed[name] = set(self.unseen)
        self.table.setdefault(name, Peer(name, {}))
        account = self.accounts.get(name)
        if account is None:
            account = self.accounts[name] = Account(name, self.limit, len(self.table))
        mine = Peer(name, {"g": account.tell(wanted, has)})
        if late:
            self.unseen[name] = mine
        else:
            self.table[name] = mine
        return account.hear(self.limit, list((self.table | {name: mine}).values()), "g", self.split)

    def commit(self, *names: str) -> None:
        for name in names:
            self.table.update({name: self.unseen.pop(name)} if name in self.unseen else {})

    def rounds(self, wants: dict[str, int], count: int) -> dict[str, float]:
        for _ in range(count):
            for name, wanted in wants.items():
                self.beat(name, wanted)
        return {name: self.accounts[name].part for name in wants}

    def reap(self, name: str) -> None:
        self.commit(name)
        self.table.pop(name, None)
        self.accounts.pop(name, None)

    @property
    def total(self) -> float:
        return sum(account.part for account in self.accounts.values())


def test_a_worker_alone_has_everything_whatever_it_wants() -> None:
    fleet = Fleet(600)
    assert fleet.beat("a", 0) == 600
    assert fleet.beat("a", 5) == 600


def test_a_newcomer_gets_its_part_when_the_others_have_let_go_of_it() -> None:
    """Soon, and never before."""
    fleet = Fleet(600)
    fleet.beat("a", EVERYTHING)
    assert fleet.beat("b", EVERYTHING) == 0
    assert fleet.accounts["b"].floor == pytest.approx(6)
    assert fleet.beat("a", EVERYTHING) == 300
    assert fleet.beat("b", EVERYTHING) == 0  # what a lays claim to is still the whole
    assert fleet.beat("a", EVERYTHING) == 300
    assert fleet.beat("b", EVERYTHING) == 300


def test_who_stops_wanting_leaves_its_part_to_the_others() -> None:
    fleet = Fleet(600)
    assert fleet.rounds(dict.fromkeys("abc", EVERYTHING), 5) == dict.fromkeys("abc", 200)
    assert fleet.rounds({"c": 0, "a": EVERYTHING, "b": EVERYTHING}, 3) == {"a": 300, "b": 300, "c": 0}


def test_a_dead_workers_part_is_kept_until_its_row_goes() -> None:
    fleet = Fleet(600)
    fleet.rounds(dict.fromkeys("abc", EVERYTHING), 5)
    assert fleet.rounds(dict.fromkeys("ab", EVERYTHING), 10) == {"a": 200, "b": 200}
    fleet.reap("c")
    assert fleet.rounds(dict.fromkeys("ab", EVERYTHING), 3) == {"a": 300, "b": 300}


def test_calls_that_outlast_their_worker_s_part_are_left_room() -> None:
    """Ten in flight, and a had them all: b has what a's calls leave, though a half is its part."""
    fleet = Fleet(10, wholly(0))
    fleet.beat("a", EVERYTHING)
    for _ in range(4):
        assert fleet.beat("b", EVERYTHING) == 0
        assert fleet.beat("a", EVERYTHING, 10) in (5, 10)
    for left in (7, 5):
        fleet.beat("a", EVERYTHING, left)
        assert fleet.beat("b", EVERYTHING) == 10 - left


def test_a_limit_that_shrinks_does_so_at_once_and_one_that_grows_with_the_next_beats() -> None:
    fleet = Fleet(12, wholly(0))
    assert fleet.rounds(dict.fromkeys("ab", EVERYTHING), 4) == {"a": 6, "b": 6}
    fleet.accounts["a"].shrink(4)
    assert fleet.accounts["a"].part == 4
    fleet.accounts["b"].shrink(20)
    assert fleet.accounts["b"].part == 6
    alone = Account("a", 5, 1)
    alone.shrink(9)
    assert alone.part == 9


def test_money_that_is_spent_is_gone_from_part_and_limit_alike() -> None:
    fleet = Fleet(600, by_turns(0))
    assert fleet.rounds({"a": 10, "b": 10}, 4) == {"a": 300, "b": 300}
    fleet.accounts["a"].spend(200)
    fleet.limit = 400
    assert fleet.total == 400
    assert fleet.beat("a", 10) == 100
    assert fleet.beat("b", 10) == 200
    assert fleet.rounds({"a": 10, "b": 10}, 3) == {"a": 200, "b": 200}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("split", [evenly, wholly(3), by_turns(1)], ids=["evenly", "wholly", "by_turns"])
def test_the_parts_of_all_never_pass_the_limit(seed: int, split: Split) -> None:
    """Beats in any order and at any distance, some at the same time; joins, deaths, demands that come and go."""
    chance = random.Random(seed)
    fleet = Fleet(600_000, split)
    wants: dict[str, int] = {}
    dead: set[str] = set()
    for step in range(400):
        name = chance.choice("abcde")
        if name in dead:
            if chance.random() < 0.1:
                fleet.reap(name)
                dead.discard(name)
            continue
        if chance.random() < 0.02 and name in fleet.table:
            dead.add(name)
            continue
        if name not in fleet.table or chance.random() < 0.3:
            wants[name] = chance.choice([0, 0, 20_000, 100_000, 250_000, EVERYTHING])
        fleet.beat(name, wants[name], late=chance.random() < 0.4)
        if chance.random() < 0.4:
            fleet.commit(*list(fleet.unseen))
        assert fleet.total <= 600_000 + 1e-3, step


@pytest.mark.parametrize("split", [evenly, wholly(3), by_turns(1)], ids=["evenly", "wholly", "by_turns"])
def test_parts_come_to_rest_at_the_fair_split(split: Split) -> None:
    """However unlucky the beats were before, four rounds with nothing new suffice."""
    for seed in range(20):
        chance = random.Random(seed)
        fleet = Fleet(600_000, split)
        for _ in range(50):
            fleet.beat(chance.choice("abcd"), chance.choice([0, 20_000, 100_000, EVERYTHING]))
        wants = {name: chance.choice([0, 20_000, 100_000, EVERYTHING]) for name in "abcd"}
        fleet.rounds(wants, 4)
        fair = split(600_000, {name: float(wanted) for name, wanted in wants.items()})
        assert {name: account.part for name, account in fleet.accounts.items()} == pytest.approx(fair, abs=5)
