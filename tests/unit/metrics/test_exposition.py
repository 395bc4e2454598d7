"""What stands in a scrape: names by the conventions, a bounded number of series, and only what was counted."""

from __future__ import annotations

import re
import struct

import pytest

from batchrouter.adapters.metric_table import METRICS, Metric
from batchrouter.adapters.prometheus import LABEL_CHARS, LANES_MAX
from batchrouter.domain.backlog import Backlog
from batchrouter.domain.cost import NANO
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.outcome import Outcome, Record, pack
from batchrouter.domain.shard import Lane, LaneKey, LaneMode, SegmentDraft, Settled
from batchrouter.ports.meters import LONG_S, NAMES_MAX, LaneMeter, LaneNow, Meters, Spread, WorkerNow, count, spread_of
from tests.unit.metrics.scrape import Sight, scrape

UNITS = ("_seconds", "_bytes", "_dollars", "_info")
FORBIDDEN = {"tenant", "tenant_id", "batch", "batch_id", "file", "file_id", "custom_id", "key", "worker", "path", "id"}


def worker_now(*lanes: LaneNow) -> WorkerNow:
    return WorkerNow(lanes=lanes, holds_lease=True, stuck=False, spilled=0, budget_used=1, budget_total=2)


def everything() -> tuple[Meters, Sight]:
    """Something of each metric."""
    meters, lane = Meters(), Lane(id=7, key=LaneKey("p", "m"))
    meters.lanes[7] = meter = LaneMeter()
    meter.outcomes[Outcome.SUCCEEDED] = 1
    meters.calls_of(7)[200] = 1
    for tally in (meters.batches_ended, meters.flush_failures, meters.blob_errors, meters.quota_refusals):
        count(tally, "x")
    count(meters.webhooks, "delivered")
    meters.store_errors["settle", "database_away"] = 1
    for spreads in (meters.verbs, meters.blobs):
        spread_of(spreads, "x").add(1)
    meters.answered("GET", "/v1/files/{file_id}", 200, 0.1)
    backlog = Backlog(waiting=((lane, 5),), batches={"in_progress": 1}, oldest_ms=1, workers=1, jobs={"created": 1})
    now = worker_now(LaneNow(7, lane.key, "open", 1, 2, 0))
    return meters, Sight(backlog, 2001, 0.5, 1, (1, 10), now)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_follows_the_conventions_and_its_labels_are_nobodys(metric: Metric) -> None:
    assert re.fullmatch(r"batchrouter(_[a-z]+)+", metric.name)
    assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert metric.kind != "histogram" or metric.name.endswith(UNITS)
    assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb|nano)(_|$)", metric.name)
    assert metric.help.endswith(".")
    assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
    assert not FORBIDDEN & set(metric.labels)


def test_every_metric_of_the_table_is_told_and_no_other() -> None:
    scraped = scrape(*everything())
    ours = {name: kind for name, kind in scraped.kinds.items() if name.startswith("batchrouter_")}
    assert ours == {metric.name: metric.kind for metric in METRICS}
    told = {name for name in scraped.samples if name.startswith("batchrouter_")}
    for metric in METRICS:
        names = {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")} if metric.kind == "histogram" else {
            metric.told
        }  # fmt: skip
        assert names <= told
        told -= names
    assert told == set()
    assert {label for samples in scraped.samples.values() for key in samples for label, _ in key} & FORBIDDEN == set()


def test_a_process_without_a_worker_and_before_its_database_tells_what_it_has() -> None:
    scraped = scrape(Meters())
    assert scraped.of("batchrouter_build_info", role="worker") == 1
    assert "batchrouter_lease_held" not in scraped.samples
    assert "batchrouter_waiting_lines" not in scraped.samples
    assert scraped.of("process_open_fds") > 0


def test_two_processes_numbers_in_one_do_not_meet() -> None:
    one, other = Meters(), Meters()
    one.batch_ended(None)
    assert scrape(one).of("batchrouter_batches_ended_total") == 1
    assert scrape(other).of("batchrouter_batches_ended_total") == 0


