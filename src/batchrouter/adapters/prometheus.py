"""A process's numbers as Prometheus reads them. The library is asked only when somebody scrapes.

In a registry of its own, so that two of them in one process do not meet. The number of series is bounded: the first
`LANES_MAX` lanes are told by name, all further ones together as `other`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

from batchrouter.adapters.metric_table import BY_NAME, METRICS
from batchrouter.domain.backlog import Backlog
from batchrouter.domain.cost import NANO
from batchrouter.domain.lane_health import LaneState
from batchrouter.domain.outcome import Outcome
from batchrouter.domain.shard import LaneKey
from batchrouter.ports.meters import OTHER, LaneMeter, Meters, Spread, WorkerNow

LANES_MAX = 100
LABEL_CHARS = 120
"""People choose model names; a longer one is cut."""
TOKENS = ("input", "cached", "output", "reasoning")
STATUSES = frozenset((400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529))
"""Told one by one; of others the class, `2xx`."""
FAILURES = {"ConnectFailed": "unreached", "ReplyTimeout": "timeout", "ReplyTooLarge": "too_large"}
"""Calls that brought no whole reply; all others are `broken`."""
NOBODY = ("", "", "")
"""The lane of lines that were never sent."""

Lane = tuple[str, str, str]


class Sight(Protocol):
    """What a scrape shows beside the meters. `backlog` and its age in seconds: None before the first reading;
    `spill`: files and bytes."""

    backlog: Backlog | None
    now_ms: int
    age_s: float
    failures: int
    spill: tuple[int, int] | None
    worker: WorkerNow | None


class Exposition:
    """`text` is what `/metrics` answers with. `look` is called at each."""

    def __init__(self, meters: Meters, look: Callable[[], Sight], build: Mapping[str, str]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(meters, look, build))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Names:
    """Lanes by their ids, as far as they are known, within the bound."""

    def __init__(self) -> None:
        self._known: dict[int, Lane] = {0: NOBODY}

    def learn(self, lane_id: int, key: LaneKey) -> None:
        if lane_id not in self._known:
            told = (_cut(key.provider), _cut(key.model), key.mode.value)
            self._known[lane_id] = told if len(self._known) <= LANES_MAX else (OTHER, OTHER, OTHER)

    def of(self, lane_id: int) -> Lane | None:
        """None: not known yet. Its numbers wait, for a series that changes its name would seem to have been reset."""
        return self._known.get(lane_id)


class _Sums:
    """Samples of one metric, those with the same labels added up."""

    def __init__(self, name: str) -> None:
        metric = BY_NAME[name]
        family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        self._family = family(metric.name, metric.help, labels=metric.labels)
        self._sums: dict[tuple[str, ...], float] = {}

    def add(self, value: float, *labels: str) -> None:
        self._sums[labels] = self._sums.get(labels, 0) + value

    def done(self) -> Family:
        for labels, value in self._sums.items():
            self._family.add_metric(labels, value)
        return self._family


class _Collector:
    """`prometheus_client`'s protocol: asked for its families at each scrape."""

    def __init__(self, meters: Meters, look: Callable[[], Sight], build: Mapping[str, str]) -> None:
        self._meters = meters
        self._look = look
        self._build = build
        self._names = _Names()

    def describe(self) -> Iterable[Family]:
        return [Family(metric.name, metric.help, metric.kind) for metric in METRICS]

    def collect(self) -> Iterator[Family]:
        sight, meters = self._look(), self._meters
        if sight.worker is not None:
            for each in sight.worker.lanes:
                self._names.learn(each.lane_id, each.key)
        if sight.backlog is not None:
            for lane, _ in sight.backlog.waiting:
                self._names.learn(lane.id, lane.key)
        yield from self._work(meters)
        yield self._calls(meters)
        yield from _journal(meters, sight)
        yield from _store(meters)
        yield from _api(meters)
        if sight.worker is not None:
            yield from self._worker(sight.worker)
            yield from _leases(meters, sight.worker)
        yield from self._database(sight)
        yield _histogram("batchrouter_event_loop_lag_seconds", [((), meters.loop_lag_s)])
        yield _gauge("batchrouter_build_info", 1, *(self._build[name] for name in ("version", "python", "role")))

    def _work(self, meters: Meters) -> Iterator[Family]:
        lines, tokens = _Sums("batchrouter_lines"), _Sums("batchrouter_tokens")
        costs, unpriced = _Sums("batchrouter_cost_dollars"), _Sums("batchrouter_unpriced_lines")
        invalid = _Sums("batchrouter_invalid_outputs")
        answers: dict[Lane, Spread] = {}
        for name, meter in self._known(meters.lanes):
            for outcome in Outcome:
                if meter.outcomes[outcome]:
                    lines.add(meter.outcomes[outcome], *name, outcome.name.lower())
            if name == NOBODY:
                continue
            for kind, count in zip(TOKENS, meter.tokens, strict=True):
                tokens.add(count, *name, kind)
            costs.add(meter.cost_nano / NANO, *name)
            unpriced.add(meter.unpriced, *name)
            invalid.add(meter.invalid_output, *name)
            answers[name] = meter.answer_s if name not in answers else _joined(answers[name], meter.answer_s)
        yield from (each.done() for each in (lines, tokens, costs, unpriced, invalid))
        yield _histogram("batchrouter_answer_seconds", answers.items())
        yield _tally("batchrouter_batches_ended", meters.batches_ended)

    def _known(self, lanes: Mapping[int, LaneMeter]) -> Iterator[tuple[Lane, LaneMeter]]:
        for lane_id, meter in lanes.items():
            name = self._names.of(lane_id)
            if name is not None:
                yield name, meter

    def _calls(self, meters: Meters) -> Family:
        calls = _Sums("batchrouter_calls")
        for lane_id, tally in meters.calls.items():
            name = self._names.of(lane_id)
            if name is not None:
                for status, count in tally.items():
                    calls.add(count, *name, _status(status))
        return calls.done()

    def _worker(self, worker: WorkerNow) -> Iterator[Family]:
        flying, limit = _Sums("batchrouter_calls_in_flight"), _Sums("batchrouter_calls_in_flight_limit")
        retrying, states = _Sums("batchrouter_retrying_lines"), _Sums("batchrouter_lane_state")
        for lane in worker.lanes:
            name = self._names.of(lane.lane_id)
            assert name is not None
            flying.add(lane.in_flight, *name)
            limit.add(lane.limit, *name)
            retrying.add(lane.retrying, *name)
            for state in LaneState:
                states.add(state == lane.state, *name, state.value)
        yield from (each.done() for each in (flying, limit, retrying, states))
        yield _gauge("batchrouter_flush_stuck", worker.stuck)
        yield _gauge("batchrouter_spilled_lines", worker.spilled)
        yield _gauge("batchrouter_memory_budget_used_bytes", worker.budget_used)
        yield _gauge("batchrouter_memory_budget_bytes", worker.budget_total)

    def _database(self, sight: Sight) -> Iterator[Family]:
        yield _gauge("batchrouter_database_reading_failures", sight.failures)
        backlog = sight.backlog
        if backlog is None:
            return
        waiting = _Sums("batchrouter_waiting_lines")
        for lane, lines in backlog.waiting:
            name = self._names.of(lane.id)
            assert name is not None
            waiting.add(lines, *name, OTHER if name[0] == OTHER else lane.state)
        yield waiting.done()
        yield _tally("batchrouter_batches", backlog.batches)
        yield _tally("batchrouter_native_jobs", backlog.jobs)
        for metric, since_ms in (("batch", backlog.oldest_ms), ("waiting", backlog.oldest_waiting_ms)):
            age_s = 0.0 if since_ms is None else max(0, sight.now_ms - since_ms) / 1000
            yield _gauge(f"batchrouter_oldest_{metric}_age_seconds", age_s)
        yield _gauge("batchrouter_webhooks_waiting", backlog.webhooks.waiting)
        yield _gauge("batchrouter_webhook_endpoints_failing", backlog.webhooks.failing + backlog.webhooks.disabled)
        yield _gauge("batchrouter_workers", backlog.workers)
        yield _gauge("batchrouter_database_reading_age_seconds", sight.age_s)


