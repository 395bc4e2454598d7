"""Summaries of finished lines as they are sent; ours, OpenAI has none. Costs are dollars, times unix seconds."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from batchrouter.api.batch_objects import dollars
from batchrouter.domain.settled_line import told
from batchrouter.domain.summary import Group, Point, Spread
from batchrouter.service.summaries import FailureTold, LaneCurve, SummaryView, outcome_of


class RateObject(Struct):
    """Over the last half minute, or over all of a batch that is final."""

    lines_per_s: float
    input_tokens_per_s: float
    output_tokens_per_s: float


class EtaObject(Struct):
    """Seconds from now, between the fastest and the slowest pace so far."""

    low_s: float
    high_s: float


class SampleLine(Struct):
    """The first such line; `custom_id` is null where it cannot be read any more."""

    line: int
    custom_id: str | None


class FinishObject(Struct):
    """Succeeded lines that stopped for the same reason."""

    reason: str
    count: int
    sample: SampleLine


class FailureObject(Struct):
    """Lines that failed alike. `status_code` null: there was no reply; code and message are those of the sample."""

    outcome: Literal["failed", "expired", "cancelled"]
    status_code: int | None
    code: str | None
    message: str | None
    count: int
    sample: SampleLine


class StepObject(Struct):
    """`count` values that are at most `le`, and more than the step before."""

    le: int
    count: int


class SpreadObject(Struct):
    """Values up to a fifth too high, of lines that were sent for this batch."""

    p50: int | None
    p95: int | None
    p99: int | None
    max: int | None
    histogram: list[StepObject]


class AttemptsObject(Struct):
    total: int
    retried_lines: int


class InvalidObject(Struct):
    """Answers that are not what their request's schema asks for."""

    count: int
    sample: SampleLine


class PointObject(Struct):
    """What was settled from `at` on, for the interval's length; intervals without anything are left out. `done` counts
    lines that were tried to their end, `failed` those of them that failed."""

    at: float
    done: int
    failed: int
    input_tokens: int
    output_tokens: int
    latency_p50: int | None
    latency_p95: int | None


class HistoryObject(Struct):
    interval_s: float
    points: list[PointObject]


class SampleObject(Struct):
    """A lane at a moment: calls in flight over all workers, its limit, replies since the sample before that told to
    slow down (429, 503, 529), and what its lines had cost."""

    at: float
    in_flight: int
    limit: int | None
    throttled: int
    cost: float


class CurveObject(Struct):
    provider: str
    model: str
    mode: str
    samples: list[SampleObject]


class SummaryObject(Struct):
    """`complete` false: there are lines that were not looked at yet; ask again. `eta` is null for a batch that is not
    under way, or has no pace yet."""

    object: Literal["batch.summary"]
    batch_id: str
    status: str
    lines: int
    complete: bool
    rate: RateObject
    eta: EtaObject | None
    finish_reasons: list[FinishObject]
    errors: list[FailureObject]
    invalid_output: InvalidObject | None
    latency_ms: SpreadObject
    output_tokens: SpreadObject
    attempts: AttemptsObject
    history: HistoryObject
    lanes: list[CurveObject]


def summary_object(view: SummaryView) -> SummaryObject:
    summary = view.summary

    def sample(group: Group, token: bytes | None = None) -> SampleLine:
        token = view.custom_ids.get(group.line) if token is None else token
        return SampleLine(group.line, None if token is None else told(token))

    invalid = summary.invalid
    finishes = sorted(summary.finishes.items(), key=lambda each: -each[1].count)
    return SummaryObject(
        object="batch.summary",
        batch_id=view.batch.id,
        status=view.batch.state.value,
        lines=summary.lines,
        complete=view.complete,
        rate=RateObject(*(round(value, 3) for value in (view.rate.lines, view.rate.tokens_in, view.rate.tokens_out))),
        eta=None if view.eta is None else EtaObject(round(view.eta.low_s, 1), round(view.eta.high_s, 1)),
        finish_reasons=[FinishObject(finish.name.lower(), group.count, sample(group)) for finish, group in finishes],
        errors=[_failure(each, sample(each.group, each.custom_id)) for each in view.failures],
        invalid_output=None if invalid is None else InvalidObject(invalid.count, sample(invalid)),
        latency_ms=_spread(summary.latency),
        output_tokens=_spread(summary.tokens_out),
        attempts=AttemptsObject(summary.attempts, summary.retried),
        history=HistoryObject(summary.interval_ms / 1000, [_point(at_ms, point) for at_ms, point in summary.points()]),
        lanes=[_curve(each) for each in view.lanes],
    )


def _failure(each: FailureTold, sample: SampleLine) -> FailureObject:
    outcome = outcome_of(each.failure)
    assert outcome != "succeeded"
    return FailureObject(
        outcome=outcome,  # type: ignore[arg-type]
        status_code=each.failure.status or None,
        code=each.code,
        message=each.message,
        count=each.group.count,
        sample=sample,
    )


def _spread(spread: Spread) -> SpreadObject:
    return SpreadObject(
        p50=spread.at(0.5),
        p95=spread.at(0.95),
        p99=spread.at(0.99),
        max=spread.most if spread.count else None,
        histogram=[StepObject(top, count) for top, count in spread.steps()],
    )


def _point(at_ms: int, point: Point) -> PointObject:
    return PointObject(
        at=at_ms / 1000,
        done=point.done,
        failed=point.failed,
        input_tokens=point.tokens_in,
        output_tokens=point.tokens_out,
        latency_p50=point.latency.at(0.5),
        latency_p95=point.latency.at(0.95),
    )


def _curve(each: LaneCurve) -> CurveObject:
    return CurveObject(
        provider=each.lane.provider,
        model=each.lane.model,
        mode=each.lane.mode.value,
        samples=[
            SampleObject(
                sample.at_ms / 1000, sample.in_flight, sample.limit, sample.throttled, dollars(sample.cost_nano)
            )
            for sample in each.samples
        ],
    )
