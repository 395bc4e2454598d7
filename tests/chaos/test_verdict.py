"""The verdict sees what is wrong: a run that went well is doctored, one thing at a time, and turns red."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.evidence import Call, Case, Incident, Line, LostLease, OwnEnd, calls_of, marker_of
from tests.chaos.schedule import Kind
from tests.chaos.verdict import faults_of, unpaid
from tests.chaos.waste import charge, excused, losses_of, repeats_of, zombies
from tests.lines import Asked

LEASE_S = 5.0
W1, W2 = "worker-1.1", "worker-2.1"


def line(place: int, *, poison: bool = False, model: str = "fast-1") -> Line:
    marker = f"q0x0x{place}"
    words = f"{marker} {'poison' if poison else 'well'} word"
    body = {"model": model, "messages": [{"role": "user", "content": words}]}
    return Line(Asked(f"id {place}", json.dumps(body).encode()), marker, model, poison)


def answered(each: Line) -> dict[str, Any]:
    response = {"status_code": 200, "request_id": "r", "body": each.asked.answer}
    return {"id": f"batch_req_{each.marker}", "custom_id": each.asked.custom_id, "response": response, "error": None}


def refused(each: Line, code: str | None = None) -> dict[str, Any]:
    response = None if code else {"status_code": 400, "request_id": "r", "body": {"error": {}}}
    error = {"code": code, "message": "m"} if code else None
    return {"id": f"batch_req_{each.marker}", "custom_id": each.asked.custom_id, "response": response, "error": error}


def jsonl(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def ended_well(status: str = "completed") -> Case:
    """Four lines: two are answered, one is refused, and one is answered or was not finished."""
    lines = [line(0), line(1), line(2, poison=True), line(3)]
    gap = {"completed": None, "expired": "batch_expired", "cancelled": "batch_cancelled"}[status]
    output = [answered(lines[0]), answered(lines[1])] + ([] if gap else [answered(lines[3])])
    errors = [refused(lines[2])] + ([refused(lines[3], gap)] if gap else [])
    used = sum(record["response"]["body"]["usage"]["total_tokens"] for record in output)
    return Case(
        tenant="ada",
        number=0,
        lines=lines,
        window="5s" if status == "expired" else "24h",
        batch_id="batch_1",
        cancel_asked=status == "cancelled",
        batch={
            "status": status,
            "request_counts": {"total": 4, "completed": len(output), "failed": 1},
            "usage": {"total_tokens": used},
        },
        output=jsonl(output),
        errors=jsonl(errors),
    )


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled"])
def test_a_batch_that_is_as_promised_has_no_faults(status: str) -> None:
    assert faults_of(ended_well(status)) == []


def lost_line(case: Case) -> None:
    case.output = case.output[: case.output[:-1].rindex(b"\n") + 1]


def doubled_answer(case: Case) -> None:
    case.output += case.output[case.output[:-1].rindex(b"\n") + 1 :]


def swapped(case: Case) -> None:
    """Two lines got each other's answers."""
    first, second, *rest = case.output.split(b"\n")
    one, other = json.loads(first), json.loads(second)
    one["response"], other["response"] = other["response"], one["response"]
    case.output = b"\n".join([json.dumps(one).encode(), json.dumps(other).encode(), *rest])


def out_of_order(case: Case) -> None:
    first, second, *rest = case.output.split(b"\n")
    case.output = b"\n".join([second, first, *rest])


def answered_and_refused(case: Case) -> None:
    case.errors += jsonl([refused(case.lines[0])])


def failed_for_nothing(case: Case) -> None:
    case.lines[2] = line(2)


def miscounted(case: Case) -> None:
    assert case.batch is not None
    case.batch["request_counts"]["completed"] -= 1


def overcharged(case: Case) -> None:
    assert case.batch is not None
    case.batch["usage"]["total_tokens"] += 1


def not_final(case: Case) -> None:
    assert case.batch is not None
    case.batch["status"] = "finalizing"


def expired_too_soon(case: Case) -> None:
    assert case.batch is not None
    case.batch["status"] = "expired"


def never_made(case: Case) -> None:
    case.batch_id = ""


