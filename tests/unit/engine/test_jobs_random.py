"""Any provider, any faults, deaths at any moment: every line ends once, in the window, and is paid once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.planning import Planner
from batchrouter.errors import NativeError, NativeRefused, NativeUnknown
from tests.unit.engine.bureau import batch_house, quick
from tests.unit.engine.house import Answer, Died, chat, echo, question, refuse
from tests.unit.engine.test_jobs_deaths import Careful

WINDOW_S = 60

ERRORS = [
    NativeUnknown("lost"),
    NativeUnknown("refused", sent=False),
    NativeRefused("no", status=429, retry_after_s=3.0),
    NativeRefused("no", status=500),
    NativeRefused("no", status=401),
    NativeRefused("no", status=400, code="token_limit_exceeded"),
]


@dataclass(frozen=True)
class World:
    lines: int
    range_lines: int
    max_requests: int
    max_jobs: int | None
    run_s: float
    stall_at: int | None
    cancel_s: float | None
    lag_s: float
    readable: bool
    omit: bool
    tagless: bool
    fates: tuple[int, ...]
    faults: frozenset[tuple[str, int, bool, int]]
    """(verb, which call of it, after it was carried out, which error)"""
    deaths: tuple[tuple[int, bool], ...]
    cancelled_s: float | None


worlds = st.builds(
    World,
    lines=st.integers(1, 14),
    range_lines=st.integers(1, 6),
    max_requests=st.integers(2, 20),
    max_jobs=st.sampled_from([None, 1, 2]),
    run_s=st.sampled_from([0.0, 2.0, 9.0]),
    stall_at=st.sampled_from([None, None, 0, 3]),
    cancel_s=st.sampled_from([0.0, 2.0, 9.0, None]),
    lag_s=st.sampled_from([0.0, 2.0, 4.0]),
    readable=st.booleans(),
    omit=st.booleans(),
    tagless=st.booleans(),
    fates=st.tuples(*[st.sampled_from([0, 0, 0, 1, 2, 3])] * 14),
    faults=st.frozensets(
        st.tuples(
            st.sampled_from(["submit", "find", "look", "cancel", "results"]),
            st.integers(1, 4),
            st.booleans(),
            st.integers(0, len(ERRORS) - 1),
        ),
        max_size=5,
    ),
    deaths=st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=3).map(tuple),
    cancelled_s=st.sampled_from([None, None, None, 0.0, 3.0, 12.0]),
)


class Life:
    def __init__(self, world: World) -> None:
        self.world = world
        self.house, self.bureau = batch_house(
            self.upstream, overtake_margin_s=15.0, cancel_wait_s=8.0, lost_create_s=6.0
        )
        self.batch_id = ""
        bureau = self.bureau
        bureau.facts = quick(max_requests=world.max_requests, max_jobs=world.max_jobs)
        bureau.run_s, bureau.stall_at, bureau.cancel_s = world.run_s, world.stall_at, world.cancel_s
        bureau.lag_s, bureau.tagless = world.lag_s, world.tagless
        bureau.readable, bureau.omit = world.readable, world.omit
        bureau.fate, bureau.faults = self.fate, self.fault

    def upstream(self, body: bytes) -> Answer:
        asked = question(body)
        if not any(job.twice for job in self.house.store.jobs.jobs(self.batch_id)):
            if asked in self.bureau.holding():
                self.bureau.crimes.append(f"{asked} is sent while a job has it")
            if asked in self.bureau.paid():
                self.bureau.crimes.append(f"{asked} is sent although a job ran it")
        return echo(body, delay_s=0.02)

    def fate(self, body: bytes) -> Answer | None:
        match self.world.fates[int(question(body).split()[1])]:
            case 1:
                return refuse(400)
            case 2:
                return refuse(500)
            case 3:
                return None
            case _:
                return echo(body)

    def fault(self, verb: str, done: bool) -> NativeError | None:
        number = self.bureau.calls[verb]
        for asked, which, after, error in self.world.faults:
            told = ERRORS[error]
            # What was carried out is not then refused, nor said to have never left.
            lost = isinstance(told, NativeUnknown) and told.sent
            if (asked, which, after) == (verb, number, done) and (not after or lost):
                return told
        return None

    async def run(self) -> None:
        house = self.house
        self.batch_id = await house.create(chat(self.world.lines), window_ms=WINDOW_S * 1000)
        if self.world.cancelled_s is not None:
            at_s = house.clock.mono_s() + self.world.cancelled_s
            house.later.append((at_s, lambda: house.cancel(self.batch_id)))
        for number, after in self.world.deaths:
            try:
                await house.new_worker(Careful(die_at=number, after=after))
                await self.live()
                break
            except Died:
                await house.bury()
        else:
            await house.new_worker()
            await self.live()
        self.bureau.check()
        await house.check_whole(self.batch_id)
        batch = house.batch(self.batch_id)
        if self.world.cancelled_s is None:
            assert batch.state is BatchState.COMPLETED
            assert batch.completed_ms is not None
            assert batch.completed_ms <= batch.expires_ms

    async def live(self) -> None:
        await self.house.run(self.batch_id)
        await self.house.run_until(lambda: not self.house.open_jobs(self.batch_id))


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(worlds)
def test_whatever_happens_every_line_ends_once_in_its_window(world: World) -> None:
    """Made once, found again, taken over, overtaken, cancelled: nothing is lost, nothing is paid twice unless the
    window would have been missed."""
    with mock.patch("batchrouter.engine.ingest.Planner", partial(Planner, range_lines=world.range_lines)):
        asyncio.run(_live(world))


async def _live(world: World) -> None:
    await Life(world).run()
