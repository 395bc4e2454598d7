"""Death at every word to the store and to the provider: whatever the moment, each line ends once, and no line is ever
given to a second job while a first could still be paid for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from batchrouter.domain.lifecycle import BatchState
from batchrouter.errors import NativeError, NativeUnknown
from tests.unit.engine.bureau import Bureau, batch_house, quick
from tests.unit.engine.house import Answer, Died, House, Process, chat, cut_ranges, echo, question, refuse

LINES = 9
SPOKEN = frozenset(
    {
        "plan",
        "claim",
        "move",
        "release",
        "intend",
        "note_job",
        "overtake",
        "end_job",
        "settle",
        "close",
        "seal",
        "finish",
    }
    | {"put", "api.submit", "api.find", "api.look", "api.cancel", "api.results"}
)


@dataclass
class Careful(Process):
    """Dies only at words that change something, or that the provider hears: the others tell nothing new."""

    spoken: int = 0

    def before(self, verb: str) -> None:
        if verb in SPOKEN or self.dead:
            super().before(verb)

    def behind(self, verb: str, number: int) -> None:
        if verb in SPOKEN or self.dead:
            super().behind(verb, number)


@dataclass
class Scene:
    """What happens to a batch of nine lines in three ranges, and how it must end."""

    state: BatchState = BatchState.COMPLETED
    prepare: Callable[[Bureau], None] = lambda bureau: None
    window_ms: int = 60_000
    cancel_s: float | None = None
    forced: bool = False
    """Lines may be sent in real time although a job has them."""
    later: list[tuple[float, Callable[[Bureau], object]]] = field(default_factory=list)


def stalled(bureau: Bureau) -> None:
    bureau.run_s, bureau.stall_at = 4.0, 5


def never_cancelled(bureau: Bureau) -> None:
    stalled(bureau)
    bureau.cancel_s = None


def partly(bureau: Bureau) -> None:
    """Line 2 is refused, line 4 fails for a time, line 6 was never run."""

    def fate(body: bytes) -> Answer | None:
        match int(question(body).split()[1]):
            case 2:
                return refuse(400)
            case 4:
                return refuse(500)
            case 6:
                return None
            case _:
                return echo(body)

    bureau.fate = fate


def loses_replies(bureau: Bureau) -> None:
    """The first create is carried out and its reply lost; the list lags behind."""
    bureau.lag_s = 1.5
    lost: list[str] = []

    def faults(verb: str, done: bool) -> NativeError | None:
        if verb == "submit" and done and not lost:
            lost.append(verb)
            return NativeUnknown("the reply was lost")
        return None

    bureau.faults = faults


def small_jobs(bureau: Bureau) -> None:
    bureau.facts = quick(max_requests=4)


def readable(bureau: Bureau) -> None:
    bureau.readable = True


def expire(bureau: Bureau) -> None:
    for job in bureau.jobs.values():
        bureau.end(job)


SCENES = {
    "completed": Scene(),
    "in several jobs": Scene(prepare=small_jobs),
    "taken over as it comes": Scene(prepare=readable),
    "partly failed": Scene(prepare=partly),
    "a lost create": Scene(prepare=loses_replies),
    "expired at the provider": Scene(prepare=stalled, later=[(5.0, expire)]),
    "overtaken": Scene(prepare=stalled, window_ms=20_000),
    "overtaken by force": Scene(prepare=never_cancelled, window_ms=20_000, forced=True),
    "cancelled": Scene(BatchState.CANCELLED, stalled, cancel_s=5.0),
    "cancelled at once": Scene(BatchState.CANCELLED, cancel_s=0.0),
    "cancelled in vain": Scene(BatchState.CANCELLED, never_cancelled, cancel_s=5.0),
}


@dataclass
class Life:
    house: House
    bureau: Bureau
    batch_id: str
    steps: int = 0
    died: bool = False


async def live(scene: Scene, process: Process) -> Life:
    """Run the batch; where the process dies, let another carry on."""

    def upstream(body: bytes) -> Answer:
        asked = question(body)
        if not scene.forced:
            if asked in bureau.holding():
                bureau.crimes.append(f"{asked} is sent while a job has it")
            if asked in bureau.paid():
                bureau.crimes.append(f"{asked} is sent although a job ran it")
        return echo(body, delay_s=0.02)

    house, bureau = batch_house(upstream, overtake_margin_s=10.0, cancel_wait_s=5.0, lost_create_s=3.0)
    bureau.run_s, bureau.cancel_s, bureau.facts = 3.0, 2.0, quick()
    scene.prepare(bureau)
    batch_id = await house.create(chat(LINES), window_ms=scene.window_ms)
    start_s = house.clock.mono_s()
    if scene.cancel_s is not None:
        house.later.append((start_s + scene.cancel_s, lambda: house.cancel(batch_id)))
    house.later += [(start_s + at_s, partial(act, bureau)) for at_s, act in scene.later]
    life = Life(house, bureau, batch_id)
    try:
        await house.new_worker(process)
        await house.run(batch_id)
        await house.run_until(lambda: not house.open_jobs(batch_id))
    except Died:
        life.died = True
        await house.bury()
        await house.new_worker()
        await house.run(batch_id)
        await house.run_until(lambda: not house.open_jobs(batch_id))
    life.steps = process.count
    assert house.batch(batch_id).state is scene.state
    bureau.check()
    await house.check_whole(batch_id)
    return life


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", SCENES)
async def test_a_death_at_any_word_changes_nothing(name: str, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies before or after its n-th word, for every n: the batch ends in the same state and within its
    window, every line once; no tag is made twice; what a job ran or may run is sent nowhere else."""
    cut_ranges(monkeypatch, 3)
    scene = SCENES[name]
    undisturbed = await live(scene, Careful())
    deaths = 0
    for number in range(1, undisturbed.steps + 1):
        life = await live(scene, Careful(die_at=number, after=after))
        deaths += life.died
        batch = life.house.batch(life.batch_id)
        if scene.state is BatchState.COMPLETED:
            assert batch.completed_ms is not None
            assert batch.completed_ms <= batch.expires_ms
    assert deaths == undisturbed.steps
