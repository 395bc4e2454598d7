"""Random upstreams over pools, chains and limits of money: whatever they do, every line ends once and no limit is
passed."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from batchrouter.domain.cost import RateCard, Tier
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.retry import RetrySettings
from batchrouter.errors import BatchRouterError, ConnectFailed, ConnectionLost, StoreError
from tests.unit.engine.house import Answer, Died, House, Process, chat, cut_ranges, echo, model_of, question, refuse

CARD = RateCard((Tier(input=1_000_000, cached=1_000_000, written=1_000_000, output=1_000_000),))
LINES = 60
CHAIN = ("m", "b", "c")


class Whims:
    """An upstream that behaves in its own way for each model, key and question, and is well in the end."""

    def __init__(self, random: Random, house: House) -> None:
        self._random = random
        self._house = house
        self._dead = {(model, key) for model in CHAIN[:2] for key in house.keys if random.random() < 0.3}
        self._strange = {model: random.random() * 0.3 for model in CHAIN[:2]}
        self._rough = random.random() * 0.3
        self._well_s = house.clock.mono_s() + random.choice([5, 100, 1000])

    def __call__(self, body: bytes) -> Answer:
        random, model = self._random, model_of(body)
        delay_s = random.choice([0.0, 0.01, 0.1, 0.1, 0.3, 2.0])
        if (model, self._house.key) in self._dead:
            return refuse(random.choice([401, 402]), delay_s=delay_s)
        if Random(f"{model} {question(body)}").random() < self._strange.get(model, 0):
            return refuse(404, "model_not_found", delay_s=delay_s)
        if self._house.clock.mono_s() < self._well_s and random.random() < self._rough:
            return random.choice(
                [
                    refuse(500, delay_s=delay_s),
                    refuse(429, "slow_down", delay_s=delay_s, headers=((b"retry-after", b"3"),)),
                    refuse(503, delay_s=delay_s),
                    refuse(403, delay_s=delay_s),
                    Answer(error=ConnectFailed("no"), delay_s=delay_s),
                    Answer(error=ConnectionLost("gone"), delay_s=delay_s),
                ]
            )
        return echo(body, delay_s=delay_s)


async def live(house: House, process: Process, batch_id: str) -> bool:
    """Whether it got through."""
    try:
        await house.new_worker(process)
        await house.run(batch_id, limit=20_000)
    except (Died, asyncio.CancelledError):
        return False
    return not process.dead


@pytest.mark.parametrize("seed", range(40))
async def test_every_line_ends_once_whatever_the_upstreams_do(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With deaths of the process at random calls, and a store that is away now and then."""
    random = Random(seed)
    cut_ranges(monkeypatch, random.choice([7, 20, 500]))
    house = House(
        pacing=Pacing(start_in_flight=random.choice([2, 32]), fixed_in_flight=random.choice([None, 3])),
        retry=RetrySettings(max_attempts=random.choice([2, 8])),
        pause_after_failures=0,
    )
    house.keys = ("x", "y", "z")[: random.choice([1, 1, 2, 3])]
    house.fallbacks = {"m": (*CHAIN[1 : random.choice([2, 3])], "c"), "b": ("c",)}
    house.card = CARD
    house.upstream = Whims(random, house)
    # Each line reserves about 0.0001 dollars and costs a twentieth of it.
    limit = random.choice([None, 10**9, 250_000])
    models = [random.choice(CHAIN) for _ in range(LINES)]
    lines = [line for i, model in enumerate(models) for line in chat(1, model=model, start=i, max_tokens=50)]
    batch_id = await house.create(lines, max_cost_nano=limit)

    def fault(verb: str, done: bool) -> BatchRouterError | None:
        return StoreError("away") if verb in ("settle", "move") and random.random() < 0.1 else None

    for _ in range(20):
        process = Process(die_at=random.choice([None, random.randrange(1, 60)]), after=random.random() < 0.5)
        process.fault = fault
        through = await live(house, process, batch_id)
        if through:
            break
        await house.bury()
    batch = house.batch(batch_id)
    await house.check_whole(batch_id)
    for line in await house.output(batch_id) + await house.errors(batch_id):
        asked = models[int(line["custom_id"][5:])]
        told = line.get("batchrouter")
        if told is not None:
            assert told["model"] == asked
            assert told["fallback"][4:] in house.fallbacks[asked]
            if line["response"]["status_code"] == 200:
                assert line["response"]["body"]["model"] == told["fallback"][4:]
        elif line["response"] is not None and line["response"]["status_code"] == 200:
            assert line["response"]["body"]["model"] == asked
    assert batch.cost_nano == 5000 * batch.completed
    if limit is not None:
        assert batch.cost_nano <= limit
    if limit == 10**9 or limit is None:
        assert batch.completed > LINES // 2
