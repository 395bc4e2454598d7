"""How much of what an upstream allows is used, and how many calls it refuses: one that limits requests, one that limits
tokens, one that answers 529 in waves. The pace is learnt; beside it stand numbers of calls that somebody guessed.

What is allowed at best is told by the simulator's own model of its limits (`simulator.allowance`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from batchrouter.simulator.allowance import allowed
from batchrouter.simulator.limits import Spent
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Capacity, Limits, LogNormal, Script, Waves
from benchmarks import inputs
from benchmarks.bench import Bench, Figure, Wrong
from benchmarks.server import server

WARM_S, SECONDS = 12.0, 24.0
"""Capacity is measured by what was answered from the one to the other, after the pace was found; limits, which are
charged when a request arrives, by what they let in from the start on."""
LATENCY = LogNormal(median=0.4, sigma=0.4, max=3)
SCRIPTS = {
    "that limits requests (200 a second)": Script(latency=LATENCY, limits=Limits(rpm=12_000, burst_s=5)),
    "that limits tokens (20,000 a second)": Script(latency=LATENCY, limits=Limits(tpm=1_200_000, burst_s=5)),
    "that answers 529 for one second in twelve": Script(
        latency=LATENCY, capacity=Capacity(in_flight=96), waves=Waves(every_s=12, for_s=1)
    ),
}
GUESSES = (16, 64, 256)
USED_MIN, REFUSED_MAX = 0.95, 0.01


@dataclass(frozen=True, slots=True)
class Use:
    used: float
    refused: float

    def __str__(self) -> str:
        return f"{self.used:.1%} used, {self.refused:.2%} refused"


def measure(bench: Bench) -> list[Figure]:
    figures = []
    for number, (name, script) in enumerate(SCRIPTS.items()):
        learnt = use_of(bench, f"limits-{number}-learnt", script, None)
        guessed = [(guess, use_of(bench, f"limits-{number}-{guess}", script, guess)) for guess in GUESSES]
        beside = "; ".join(f"{guess} in flight: {use}" for guess, use in guessed)
        figures.append(
            Figure(
                f"of what an upstream allows {name}",
                f"≥ {USED_MIN:.0%} used, < {REFUSED_MAX:.0%} refused",
                f"{learnt} ({beside})",
                learnt.used >= USED_MIN and learnt.refused < REFUSED_MAX,
            )
        )
    return figures


def use_of(bench: Bench, folder: str, script: Script, fixed: int | None) -> Use:
    """Run a batch that is too long for the time, and see how far it came."""
    path = inputs.questions(bench, bench.lines_or(20_000))
    pace = {} if fixed is None else {"fixed_in_flight": fixed}
    with running_simulator() as simulator, server(bench, folder, simulator.base_url, None, **pace) as running:
        file_id = running.client.upload(path)
        simulator.set_script(script)  # buckets and waves begin now
        simulator.reset()
        batch = running.client.create(file_id)
        began = time.monotonic()
        while time.monotonic() < began + SECONDS + 1:
            time.sleep(0.25)
        use = seen(simulator, script)
        running.client.cancel(batch["id"])
    return use


def seen(simulator: SimulatorProcess, script: Script) -> Use:
    """The log from its first request on."""
    log = simulator.log()
    if not log:
        raise Wrong("the upstream never saw a request")
    begun_ms = log[0].ms
    charged = script.limits is not None
    from_s = 0.0 if charged else WARM_S
    within = [
        entry
        for entry in log
        if from_s <= ((entry.ms if charged else entry.sent_ms or 0.0) - begun_ms) / 1000 < SECONDS
    ]
    answered = [entry for entry in within if entry.status == 200]
    if not answered:
        raise Wrong("the upstream never answered a request")
    let_in = [entry for entry in within if entry.status in (200, 0)]  # 0: still at work
    spent = Spent(
        round(sum(entry.prompt_tokens for entry in answered) / len(answered)),
        round(sum(entry.completion_tokens for entry in answered) / len(answered)),
    )
    most = allowed(script, SECONDS, spent) - (allowed(script, from_s, spent) if from_s else 0.0)
    return Use(len(let_in) / most, (len(within) - len(let_in)) / len(within))
