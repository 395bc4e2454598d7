"""What a worker has of each batch in each lane, for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from batchrouter.domain.shard import Load
from batchrouter.engine.lane_runner import LaneRunner
from batchrouter.ports.clock import Clock
from batchrouter.ports.meters import Meters

SLOW_DOWN = (429, 503, 529)


def loads_of(lanes: Iterable[LaneRunner], clock: Clock, meters: Meters) -> list[Load]:
    ahead_s = clock.unix_ms() / 1000 - clock.mono_s()
    told: list[Load] = []
    for runner in lanes:
        loads, pauses = runner.loads(), runner.pauses()
        calls = meters.calls_of(runner.lane.id)
        throttled = sum(calls.get(status, 0) for status in SLOW_DOWN)
        for batch_id in {**loads, **pauses}:
            flying, waiting = loads.get(batch_id, (0, 0))
            load = Load(
                lane_id=runner.lane.id, batch_id=batch_id, in_flight=flying, retrying=waiting, throttled=throttled
            )
            if batch_id in pauses:
                reason, next_s = pauses[batch_id]
                # In whole seconds: what is told anew with other milliseconds is written anew.
                until_ms = None if next_s is None else round(next_s + ahead_s) * 1000
                load = replace(load, reason=reason, until_ms=until_ms)
            told.append(load)
    return told