def _journal(meters: Meters, sight: Sight) -> Iterator[Family]:
    yield _histogram("batchrouter_flush_seconds", [((), meters.flush_s)])
    yield _histogram("batchrouter_flush_bytes", [((), meters.flush_bytes)])
    yield _tally("batchrouter_flush_failures", meters.flush_failures)
    if sight.spill is not None:
        yield _gauge("batchrouter_spill_files", sight.spill[0])
        yield _gauge("batchrouter_spill_bytes", sight.spill[1])


def _leases(meters: Meters, worker: WorkerNow) -> Iterator[Family]:
    yield _gauge("batchrouter_lease_held", worker.holds_lease)
    yield _gauge("batchrouter_lease_losses", meters.lease_losses)
    yield _gauge("batchrouter_takeovers", meters.takeovers)
    yield _gauge("batchrouter_taken_over_shards", meters.shards_taken_over)


def _store(meters: Meters) -> Iterator[Family]:
    yield _histogram("batchrouter_store_verb_seconds", (((verb,), spread) for verb, spread in meters.verbs.items()))
    errors = _Sums("batchrouter_store_errors")
    for labels, count in meters.store_errors.items():
        errors.add(count, *labels)
    yield errors.done()
    yield _histogram("batchrouter_blob_seconds", (((op,), spread) for op, spread in meters.blobs.items()))
    yield _tally("batchrouter_blob_bytes", meters.blob_bytes)
    yield _tally("batchrouter_blob_errors", meters.blob_errors)


