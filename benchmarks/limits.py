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

SECONDS = 16.0
LATENCY = LogNormal(median=0.4, sigma=0.4, max=3)
SCRIPTS = {
    "that limits requests (200 a second)": Script(latency=LATENCY, limits=Limits(rpm=12_000, burst_s=5)),
    "that limits tokens (20,000 a second)": Script(latency=LATENCY, limits=Limits(tpm=1_200_000, burst_s=5)),
    "that answers 529 for one of eight seconds": Script(
        latency=LATENCY, capacity=Capacity(in_flight=96), waves=Waves(every_s=8, for_s=1)
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
        learnt = use_of(bench, f"limits-{number}-learnt", script, {})
        guessed = [
            (guess, use_of(bench, f"limits-{number}-{guess}", script, {"fixed_in_flight": guess})) for guess in GUESSES
        ]
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


def use_of(bench: Bench, folder: str, script: Script, pace: dict[str, int]) -> Use:
    """Run a batch that is too long for the time, and see how far it came."""
    path = inputs.questions(bench, bench.lines_or(20_000))
    with running_simulator() as simulator, server(bench, folder, simulator.base_url, **pace) as running:
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
    """From the first request on, for `SECONDS`."""
    log = simulator.log()
    if not log:
        raise Wrong("the upstream never saw a request")
    first_ms = log[0].ms
    within = [entry for entry in log if entry.ms - first_ms < SECONDS * 1000]
    taken = [entry for entry in within if entry.status in (200, 0)]  # 0: still at work
    answered = [entry for entry in taken if entry.status == 200]
    if not answered:
        raise Wrong("the upstream never answered a request")
    spent = Spent(
        round(sum(entry.prompt_tokens for entry in answered) / len(answered)),
        round(sum(entry.completion_tokens for entry in answered) / len(answered)),
    )
    most = allowed(script, SECONDS, spent)
    return Use(len(taken) / most, (len(within) - len(taken)) / len(within))
