"""Where jobs of the OpenAI family are made, found and listed, the same for every dialect of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from batchrouter.simulator.native.dialects import Dialect
from batchrouter.simulator.native.refusal import Refused
from batchrouter.simulator.native.run import Order, Run
from batchrouter.simulator.native.shelf import Shelf
from batchrouter.simulator.reply import Reply

if TYPE_CHECKING:
    from batchrouter.simulator.server import Simulator


class Bench:
    """The jobs themselves stand in the simulator's book."""

    def __init__(self, simulator: Simulator) -> None:
        self.shelf = Shelf()
        self._simulator = simulator

    def created(self, dialect: Dialect, order: Order, tell: Callable[[Run], Reply]) -> Reply:
        """Make a job and tell of it; or not, as the script says. Raises Refused."""
        refuse = self._simulator.desk.refusal()
        if refuse is not None:
            raise Refused(
                refuse.status,
                refuse.message or "The batch cannot be created.",
                code=refuse.code,
                type=refuse.type or "invalid_request_error",
                retry_after_s=refuse.retry_after_s,
            )
        run = Run(self._simulator, self.shelf, dialect, order)
        self._simulator.jobs.add(run, run.job.created_s)
        reply = tell(run)
        if self._simulator.desk.loses_create():
            reply.fault = "close"
        return reply

    def uploaded(self, reply: Reply) -> Reply:
        """The reply to an upload whose file is kept now; or its loss, as the script says."""
        if self._simulator.desk.loses_upload():
            reply.fault = "close"
        return reply

    def found(self, dialect: Dialect, job_id: str) -> Run | None:
        native = self._simulator.jobs.get(job_id)
        return native if isinstance(native, Run) and native.dialect == dialect.name else None

    def listed(self, dialect: Dialect, now_s: float) -> list[Run]:
        """Newest first, without those that are too new for a listing."""
        delay_s = self._simulator.desk.batches.list_delay_s
        runs = [one for one in self._simulator.jobs if isinstance(one, Run) and one.dialect == dialect.name]
        return [run for run in reversed(runs) if now_s - run.job.created_s >= delay_s]
