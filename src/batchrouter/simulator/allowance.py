"""How many requests a script lets through at best, for somebody who wants to say how near to it a client came.

A client that always has requests waiting and sends none too early cannot do better: buckets and capacity are used as
soon as they fill.
"""

from __future__ import annotations

import math

from batchrouter.simulator.limits import LimitGate, Spent, costs_of
from batchrouter.simulator.script import Fixed, LogNormal, Script, Uniform


def allowed(script: Script, seconds: float, spent: Spent) -> float:
    """Requests in the first `seconds` of the script, each of which takes `spent` tokens and the mean latency.

    Infinite where nothing bounds them. The ramp is left out of it.
    """
    costs = costs_of(spent)
    gate = LimitGate(script.limits, 0.0) if script.limits is not None else None
    buckets = [(bucket, costs[name]) for name, bucket in gate.buckets.items() if costs[name]] if gate else []
    per_s = _capacity_per_s(script)
    total = 0.0
    for begin_s, end_s, fraction in _stretches(script, seconds):
        worked = per_s * fraction * (end_s - begin_s) if fraction else 0.0
        for bucket, cost in buckets:
            reach = bucket.level + bucket.rate * (end_s - begin_s)
            worked = min(worked, reach / cost) if bucket.capacity >= cost else 0.0
        total += worked
        for bucket, cost in buckets:
            bucket.level = min(bucket.capacity, bucket.level + bucket.rate * (end_s - begin_s) - worked * cost)
    return total


def _capacity_per_s(script: Script) -> float:
    mean_s = mean_latency_s(script)
    if script.capacity is None or mean_s == 0:
        return math.inf
    return script.capacity.in_flight / mean_s


def mean_latency_s(script: Script) -> float:
    """Of the distribution; the bound of a long tail is left out of it."""
    match script.latency:
        case Fixed(seconds=seconds):
            return seconds
        case Uniform(low=low, high=high):
            return (low + high) / 2
        case LogNormal(median=median, sigma=sigma):
            return median * math.exp(sigma * sigma / 2)


def _stretches(script: Script, seconds: float) -> list[tuple[float, float, float]]:
    """Begin, end and the fraction of capacity, calm and wave by turns."""
    waves = script.waves
    if waves is None:
        return [(0.0, seconds, 1.0)]
    stretches: list[tuple[float, float, float]] = []
    for number in range(math.ceil(seconds / waves.every_s)):
        begin_s = number * waves.every_s
        wave_s = begin_s + waves.every_s - waves.for_s
        stretches.append((begin_s, min(seconds, wave_s), 1.0))
        if wave_s < seconds:
            stretches.append((wave_s, min(seconds, begin_s + waves.every_s), waves.fraction))
    return stretches
