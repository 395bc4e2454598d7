"""Several workers on one upstream with a strict limit: it is used up, and hardly ever run into."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from batchrouter.domain.pacing import Limiter, Pacing
from batchrouter.domain.rate_headers import Budget, Signals
from batchrouter.domain.shared_pace import SharedPace
from batchrouter.domain.sharing import Peer
from batchrouter.domain.tokens import Tokens
from batchrouter.domain.verdict import Verdict

LEASE_S, BEAT_S, HURRY_S = 30.0, 2.5, 1.0
LATENCY_S = 0.5

Upstream = Callable[[float], tuple[Verdict, Signals]]


@dataclass
class Strict:
    """A bucket of `burst_s` seconds' worth of calls; what is left of the minute is told, where `tells`."""

    rpm: float
    burst_s: float = 6.0
    tells: bool = False
    taken: int = 0
    refused: int = 0
    at_s: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.rpm / 60 * self.burst_s

    def __call__(self, now_s: float) -> tuple[Verdict, Signals]:
        rate_s = self.rpm / 60
        self.level = min(rate_s * self.burst_s, self.level + (now_s - self.at_s) * rate_s)
        self.at_s = now_s
        good = self.level >= 1
        if good:
            self.level -= 1
            self.taken += 1
        else:
            self.refused += 1
        left = int(self.level)
        told = (Budget("requests", int(self.rpm), left, (self.rpm - left) / rate_s),) if self.tells else ()
        return (Verdict.SUCCESS if good else Verdict.DROPPED), Signals(budgets=told)


@dataclass
class SimWorker:
    """`lines(now)`: lines a second that it could send at most; None: any number."""

    name: str
    pacing: Pacing
    phase_s: float
    lines: Callable[[float], float | None] = lambda now_s: None
    from_s: float = 0.0
    dies_s: float = float("inf")
    stock: float = 0.0
    stock_s: float = 0.0
    told: Peer | None = None
    beaten_s: float = float("-inf")
    served: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limiter = Limiter(self.pacing)
        self.shared: SharedPace | None = None

    def ready(self, now_s: float) -> int:
        rate = self.lines(now_s)
        if rate is None:
            return 1 << 30
        self.stock = min(max(1.0, rate), self.stock + (now_s - self.stock_s) * rate) if rate else 0.0
        self.stock_s = now_s
        return int(self.stock)


def simulate(upstream: Upstream, workers: list[SimWorker], until_s: float, *, step_s: float = 0.01) -> None:
    """Ticks a second; beats as of a worker whose loads change, and every second when something new is to be told; each
    in a phase of its own. The table is what the store holds: a worker's row goes when its lease has ended."""
    table = {worker.name: Peer(worker.name, {}) for worker in workers if not worker.from_s}
    calls: list[tuple[float, int, SimWorker, float, int, Verdict, Signals]] = []
    ticks = {worker.name: worker.from_s + worker.phase_s for worker in workers}
    number = 0
    for step in range(round(until_s / step_s)):
        now_s = step * step_s
        while calls and calls[0][0] <= now_s:
            _, _, worker, sent_s, call, verdict, signals = heapq.heappop(calls)
            worker.limiter.on_end(sent_s, now_s, verdict, signals, call, Tokens(10, 0, 10, 0))
            if verdict == Verdict.SUCCESS:
                worker.served.append(now_s)
        for worker in workers:
            if not worker.from_s <= now_s:
                continue
            if now_s >= worker.dies_s:
                if now_s >= worker.beaten_s + LEASE_S:
                    table.pop(worker.name, None)
                continue
            if worker.shared is None:
                table.setdefault(worker.name, Peer(worker.name, {}))
                worker.shared = SharedPace(worker.limiter, worker.name, 1, "0", len(table), now_s)
            lines = worker.ready(now_s)
            room = min(worker.limiter.room(now_s), lines)
            for _ in range(room):
                number += 1
                call = worker.limiter.on_sent(now_s, 20)
                verdict, signals = upstream(now_s)
                took_s = LATENCY_S if verdict == Verdict.SUCCESS else 0.02
                heapq.heappush(calls, (now_s + took_s, number, worker, now_s, call, verdict, signals))
            worker.stock -= room
            if lines > room:
                worker.limiter.next_at(now_s)
            if now_s >= ticks[worker.name]:
                ticks[worker.name] += 1.0
                mine = Peer(worker.name, worker.shared.tell(now_s, len(table), idle=not lines))
                new = mine.demands != (worker.told.demands if worker.told else {})
                if now_s >= worker.beaten_s + (HURRY_S if new else BEAT_S) - 1e-6:
                    worker.told, worker.beaten_s = mine, now_s
                    table[worker.name] = mine
                    worker.shared.hear(int(now_s * 1000), list(table.values()))