@pytest.mark.parametrize(
    "doctor",
    [
        lost_line, doubled_answer, swapped, out_of_order, answered_and_refused, failed_for_nothing, miscounted,
        overcharged, not_final, expired_too_soon, never_made,
    ],
)  # fmt: skip
def test_a_doctored_batch_is_seen(doctor: Callable[[Case], None]) -> None:
    case = ended_well()
    doctor(case)
    assert faults_of(case) != []


# --- the upstream's log ---------------------------------------------------------------------------------------------


def call(marker: str, at_s: float, process: str = W1, *, for_s: float = 0.3, end: str = "sent", **more: Any) -> Call:
    return Call(
        marker, at_s, at_s + for_s, end, more.pop("status", 200 if end != "client_closed" else 0), process, **more
    )


def paid(case: Case) -> list[Call]:
    tokens = {each.marker: each.asked.answer["usage"]["total_tokens"] for each in case.lines if not each.poison}
    return [call(marker, 1.0 + place, tokens=used) for place, (marker, used) in enumerate(tokens.items())]


def test_usage_is_that_of_the_log_and_no_answer_comes_from_nowhere() -> None:
    case = ended_well()
    calls = paid(case)
    assert unpaid([case], calls) == []
    assert unpaid([case], calls[1:]) != []
    assert unpaid([case], [replace(calls[0], tokens=calls[0].tokens + 1), *calls[1:]]) != []


def judged(calls: list[Call], incidents: Sequence[Incident] = (), lost: Sequence[LostLease] = ()) -> list[str]:
    calls = sorted(calls, key=lambda each: each.at_s)
    return charge(calls, losses_of(incidents, lost, [], [W1, W2], LEASE_S))


def kill(at_s: float, process: str = W1) -> Incident:
    return Incident(Kind.KILL, process, at_s, at_s + 2.0, died=True)


def test_what_the_upstream_put_off_is_no_repeat() -> None:
    calls = [call("q0x0x0", 1.0, status=503), call("q0x0x0", 2.0, end="broken"), call("q0x0x0", 3.0)]
    assert repeats_of(calls) == []
    again = [call("q0x0x0", 4.0, W2, status=503), call("q0x0x0", 5.0, W2)]
    assert repeats_of([*calls, *again]) == [(calls[-1], again[0])], "one repeat, and its second try"


def test_a_repeat_without_a_fault_is_seen() -> None:
    assert judged([call("q0x0x0", 1.0), call("q0x0x0", 2.0, W2)]) != []
    assert judged([call("q0x0x0", 1.0, for_s=9.0), call("q0x0x0", 2.0, W2)]) != [], "both under way at once"
    assert judged([call("q0x0x0", 1.0, end="client_closed"), call("q0x0x0", 2.0, W2)]) != []


def test_a_kill_explains_what_was_in_its_hands_and_nothing_older() -> None:
    in_flight = [call("q0x0x0", 9.9, end="client_closed"), call("q0x0x0", 16.0, W2)]
    just_answered = [call("q0x0x1", 9.0), call("q0x0x1", 16.0, W2)]
    long_answered = [call("q0x0x2", 2.0), call("q0x0x2", 16.0, W2)]
    of_another = [call("q0x0x3", 9.0, W2), call("q0x0x3", 16.0)]
    assert judged(in_flight + just_answered, [kill(10.0)]) == []
    assert judged(long_answered, [kill(10.0)]) != []
    assert judged(of_another, [kill(10.0)]) != []


def test_a_kill_in_an_outage_costs_what_the_outage_held_up() -> None:
    outage = Incident(Kind.BLOBS_HANG, "", 2.0, 9.0)
    calls = [call("q0x0x2", 2.0), call("q0x0x2", 16.0, W2)]
    assert judged(calls, [outage, kill(10.0)]) == []
    assert judged(calls, [outage]) != [], "an outage alone loses nothing"


def test_a_repeat_too_many_is_seen() -> None:
    """While nothing could be written, one call after another was sent, and then the process died."""
    outage = Incident(Kind.BLOBS_HANG, "", 10.0, 29.0)
    for last, well in ((12, True), (28, False)):
        lines = [(f"q0x0x{second}", float(second)) for second in range(8, last)]
        calls = [call(marker, at_s) for marker, at_s in lines] + [call(marker, 40.0, W2) for marker, _ in lines]
        assert (judged(calls, [outage, kill(30.0)]) == []) is well


