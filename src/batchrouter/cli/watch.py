"""Watch a batch of this process until it is over, somebody interrupts, or only a person can make it go on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from batchrouter.bootstrap.embedded import Embedded
from batchrouter.cli.figures import Figures, LaneFigures, RateMeter
from batchrouter.cli.progress import Progress
from batchrouter.cli.signals import Stop
from batchrouter.cli.words import lines
from batchrouter.domain.batch import Batch, LaneShare
from batchrouter.domain.lane_health import LaneState
from batchrouter.domain.lifecycle import BATCH_FINAL, BatchState
from batchrouter.service.caller import Caller

POLL_S = 0.25
PHASES = {
    BatchState.VALIDATING: "checking the lines",
    BatchState.IN_PROGRESS: "running",
    BatchState.FINALIZING: "putting the output together",
    BatchState.CANCELLING: "cancelling",
}


class End(Enum):
    FINAL = "final"
    INTERRUPTED = "interrupted"
    NEEDS_PERSON = "needs_person"


@dataclass(frozen=True, slots=True)
class Watched:
    """`reasons`: for each lane that needs a person, why."""

    end: End
    figures: Figures
    reasons: tuple[str, ...] = ()


async def watch(
    embedded: Embedded, me: Caller, batch_id: str, stop: Stop, progress: Progress, *, wait: bool
) -> Watched:
    """`wait`: a person may come, so lanes that need one do not end it."""
    meter = RateMeter()
    begun_s = embedded.clock.mono_s()
    stuck_before = False
    while True:
        view = await embedded.service.batches.get(me, batch_id)
        elapsed_s = embedded.clock.mono_s() - begun_s
        flying = _flying(embedded, batch_id)
        figures = _figures(view.batch, view.lanes or (), flying, meter, elapsed_s, embedded.clock.unix_ms())
        progress.show(figures)
        if view.batch.state in BATCH_FINAL:
            return Watched(End.FINAL, figures)
        if stop.asked.is_set():
            return Watched(End.INTERRUPTED, figures)
        stuck = stuck_lanes(view.lanes or (), flying, embedded.clock.unix_ms())
        # Seen twice: between two reads of the store a line may just be on its way.
        if stuck and stuck_before and not wait:
            return Watched(End.NEEDS_PERSON, figures, stuck)
        stuck_before = bool(stuck)
        await stop.within(POLL_S)


def stuck_lanes(shares: tuple[LaneShare, ...], flying: dict[int, tuple[int, int]], now_ms: int) -> tuple[str, ...]:
    """Why, lane by lane, if nothing can go on before a person has done something; else nothing.

    The times of waits were set back at the start (`Embedded.forget_waits`): one that has come, or lies before it,
    means that this process has not asked that lane yet, and what the lane's row says is an earlier one's knowledge.
    """
    left = [share for share in shares if _left(share)]
    for share in left:
        asked = share.until_ms is None or share.until_ms > now_ms
        if share.state != LaneState.PAUSED or not asked or flying.get(share.lane_id, (0, 0))[0]:
            return ()
    return tuple(
        f"{share.provider}/{share.model} ({lines(_left(share))} left): {share.reason or 'it is paused'}"
        for share in left
    )


def _flying(embedded: Embedded, batch_id: str) -> dict[int, tuple[int, int]]:
    """(in flight, retrying) of each lane, at this moment; the store knows them only from time to time."""
    loads = embedded.worker.dispatcher.loads()
    return {load.lane_id: (load.in_flight, load.retrying) for load in loads if load.batch_id == batch_id}


def _figures(
    batch: Batch,
    shares: tuple[LaneShare, ...],
    flying: dict[int, tuple[int, int]],
    meter: RateMeter,
    elapsed_s: float,
    now_ms: int,
) -> Figures:
    tokens = batch.tokens.input + batch.tokens.output
    meter.note(elapsed_s, batch.completed + batch.failed, tokens)
    rate, tokens_rate = meter.rates or (None, None)
    return Figures(
        phase=PHASES.get(batch.state, str(batch.state)),
        total=batch.total,
        completed=batch.completed,
        failed=batch.failed,
        in_flight=sum(count for count, _ in flying.values()),
        retrying=sum(count for _, count in flying.values()),
        tokens_in=batch.tokens.input,
        tokens_out=batch.tokens.output,
        elapsed_s=elapsed_s,
        rate=rate,
        tokens_rate=tokens_rate,
        lanes=tuple(
            LaneFigures(
                name=f"{share.provider}/{share.model}",
                state=share.state,
                reason=share.reason,
                until_s=None if not share.until_ms else (share.until_ms - now_ms) / 1000,
                in_flight=flying.get(share.lane_id, (0, 0))[0],
                limit=share.limit,
                done=share.done,
                left=_left(share),
            )
            for share in shares
        ),
    )


def _left(share: LaneShare) -> int:
    return share.waiting + share.in_job + share.in_flight + share.retrying