def crew(count: int, pacing: Pacing, **more: float) -> list[SimWorker]:
    pacing = replace(pacing, start_in_flight=max(1, pacing.start_in_flight // count))
    return [SimWorker(f"w{number}", pacing, 0.31 * number, **more) for number in range(count)]


def used(upstream: Strict, until_s: float) -> float:
    return upstream.taken / (upstream.rpm / 60 * until_s)


def refused(upstream: Strict) -> float:
    return upstream.refused / (upstream.taken + upstream.refused)


@pytest.mark.parametrize("rpm", [600, 6000])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("known", ["configured", "published"])
def test_workers_that_all_have_lines_use_a_limit_up_together(rpm: int, count: int, known: str) -> None:
    upstream = Strict(rpm, tells=known == "published")
    workers = crew(count, Pacing(rpm=rpm) if known == "configured" else Pacing())
    simulate(upstream, workers, 120)
    assert used(upstream, 120) >= 0.95
    assert refused(upstream) < 0.01
    mean = upstream.taken / count
    assert all(len(worker.served) == pytest.approx(mean, rel=0.1) for worker in workers)


def calls(workers: list[SimWorker], from_s: float, to_s: float) -> int:
    return sum(from_s <= at_s < to_s for worker in workers for at_s in worker.served)


@pytest.mark.parametrize("known", ["configured", "published"])
def test_the_limit_stays_used_up_while_workers_come_and_go(known: str) -> None:
    """One has no lines for a while, one dies (its part is kept until its lease ends), one joins. Six seconds later the
    others have found their parts."""
    rate_s = 50.0
    upstream = Strict(rate_s * 60, tells=known == "published")
    pacing = Pacing(rpm=3000) if known == "configured" else Pacing()
    workers = crew(4, pacing)
    workers[1].lines = lambda now_s: 0.0 if 40 <= now_s < 80 else None
    workers[2].dies_s = 120
    workers[3].from_s = 170
    simulate(upstream, workers, 220)
    assert refused(upstream) < 0.01
    for from_s, to_s in ((6, 40), (46, 80), (86, 120), (155, 170), (176, 220)):
        assert calls(workers, from_s, to_s) >= 0.95 * rate_s * (to_s - from_s), (from_s, to_s)
    for second in range(10, 215):  # its bucket of some seconds' worth is the upstream's
        assert calls(workers, second, second + 5) <= rate_s * (5 + (upstream.burst_s if upstream.tells else 1))
    if known == "configured":
        assert calls(workers, 125, 145) == pytest.approx(rate_s * 20 * 2 / 3, rel=0.05)


def test_what_a_slow_worker_cannot_use_the_others_have() -> None:
    """It sends five a second and the limit is 60: the two others have 27 each, not 20."""
    upstream = Strict(3600)
    workers = crew(3, Pacing(rpm=3600))
    workers[0].lines = lambda now_s: 5.0
    simulate(upstream, workers, 120)
    late = [sum(at_s >= 60 for at_s in worker.served) / 60 for worker in workers]
    assert late[0] == pytest.approx(5, rel=0.05)
    assert late[1:] == pytest.approx([27.5, 27.5], rel=0.1)
    assert sum(late) >= 0.95 * 60
    assert refused(upstream) < 0.01


def test_a_number_in_flight_that_is_the_upstreams_own_is_never_passed() -> None:
    """Ten, and three workers that join and leave: at no moment are more under way."""
    flying: list[float] = []
    most = 0

    def upstream(now_s: float) -> tuple[Verdict, Signals]:
        nonlocal most
        flying[:] = [end_s for end_s in flying if end_s > now_s]
        flying.append(now_s + LATENCY_S)
        most = max(most, len(flying))
        return Verdict.SUCCESS, Signals()

    workers = crew(3, Pacing(total_in_flight=10))
    workers[1].from_s = 10
    workers[2].from_s = 25
    workers[0].lines = lambda now_s: None if now_s < 40 else 0.0
    simulate(upstream, workers, 80)
    assert most == 10
    rate_s = 10 / LATENCY_S
    for from_s, to_s, count in ((0, 10, 1), (17, 25, 2), (33, 40, 3), (47, 80, 2)):
        assert calls(workers[:count] if from_s < 40 else workers[1:], from_s, to_s) >= 0.9 * rate_s * (to_s - from_s)


def test_one_call_in_flight_goes_round_among_three_workers() -> None:
    """None of them starves."""
    workers = crew(3, Pacing(total_in_flight=1))
    simulate(lambda now_s: (Verdict.SUCCESS, Signals()), workers, 200)
    assert all(len(worker.served) >= 0.25 * 200 / LATENCY_S * 0.8 for worker in workers)