def test_each_of_two_troubles_pays_for_its_own() -> None:
    """One after the other, so near that what the second took may have been held up by the first."""
    early = [call(f"q0x0x{place}", 9.9, end="client_closed") for place in range(9)]
    late = [call(f"q0x1x{place}", 19.9, end="client_closed") for place in range(9)]
    calls = early + late + [call(each.marker, 26.0, W2) for each in early + late]
    troubles = [Incident(Kind.BLACKHOLE, W1, 10.0, 17.0), kill(20.0)]
    assert judged(calls, troubles) == []
    losses = losses_of(troubles, [], [], [W1, W2], LEASE_S)
    charge(sorted(calls, key=lambda each: each.at_s), losses)
    assert [len(loss.repeats) for loss in losses] == [9, 9]


def test_a_graceful_end_may_cost_nothing() -> None:
    calls = [call("q0x0x0", 9.0), call("q0x0x0", 16.0, W2)]
    rolling = Incident(Kind.ROLLING, W1, 10.0, 11.0, died=True, clean=True)
    assert judged(calls, [rolling]) != []
    assert judged(calls, [rolling, Incident(Kind.RESTART, "", 9.0, 10.5)]) == []


def test_a_short_freeze_may_cost_nothing_and_a_long_one_what_was_in_flight() -> None:
    calls = [call("q0x0x0", 9.9), call("q0x0x0", 16.0, W2)]
    assert judged(calls, [Incident(Kind.NAP, W1, 10.0, 11.0)]) != []
    assert judged(calls, [Incident(Kind.FREEZE, W1, 10.0, 17.0)]) == []


def test_a_lease_that_was_lost_for_want_of_time_costs_what_was_in_flight() -> None:
    calls = [call("q0x0x0", 9.9), call("q0x0x0", 16.0, W2)]
    assert judged(calls, lost=[LostLease(W1, 14.0)]) == []
    assert judged(calls, lost=[LostLease(W2, 14.0)]) != []
    assert judged(calls, lost=[LostLease(W1, 30.0)]) != []


def test_a_native_job_is_never_run_twice() -> None:
    native = call("q0x0x0", 1.0, "", end="native", job="batch_a")
    assert judged([native, call("q0x0x0", 9.0, "", end="native", job="batch_b")], [kill(2.0)]) != []
    assert judged([native, call("q0x0x0", 9.0)], [kill(2.0)]) != []


def test_a_zombie_that_goes_on_is_seen() -> None:
    freeze = Incident(Kind.FREEZE, W1, 10.0, 17.0)
    other = call("q0x0x0", 15.5, W2)
    losses = losses_of([freeze], [], [], [W1, W2], LEASE_S)
    assert zombies([other, call("q0x0x0", 17.5)], [freeze], losses, LEASE_S) == [], "within one flush window"
    assert zombies([other, call("q0x0x0", 18.5)], [freeze], losses, LEASE_S) != []
    assert zombies([other, call("q0x0x1", 18.5)], [freeze], losses, LEASE_S) == [], "its own by then"


def test_an_end_that_nobody_caused_is_seen() -> None:
    full = Incident(Kind.FULL, W1, 9.0, 12.0)
    assert excused(OwnEnd(W1, 120, 10.0), [full])
    assert not excused(OwnEnd(W2, 120, 10.0), [full])
    assert not excused(OwnEnd(W1, 1, 30.0), [full])


def test_a_line_is_known_by_its_marker_whatever_the_wire() -> None:
    assert marker_of('{"messages":[{"content":"q1x2x3 well word"}]}') == "q1x2x3"
    assert marker_of('"q1x2x3" "q1x2x4"') == ""
    entry = {"n": 1, "ms": 500.0, "path": "/v1/messages", "end": "sent", "status": 200, "sent_ms": 700.0}
    more = {"text": "q1x2x3 well", "headers": {"x-worker": W1}, "prompt_tokens": 2, "completion_tokens": 3}
    (found,) = calls_of([json.dumps(entry | more).encode()], 100.0)
    assert found == Call("q1x2x3", 100.5, 100.7, "sent", 200, W1, tokens=5)
    assert calls_of([json.dumps(entry | more | {"path": "/v1/files"}).encode()], 100.0) == []
