"""Death at every call: whatever the moment, the next worker ends the batch as if nothing had been."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from batchrouter.domain.lifecycle import BatchState
from tests.unit.engine.house import Answer, Died, House, Process, Sent, chat, cut_ranges, echo, question, refuse

LINES = 14
FLUSH_S = 0.1


class Moody:
    """Line 3 is refused for good, line 8 fails once, model `b` is slow; `stuck` questions are never answered."""

    def __init__(self, stuck: frozenset[int] = frozenset()) -> None:
        self.asked: Counter[int] = Counter()
        self._stuck = stuck

    def __call__(self, body: bytes) -> Answer:
        number = int(question(body).split()[1])
        self.asked[number] += 1
        headers = ((b"x-request-id", b"req-%d" % number),)
        if number in self._stuck:
            return Answer(silent=True)
        if number == 3:
            return refuse(400, delay_s=0.05, headers=headers)
        if number == 8 and self.asked[number] == 1:
            return refuse(500, delay_s=0.05)
        return echo(body, delay_s=0.15 if json.loads(body)["model"] == "b" else 0.02, headers=headers)


def lines() -> list[dict[str, Any]]:
    return [line for i in range(LINES) for line in chat(1, model="ab"[i // 2 % 2], start=i)]


@dataclass
class Life:
    """A batch that lived through at most one death."""

    house: House
    batch_id: str
    steps: int = 0
    died_s: float | None = None

    async def files(self) -> tuple[bytes, bytes]:
        batch = self.house.batch(self.batch_id)
        return await self.house.text(batch.output_file_id), await self.house.text(batch.error_file_id)


async def live(process: Process, *, stuck: frozenset[int], cancel_s: float | None, window_ms: int) -> Life:
    """Run the batch; where the process dies, look at what the store knew, and let another carry on."""
    house = House(Moody(stuck), inline_bytes=700)
    batch_id = await house.create(lines(), window_ms=window_ms)
    if cancel_s is not None:
        house.later.append((house.clock.mono_s() + cancel_s, lambda: house.cancel(batch_id)))
    life = Life(house, batch_id)
    try:
        await house.new_worker(process)
        await house.run(batch_id)
    except Died:
        life.died_s = house.clock.mono_s()
        await house.bury()
        settled = house.done(batch_id)
        before = list(house.log)
        await house.new_worker()
        await house.run(batch_id)
        check_repeats(house, before, settled, life.died_s)
    life.steps = process.count
    await house.check_whole(batch_id)
    return life


def check_repeats(house: House, before: list[Sent], settled: set[int], died_s: float) -> None:
    """What was settled is never sent again; of the rest only what was in flight or ended in the last flush window."""
    after = house.log[len(before) :]
    assert not settled & {int(question(call.body).split()[1]) for call in after}
    last = {call.body: call for call in house.log[: len(before)]}
    for call in after:
        earlier = last.get(call.body)
        if earlier is not None and earlier.ended_s is not None and not call.body.endswith(b'question 8"}]}'):
            assert earlier.ended_s >= died_s - FLUSH_S - 1e-9


SCENES = {
    "completed": (BatchState.COMPLETED, frozenset[int](), None, 60_000),
    "cancelled": (BatchState.CANCELLED, frozenset({2, 9, 13}), 0.4, 60_000),
    "cancelled early": (BatchState.CANCELLED, frozenset[int](), 0.0, 60_000),
    "expired": (BatchState.EXPIRED, frozenset({2, 9, 13}), None, 2_000),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scene", SCENES)
async def test_a_death_at_any_call_changes_nothing_but_the_time(
    scene: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies before or after its n-th call of store or blobs, for every n: the next one ends the batch in
    the same state, with every line once, in order, counted, and with the same bytes."""
    cut_ranges(monkeypatch, 5)
    state, stuck, cancel_s, window_ms = SCENES[scene]
    scene_of = partial(live, stuck=stuck, cancel_s=cancel_s, window_ms=window_ms)
    whole = await live(Process(), stuck=frozenset(), cancel_s=None, window_ms=60_000)
    finished = {line for file in await whole.files() for line in file.splitlines()}
    undisturbed = await scene_of(Process())
    deaths = 0
    for number in range(1, undisturbed.steps + 1):
        life = await scene_of(Process(die_at=number, after=after))
        deaths += life.died_s is not None
        assert life.house.batch(life.batch_id).state is state
        files = await life.files()
        if state is BatchState.COMPLETED:
            assert files == await whole.files()
        told = {line for file in files for line in file.splitlines()}
        assert all(b'"error":{"code":"batch_' in line for line in told - finished)
    assert deaths == undisturbed.steps