def _api(meters: Meters) -> Iterator[Family]:
    requests = _Sums("batchrouter_http_requests")
    for (method, route, status), count in meters.requests.items():
        requests.add(count, method, route, str(status))
    yield requests.done()
    yield _histogram("batchrouter_http_request_seconds", meters.request_s.items())
    yield _tally("batchrouter_quota_refusals", meters.quota_refusals)
    yield _tally("batchrouter_webhook_attempts", meters.webhooks)


def _gauge(name: str, value: float, *labels: str) -> Family:
    """One sample, also of a counter."""
    sums = _Sums(name)
    sums.add(value, *labels)
    return sums.done()


def _tally(name: str, tally: Mapping[str, float]) -> Family:
    sums = _Sums(name)
    for label, count in tally.items():
        sums.add(count, label)
    return sums.done()


def _histogram(name: str, spreads: Iterable[tuple[tuple[str, ...], Spread]]) -> Family:
    metric = BY_NAME[name]
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, spread in spreads:
        buckets, seen = [], 0
        for bound, count in zip((*spread.bounds, float("inf")), spread.counts, strict=True):
            seen += count
            buckets.append(("+Inf" if bound == float("inf") else repr(bound), float(seen)))
        family.add_metric(labels, buckets, spread.total)
    return family


def _joined(one: Spread, other: Spread) -> Spread:
    joined = Spread(one.bounds)
    joined.counts = [mine + theirs for mine, theirs in zip(one.counts, other.counts, strict=True)]
    joined.total = one.total + other.total
    return joined


def _status(status: int | str) -> str:
    if isinstance(status, str):
        return FAILURES.get(status, "broken")
    return str(status) if status in STATUSES else f"{status // 100}xx"


def _cut(name: str) -> str:
    return name if len(name) <= LABEL_CHARS else f"{name[: LABEL_CHARS - 1]}…"