def test_lanes_beyond_the_bound_are_told_together_and_nothing_is_lost() -> None:
    """However many model names people choose, and however long they are."""
    meters, lanes = Meters(), []
    for number in range(1, 3 * LANES_MAX):
        key = LaneKey("p", f"model-{number}" + "x" * 500 * (number == 1), mode=LaneMode.FLEX)
        lanes.append(LaneNow(number, key, "open", 1, 2, 0))
        meters.calls_of(number).update({200: 10, 777: 1, "ConnectionLost": 1})
        meters.lanes[number] = meter = LaneMeter()
        meter.outcomes[Outcome.FAILED] = 1
        meter.cost_nano = NANO
        meter.answer_s.add(1.0)
    rows = tuple((Lane(id=lane.lane_id, key=lane.key), 5) for lane in lanes)
    scraped = scrape(meters, Sight(Backlog(waiting=rows), worker=worker_now(*lanes)))
    models = set(scraped.labels("batchrouter_calls_total", "model"))
    assert len(models) == LANES_MAX + 1
    assert max(map(len, models)) == LABEL_CHARS
    total = 3 * LANES_MAX - 1
    assert scraped.labels("batchrouter_calls_total", "status") == {"2xx": 10 * total, "7xx": total, "broken": total}
    assert scraped.of("batchrouter_lines_total") == scraped.of("batchrouter_cost_dollars_total") == total
    assert scraped.of("batchrouter_answer_seconds_count") == total
    assert scraped.of("batchrouter_answer_seconds_count", model="other") == total - LANES_MAX
    assert scraped.of("batchrouter_calls_in_flight") == total
    assert scraped.of("batchrouter_waiting_lines") == 5 * total
    assert sum(map(len, scraped.samples.values())) < 40 * (LANES_MAX + 1) + 500


def test_numbers_of_a_lane_wait_until_its_name_is_known() -> None:
    """A series that changed its name would look like one that was reset."""
    meters = Meters()
    meters.calls_of(3)[200] = 4
    assert "batchrouter_calls_total" not in scrape(meters).samples
    row = (Lane(id=3, key=LaneKey("p", "m")), 0)
    assert scrape(meters, Sight(Backlog(waiting=(row,)))).of("batchrouter_calls_total", model="m") == 4


def test_names_that_people_could_make_up_are_bounded() -> None:
    tally: dict[str, int] = {}
    spreads: dict[str, Spread] = {}
    for number in range(2 * NAMES_MAX):
        count(tally, f"name-{number}")
        spread_of(spreads, f"name-{number}").add(1.0)
    assert len(tally) == len(spreads) == NAMES_MAX + 1
    assert sum(tally.values()) == sum(sum(spread.counts) for spread in spreads.values()) == 2 * NAMES_MAX


def test_a_spread_is_told_with_whole_buckets() -> None:
    meters = Meters()
    for seconds in (0.001, 0.0011, 0.3, 99.0):
        meters.flush_s.add(seconds)
    scraped = scrape(meters)
    buckets = scraped.labels("batchrouter_flush_seconds_bucket", "le")
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.5"], buckets["10.0"]) == (1, 2, 3, 3)
    assert buckets["+Inf"] == scraped.of("batchrouter_flush_seconds_count") == 4
    assert scraped.of("batchrouter_flush_seconds_sum") == pytest.approx(99.3021)


def test_a_label_with_every_kind_of_sign_does_not_break_the_text() -> None:
    key = LaneKey('p"}', 'a\nbatchrouter_lines_total{x="1"} 5\\ 雪')
    scraped = scrape(Meters(), Sight(worker=worker_now(LaneNow(1, key, "open", 1, 2, 0))))
    assert set(scraped.labels("batchrouter_calls_in_flight", "model")) == {key.model}
    assert "batchrouter_lines_total" not in scraped.samples


def test_only_admitted_records_count_each_in_its_own_lane() -> None:
    """Lanes, outcomes and costs mixed; every second record was refused by the fence."""
    made = [
        Record(at, 0, 1, 1, at % 4, 0, 200, 1, 0, 100 * at, 1 + at % 3, at, at * 2, at * 3, at * 5, 0, 1)
        for at in range(24)
    ]
    costs = [-1 if at % 5 == 0 else at * NANO for at in range(24)]
    segment = SegmentDraft(batch_id="b", length=1, records=pack(made), costs=struct.pack("<24q", *costs))
    admitted = sum(1 << at for at in range(0, 24, 2))
    meters = Meters()
    meters.settled(segment, Settled(seq=1, admitted=admitted, drained=False, state=BatchState.IN_PROGRESS))
    for lane_id in (1, 2, 3):
        mine = [at for at in range(0, 24, 2) if 1 + at % 3 == lane_id]
        meter = meters.lanes[lane_id]
        assert meter.outcomes == [sum(at % 4 == outcome for at in mine) for outcome in Outcome]
        assert meter.tokens == [factor * sum(mine) for factor in (1, 2, 3, 5)]
        assert meter.cost_nano == sum(at for at in mine if at % 5) * NANO
        assert meter.unpriced == sum(at % 5 == 0 and at % 4 == 0 for at in mine)
        slow = Spread(LONG_S)
        for at in mine:
            if at:
                slow.add(at / 10)
        assert meter.answer_s.counts == slow.counts
        assert meter.answer_s.total == pytest.approx(slow.total)
    meters.settled(
        SegmentDraft(batch_id="b", length=0, records=b""),
        Settled(seq=None, admitted=0, drained=False, state=BatchState.IN_PROGRESS),
    )
