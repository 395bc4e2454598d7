"""`batchrouter wait`: watch batches until they are over, however often the server is restarted meanwhile.

What happens to the batches does not depend on who watches: interrupting it changes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from batchrouter.bootstrap.local import now_s
from batchrouter.cli.facts import clean, digest, exit_code_of, fact, faults
from batchrouter.cli.figures import Figures, LaneFigures, RateMeter
from batchrouter.cli.lost import failures_of
from batchrouter.cli.place import ServerOptions
from batchrouter.cli.server import Server
from batchrouter.cli.told import BatchTold
from batchrouter.cli.views import view_of
from batchrouter.cli.words import INTERRUPTED, OK, SOME_FAILED, emit, say, tell

PATIENCE_S = 600.0
POLL_FIRST_S = 0.1
POLL_MOST_S = 2.0
WINDOWS_S = (10.0, 3.0, 60.0)
"""The first gives the rate, all of them the range of the time that is left."""
PHASES = {
    "validating": "checking the lines",
    "in_progress": "running",
    "finalizing": "putting the output together",
    "cancelling": "cancelling",
    "paused": "paused",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitOptions:
    """`timeout_s`: when to give up watching."""

    server: ServerOptions
    ids: tuple[str, ...]
    timeout_s: float | None = None
    json: bool = False


def wait_for_batches(options: WaitOptions) -> int:
    server = Server.of(options.server, patience_s=PATIENCE_S)
    ids = list(dict.fromkeys(server.find(told) for told in options.ids))
    watched = Watched(server, ids)
    try:
        watched.watch(options.timeout_s)
    except KeyboardInterrupt:
        say(f"Interrupted. {goes_on(watched.batches)}".rstrip())
    late = not all(batch.final for batch in watched.batches) and not watched.interrupted
    code = SOME_FAILED if late else exit_code_of(watched.batches)
    if watched.interrupted:
        code = INTERRUPTED
    told = [end_of(server, batch) for batch in watched.batches]
    if options.json:
        emit({"ok": code == OK, "exit_code": code, "batches": [one.told for one in told]})
        return code
    for one in told:
        tell("\n".join(one.lines))
    if late:
        say(f"Not over after {options.timeout_s:.0f} s. {goes_on(watched.batches)}")
    return code


def goes_on(batches: Sequence[BatchTold]) -> str:
    """What a command that stops watching leaves behind, and what continues it; empty where all is over."""
    left = [batch for batch in batches if not batch.final]
    if not left:
        return ""
    ids = " ".join(batch.id for batch in left)
    they = "The batch goes on" if len(left) == 1 else f"{len(left)} batches go on"
    if all(batch.state == "paused" for batch in left):
        they = "The batch stays paused" if len(left) == 1 else f"{len(left)} batches stay paused"
    done, total = (sum(getattr(batch.request_counts, name) for batch in left) for name in ("done", "total"))
    return (
        f"{they} at the server, {done}/{total} lines are done and kept.\n"
        f"  `batchrouter wait {ids}` watches again, `batchrouter cancel {ids}` ends "
        + ("it." if len(left) == 1 else "them.")
    )


@dataclass(frozen=True, slots=True)
class End:
    """How a batch ended, for machines and for people."""

    told: dict[str, Any]
    lines: list[str]


def end_of(server: Server, batch: BatchTold) -> End:
    """With why its lines failed, where it is over."""
    failures = failures_of(server, batch) if batch.final else []
    told: dict[str, Any] = {
        "id": batch.id,
        "status": batch.status,
        "total": batch.request_counts.total,
        "completed": batch.request_counts.completed,
        "failed": batch.request_counts.failed,
        "invalid_output": batch.batchrouter.invalid_output,
        "cost": batch.usage.cost,
        "seconds": round(batch.ran_s(now_s())),
        "failures": msgspec.to_builtins(failures),
        "errors": msgspec.to_builtins(batch.errors.data) if batch.errors is not None else [],
        "dashboard": server.dashboard(batch.id),
    }
    return End(told, [fact(batch, now_s()), *faults(batch), *digest(failures)])


class Watched:
    """Batches of one server. `interrupted` once somebody has; `batches` as they were seen last."""

    def __init__(self, server: Server, ids: Sequence[str]) -> None:
        self._server = server
        self._ids = ids
        self._meters = {batch_id: [RateMeter(window_s) for window_s in WINDOWS_S] for batch_id in ids}
        self._begun_s = time.perf_counter()
        self.batches: list[BatchTold] = []
        self.interrupted = False

    def watch(self, timeout_s: float | None = None) -> None:
        """Until all are over or the time is up. Raises `KeyboardInterrupt` after what was drawn is gone."""
        poll_s = POLL_FIRST_S
        try:
            self.batches = [self._server.batch(batch_id) for batch_id in self._ids]
            with view_of(self.batches) as view:
                self._server.client.note = view.note
                while True:
                    view.show([self._figures(batch) for batch in self.batches], self.batches)
                    left_s = self._left_s(timeout_s)
                    if all(batch.final for batch in self.batches) or left_s <= 0:
                        return
                    time.sleep(min(poll_s, left_s))
                    poll_s = min(POLL_MOST_S if len(self._ids) > 1 else 1.0, poll_s * 1.5)
                    self.batches = [each if each.final else self._server.batch(each.id) for each in self.batches]
        except KeyboardInterrupt:
            self.interrupted = True
            raise
        finally:
            self._server.client.note = say

    def _left_s(self, timeout_s: float | None) -> float:
        if timeout_s is None:
            return POLL_MOST_S
        return timeout_s - (time.perf_counter() - self._begun_s)

    def _figures(self, batch: BatchTold) -> Figures:
        counts, usage, meters = batch.request_counts, batch.usage, self._meters[batch.id]
        at_s, tokens = time.perf_counter(), usage.input_tokens + usage.output_tokens
        for meter in meters:
            meter.note(at_s, counts.done, tokens)
        rates = [meter.rates for meter in meters]
        rate, tokens_rate = rates[0] or (None, None)
        lanes, now = batch.batchrouter.lanes, now_s()
        return Figures(
            phase=PHASES.get(batch.state, batch.state),
            total=counts.total,
            completed=counts.completed,
            failed=counts.failed,
            in_flight=sum(lane.in_flight + lane.in_job for lane in lanes),
            retrying=sum(lane.retrying for lane in lanes),
            tokens_in=usage.input_tokens,
            tokens_out=usage.output_tokens,
            elapsed_s=batch.ran_s(now),
            rate=rate,
            tokens_rate=tokens_rate,
            lanes=tuple(
                LaneFigures(
                    name=clean(f"{lane.provider}/{lane.model}"),
                    state=lane.state,
                    reason=clean(lane.reason) if lane.reason else None,
                    until_s=None if not lane.until else lane.until - now,
                    in_flight=lane.in_flight,
                    limit=lane.limit,
                    done=lane.done,
                    left=lane.left,
                )
                for lane in lanes
            ),
            cost=usage.cost,
            rates=tuple(each[0] for each in rates if each is not None),
            link=self._server.dashboard(batch.id),
        )
