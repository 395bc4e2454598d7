"""The lease: without it nothing is sent, a stale worker changes nothing, and who lost it begins anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from batchrouter.adapters.memory.clock import StepClock
from batchrouter.domain.shard import Beat, Load
from batchrouter.domain.sharing import Demand
from batchrouter.engine.leases import Lease
from batchrouter.errors import BatchRouterError, StoreAway, StoreError
from tests.unit.engine.house import Answer, House, chat, echo, refuse


def assert_alive(beat: Beat | None, alive: bool) -> None:
    assert beat is not None
    assert beat.alive is alive


async def test_a_worker_whose_lease_has_passed_sends_nothing_more() -> None:
    """The machine slept, or the store was away: the answers that come in are kept, but no line goes out until the
    lease is renewed."""
    house = House(lambda body: echo(body, delay_s=0.5))
    await house.new_worker()
    batch_id = await house.create(chat(500))
    await house.run_for(2)
    house.renewing = False
    house.clock.suspend(31)
    sent = len(house.log)
    await house.settle()
    for _ in range(20):
        house.clock.advance(0.25)
        await house.settle()
        house.living.dispatcher.pump_all()
    assert len(house.log) == sent
    assert house.flying == []
    house.renewing = True
    await house.living.tick()
    assert_alive(house.living._lease.renew(), True)
    await house.run(batch_id)
    assert len(house.log) == 500


async def test_a_stale_worker_settles_nothing_and_claims_nothing() -> None:
    """Another took over while its calls were out: their answers are not written a second time, and every line is
    answered once."""
    house = House(lambda body: echo(body, delay_s=2.0))
    stale = await house.new_worker()
    batch_id = await house.create(chat(40))
    await house.run_for(1)
    assert len(house.flying) == 32
    taker = await house.new_worker()
    await house.do(taker.claims_once())
    house.clock.advance(1.5)  # the answers to the stale worker come in
    await house.settle()
    assert house.done(batch_id) == set()
    assert_alive(stale._lease.renew(), False)
    assert not stale._lease.held()
    sent = len(house.log)
    stale.dispatcher.pump_all()
    assert len(house.log) == sent
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 40
    await house.check_whole(batch_id)


async def test_who_lost_its_lease_drops_its_lines_and_begins_anew() -> None:
    """Under a new name, once however often it is told, and though the store refuses it at first."""
    house = House(lambda body: Answer(silent=True))
    worker = await house.new_worker()
    batch_id = await house.create(chat(10))
    await house.run_for(1)
    assert len(house.flying) == 10
    name = worker.id
    house.store.ledger.resign(name)
    refusals = iter([StoreError("away")])

    def fault(verb: str, done: bool) -> BatchRouterError | None:
        return next(refusals, None) if verb == "enlist" else None

    house.process.fault = fault
    for _ in range(3):
        worker._on_beat(Beat(alive=False))
    anew = worker._anew
    assert anew is not None
    while not anew.done():
        await house.settle()
        house.clock.advance(0.5)
        await asyncio.sleep(0.001)
    worker._lease.stop()  # its thread; here leases are renewed by hand
    assert worker.id != name
    assert house.flying == []
    assert house.process.tally["enlist"] == 1 + 2
    house.upstream = echo
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 10


async def test_a_hung_loop_does_not_renew() -> None:
    """Its lines must become free for others, though its thread is well."""
    house = House()
    worker = await house.new_worker()
    await worker.tick()
    house.clock.advance(9)
    assert_alive(worker._lease.renew(), True)
    house.clock.advance(2)
    assert worker._lease.renew() is None
    await worker.tick()
    assert_alive(worker._lease.renew(), True)


async def test_a_store_that_fails_while_renewing_costs_the_lease_only_when_its_time_is_over() -> None:
    """Whatever it raises: the thread goes on, and the next renewal that works holds again."""
    house = House()
    worker = await house.new_worker()
    beat = worker._lease._ledger.beat
    for error in (StoreError("away"), RuntimeError("unforeseen")):

        def fail(*_: object, error: Exception = error) -> Beat:
            raise error

        worker._lease._ledger = type("Ledger", (), {"beat": staticmethod(fail)})()  # type: ignore[assignment]
        assert worker._lease.renew() is None
        assert worker._lease.held()
    worker._lease._ledger = type("Ledger", (), {"beat": staticmethod(beat)})()  # type: ignore[assignment]
    house.clock.advance(27.1)
    assert not worker._lease.held()
    await worker.tick()
    assert_alive(worker._lease.renew(), True)
    assert worker._lease.held()


def lease_over(clock: StepClock, beat: Callable[..., Beat], heard: list[Beat]) -> Lease:
    ledger = type("Ledger", (), {"beat": staticmethod(beat)})()
    lease = Lease(ledger, clock, "w1", 30_000, heard.append)  # type: ignore[arg-type]
    lease.begin(clock.boot_s())
    return lease


def run(lease: Lease, clock: StepClock, seconds: float) -> None:
    """As its thread would, beside a loop that is well."""
    until_s = clock.boot_s() + seconds
    while clock.boot_s() < until_s:
        lease.turn()
        wait_s = lease.wait_s()
        assert 0 <= wait_s <= 1
        clock.advance(max(wait_s, 0.001))
        lease.tick(lease._loads)


def test_a_lease_is_renewed_at_the_start_and_six_times_a_lease() -> None:
    """The first at once, because of those that died before."""
    clock, times, heard = StepClock(), list[float](), list[Beat]()

    def beat(*_: object) -> Beat:
        times.append(clock.boot_s())
        return Beat(alive=True)

    lease, start_s = lease_over(clock, beat, heard), clock.boot_s()
    run(lease, clock, 30)
    assert [round(at_s - start_s) for at_s in times] == [0, 5, 10, 15, 20, 25]
    assert len(heard) == 6


def test_changed_loads_are_told_sooner_and_others_are_not_told_again() -> None:
    """People look at them; but not each second."""
    clock, told = StepClock(), list[tuple[float, int]]()

    def beat(worker: str, now_ms: int, lease_ms: int, loads: Sequence[Load], demands: Mapping[str, Demand]) -> Beat:
        told.append((clock.boot_s(), len(loads)))
        return Beat(alive=True)

    lease, start_s = lease_over(clock, beat, []), clock.boot_s()
    run(lease, clock, 1)
    lease.tick([Load(lane_id=1, batch_id="b1", in_flight=3, retrying=0)])
    run(lease, clock, 5)
    assert [(round(at_s - start_s, 1), count) for at_s, count in told] == [(0, 0), (3.0, 1)]


def test_demands_that_are_others_than_those_told_are_told_after_a_second() -> None:
    """Others wait for them, to take what this worker leaves; and once more, to use what it laid claim to."""
    clock, told = StepClock(), list[tuple[float, int]]()

    def beat(worker: str, now_ms: int, lease_ms: int, loads: Sequence[Load], demands: Mapping[str, Demand]) -> Beat:
        told.append((clock.boot_s(), sum(demand.wanted for demand in demands.values())))
        return Beat(alive=True)

    lease, start_s = lease_over(clock, beat, []), clock.boot_s()
    for step in range(60):
        lease.tick([], {"a": Demand(5)} if step >= 3 else {})
        lease.turn()
        clock.advance(0.1)
    assert [(round(at_s - start_s, 1), wanted) for at_s, wanted in told] == [(0, 0), (1, 5), (2, 5)]


def test_while_the_store_is_away_the_lease_is_asked_for_each_second() -> None:
    """So that after an outage everybody is back before anybody frees the others; and the log is told once."""
    clock, tried = StepClock(), list[float]()

    def beat(*_: object) -> Beat:
        tried.append(clock.boot_s())
        if len(tried) <= 40:
            raise StoreAway("away")
        return Beat(alive=True)

    lease, start_s = lease_over(clock, beat, []), clock.boot_s()
    run(lease, clock, 45)
    assert [round(at_s - start_s) for at_s in tried[:42]] == [*range(41), 45][: len(tried)]
    assert lease.held()


def test_whoever_takes_over_looks_at_the_moment_when_anothers_lease_ends() -> None:
    """A worker that was killed is missed one lease after its last word, and not a beat later."""
    clock, times = StepClock(), list[float]()
    start_ms = clock.unix_ms()

    def beat(worker: str, now_ms: int, lease_ms: int, loads: Sequence[Load], demands: object) -> Beat:
        times.append(clock.boot_s())
        return Beat(alive=True, next_lapse_ms=start_ms + 7_300 if now_ms < start_ms + 7_300 else None)

    lease, start_s = lease_over(clock, beat, []), clock.boot_s()
    run(lease, clock, 10)
    assert [round(at_s - start_s, 2) for at_s in times] == [0, 5, 7.32]


async def test_the_lines_of_a_dead_worker_are_claimed_one_lease_after_its_last_word() -> None:
    """By whoever lives, without a hint from anybody, and each line is answered once."""
    house = House(lambda body: echo(body, delay_s=0.2), alone=False)
    dead = await house.new_worker()
    batch_id = await house.create(chat(30))
    house.upstream = lambda body: Answer(silent=True)
    await house.run_for(1)
    assert len(house.flying) == 30
    taker = await house.new_worker()
    house.upstream = lambda body: echo(body, delay_s=0.2)
    taker._loop = asyncio.get_running_loop()
    last_ms = house.store.state.workers[dead.id].lease_until_ms
    house.renewing = False
    while not house.done(batch_id) and house.clock.unix_ms() < last_ms + 2000:
        await taker.tick()
        taker._lease.turn()
        if taker._claim_now.is_set():
            taker._claim_now.clear()
            await house.do(taker.claims_once())
        house.clock.advance(min(0.05, taker._lease.wait_s() or 0.001))
        await house.settle()
    assert house.done(batch_id)
    assert house.clock.unix_ms() - last_ms < 500


async def test_a_zombie_sends_nothing_whatever_is_due_when_it_wakes() -> None:
    """SIGSTOP for longer than a lease, then SIGCONT: retries, probes, answers that came meanwhile and timers are due
    in the same turn of the loop. Not one request goes out, and what it settles is refused."""
    turn = iter(range(10**6))

    def upstream(body: bytes) -> Answer:
        n = next(turn)
        return refuse(503, delay_s=0.2) if n % 3 == 0 else echo(body, delay_s=0.5 + n % 7)

    house = House(upstream, alone=False)
    zombie = await house.new_worker()
    batch_id = await house.create(chat(300))
    await house.run_for(3)
    house.renewing = False
    taker = await house.new_worker()
    house.clock.suspend(31)
    taker._lease.tick([])
    for _ in range(2):
        taker._lease.renew()
    assert house.store.state.workers.keys() == {taker.id}
    done, sent = house.done(batch_id), len(house.log)
    house.clock.advance(60)  # everything is due at once
    await house.settle()
    for _ in range(3):
        await zombie.tick()
        zombie.dispatcher.pump_all()
        house.clock.advance(0.3)
        await house.settle()
    assert len(house.log) == sent
    assert house.done(batch_id) == done


async def test_a_database_that_makes_everybody_wait_is_no_loop_that_hangs() -> None:
    """Writes hang behind a lock that somebody dead holds; the lease waits for nobody, and is renewed all the same."""
    house = House()
    worker = await house.new_worker()
    await house.create(chat(50))
    await house.run_for(1)
    never = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        await never.wait()

    worker._calls.write = hang  # type: ignore[method-assign,assignment]
    house.clock.advance(1)
    ticks = worker._begin_loops()
    try:
        for _ in range(60):
            house.clock.advance(0.5)
            await house.settle()
            assert_alive(worker._lease.renew(), True)
        assert worker._lease.held()
    finally:
        for task in ticks:
            task.cancel()
        await asyncio.gather(*ticks, return_exceptions=True)
