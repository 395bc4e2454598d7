"""Scrapes for tests: what a process tells, parsed as Prometheus does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from batchrouter.adapters.prometheus import Exposition
from batchrouter.domain.backlog import Backlog
from batchrouter.ports.meters import Meters, WorkerNow

BUILD = {"version": "0", "python": "3", "role": "worker"}


@dataclass
class Sight:
    backlog: Backlog | None = None
    now_ms: int = 0
    age_s: float = 0.0
    failures: int = 0
    spill: tuple[int, int] | None = None
    worker: WorkerNow | None = None


@dataclass
class Scrape:
    """Samples by name and labels."""

    text: str
    samples: dict[str, dict[frozenset[tuple[str, str]], float]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for family in text_string_to_metric_families(self.text):
            self.kinds[family.name] = family.type
            for sample in family.samples:
                found = self.samples.setdefault(sample.name, {})
                key = frozenset(sample.labels.items())
                assert key not in found, f"{sample.name} {sample.labels} is told twice"
                found[key] = sample.value

    def of(self, name: str, **labels: str) -> float:
        """The one sample that has these labels, others beside them or not; the sum where there are several."""
        wanted = set(labels.items())
        return sum(value for key, value in self.samples.get(name, {}).items() if wanted <= key)

    def labels(self, name: str, label: str) -> Mapping[str, float]:
        """By the values of one label."""
        told: dict[str, float] = {}
        for key, value in self.samples.get(name, {}).items():
            told[dict(key)[label]] = told.get(dict(key)[label], 0) + value
        return told


def scrape(meters: Meters, sight: Sight | None = None) -> Scrape:
    return Scrape(Exposition(meters, lambda: sight or Sight(), BUILD).text().decode())
