"""What was sent twice, by which fault, and whether that fault may cost so much.

A call is a repeat when an earlier call for the same line had been answered, was cut off, or was still under way. The
earlier call must have been in the hands of a process when a fault hit it: under way, or answered less than one flush
before. A fault that only delays writing (the database or the blobs away, the disk full) makes that flush longer, and no
call may be sent while it lasts.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.evidence import Call, Incident, LostLease, OwnEnd
from tests.chaos.schedule import BLOBS, DATABASE, Kind

FLUSH_S = 1.0
"""The journal collects finished lines for so long where bytes go to a bucket."""
WRITE_S = 3.0
"""Until a write that hangs is noticed, and room for a machine that does other things too."""
LEASE_SPARE = 0.5
"""A trouble of less than this part of a lease may cost nothing."""


LOST_LEASE = "lost lease"
"""A worker that got no time from its machine may lose its lease without any of our troubles."""


@dataclass(slots=True)
class Loss:
    """A moment when a process lost what it had in its hands. `from_s`: what was answered before is durable."""

    why: str
    process: str
    from_s: float
    until_s: float
    at_s: float
    repeats: list[tuple[Call, Call]] = field(default_factory=list)

    def explains(self, first: Call) -> bool:
        return first.process == self.process and first.end_s >= self.from_s and first.at_s <= self.until_s


def losses_of(
    incidents: Sequence[Incident],
    lost: Sequence[LostLease],
    ends: Sequence[OwnEnd],
    processes: Sequence[str],
    lease_s: float,
) -> list[Loss]:
    """The moments at which anything may be lost at all."""
    losses = []
    for each in incidents:
        hit = [each.process] if each.process else list(processes)
        for process in hit:
            long = each.ended_s - each.begun_s > LEASE_SPARE * lease_s
            if each.died and not each.clean:
                losses.append(_loss(f"{each.kind}", process, each.begun_s, each.begun_s, incidents))
            elif each.clean and _troubles(incidents, process, each.begun_s, each.ended_s):
                losses.append(_loss(f"{each.kind} in trouble", process, each.begun_s, each.ended_s, incidents))
            elif long and each.kind in (Kind.FREEZE, Kind.BLACKHOLE, Kind.CUT, Kind.DEAF, *DATABASE):
                losses.append(_loss(f"{each.kind}", process, each.begun_s, each.ended_s + FLUSH_S, incidents))
    losses += [_loss("own end", end.process, end.at_s - 1.0, end.at_s, incidents) for end in ends]
    for word in lost:
        if not any(
            each.process == word.process and each.at_s <= word.at_s <= each.until_s + lease_s for each in losses
        ):
            losses.append(_loss(LOST_LEASE, word.process, word.at_s - lease_s, word.at_s, incidents))
    return sorted(losses, key=lambda loss: loss.at_s)


def excused(end: OwnEnd, incidents: Sequence[Incident]) -> bool:
    """A process may give up its start where its disk is full: it cannot even say that it is up."""
    return any(
        each.kind is Kind.FULL and each.process == end.process and each.begun_s <= end.at_s <= each.ended_s + 2.0
        for each in incidents
    )


def _loss(why: str, process: str, at_s: float, until_s: float, incidents: Sequence[Incident]) -> Loss:
    from_s = at_s
    # What could not be written since a trouble began is lost with the process, too.
    while earlier := [
        each.begun_s
        for each in _troubles(incidents, process, from_s - FLUSH_S - WRITE_S, from_s)
        if each.begun_s < from_s
    ]:
        from_s = min(earlier)
    return Loss(why, process, from_s - FLUSH_S - WRITE_S, until_s, at_s)


def _troubles(incidents: Sequence[Incident], process: str, begun_s: float, ended_s: float) -> list[Incident]:
    """What kept the process from writing at some moment between."""
    kinds = (*DATABASE, *BLOBS, Kind.CUT, Kind.BLACKHOLE, Kind.DEAF, Kind.FREEZE, Kind.NAP)
    return [
        each
        for each in incidents
        if each.kind in kinds and each.process in ("", process) and each.begun_s <= ended_s and each.ended_s >= begun_s
    ]


def repeats_of(calls: Sequence[Call]) -> list[tuple[Call, Call]]:
    """Pairs of calls for the same line, the earlier of which had, or may have had, an outcome. The next try of a call
    that was put off is no repeat of what was before that call."""
    by_line: dict[str, list[Call]] = {}
    for call in calls:
        by_line.setdefault(call.marker, []).append(call)
    pairs = []
    for line in by_line.values():
        for number, again in enumerate(line[1:], 1):
            last = line[number - 1]
            under_way = (each for each in line[:number] if each.end_s > again.at_s)
            first = last if last.answered or last.cut_off else next(under_way, None)
            if first is not None:
                pairs.append((first, again))
    return pairs


def charge(calls: Sequence[Call], losses: Sequence[Loss]) -> list[str]:
    """Lays each repeat at the door of the first loss that can have caused it; tells which fit nowhere, and which losses
    cost too much."""
    faults = []
    for first, again in repeats_of(calls):
        if first.job:
            faults.append(f"{again.marker} was answered by job {first.job}, and sent again")
            continue
        loss = next((each for each in losses if each.explains(first) and each.at_s <= again.at_s), None)
        if loss is None:
            faults.append(
                f"{again.marker}: {first.process} got {first.end} {first.status} at {first.end_s:.2f} s, and "
                f"{again.process or again.job} sent it again at {again.at_s:.2f} s, without a fault"
            )
        else:
            loss.repeats.append((first, again))
    for loss in losses:
        bound = bound_of(loss, calls)
        if len(loss.repeats) > bound:
            faults.append(f"{loss.why} of {loss.process} at {loss.at_s:.2f} s: {len(loss.repeats)} repeats of {bound}")
    return faults


def bound_of(loss: Loss, calls: Sequence[Call]) -> int:
    """All that the process had in flight at once, and the answers of the time that a flush may take, at its busiest."""
    own = [call for call in calls if call.process == loss.process]
    seen = [call for call in own if call.end_s >= loss.from_s and call.at_s <= loss.until_s]
    moments = [call.at_s for call in seen if call.at_s >= loss.from_s] or [loss.from_s]
    in_flight = max(sum(call.at_s <= moment <= call.end_s for call in seen) for moment in moments)
    ends = sorted(call.end_s for call in seen if call.answered)
    flushed = max((bisect(ends, end_s + FLUSH_S + WRITE_S) - place for place, end_s in enumerate(ends)), default=0)
    return in_flight + flushed


def zombies(calls: Sequence[Call], incidents: Sequence[Incident], losses: Sequence[Loss], lease_s: float) -> list[str]:
    """Calls of processes that woke up after their lease, for lines that another had answered or had in hand by then.

    Each must come within one flush window of the waking.
    """
    faults = []
    by_line: dict[str, list[Call]] = {}
    for call in calls:
        by_line.setdefault(call.marker, []).append(call)
    for each in incidents:
        if each.kind is not Kind.FREEZE or each.ended_s - each.begun_s < lease_s:
            continue
        for line in by_line.values():
            others = [
                call
                for call in line
                if call.process != each.process
                and call.at_s > each.begun_s
                and not any(loss.explains(call) for loss in losses)
            ]
            late = [
                call
                for call in line
                if call.process == each.process
                and call.at_s > each.ended_s + FLUSH_S
                and any(other.at_s < call.at_s and (other.answered or other.end_s > call.at_s) for other in others)
            ]
            faults += [
                f"{each.process} woke at {each.ended_s:.2f} s and sent {call.marker} at {call.at_s:.2f} s, which "
                "was somebody else's"
                for call in late
            ]
    return faults
