"""The last questions before a line is sent: whether its tenant may have one more call, and its batch has the money."""

from __future__ import annotations

from collections.abc import Callable

from batchrouter.domain.spend import dollars
from batchrouter.engine.ends import LineEnds
from batchrouter.engine.held_back import HeldBack
from batchrouter.engine.line_call import LineCall
from batchrouter.engine.loader import Loader
from batchrouter.errors import LineRefused


class Admission:
    """One lane's. What may not go now is put apart, so that others pass by."""

    def __init__(
        self, lane_id: int, loader: Loader, held_back: HeldBack, ends: LineEnds, pump_soon: Callable[[], None]
    ) -> None:
        self._lane_id = lane_id
        self._loader = loader
        self._held_back = held_back
        self._ends = ends
        self._pump_soon = pump_soon

    def may_go(self, line: LineCall) -> bool:
        tenant = line.held.batch.tenant
        if tenant.cap is not None and tenant.in_flight >= tenant.cap:
            line.held.share.crowded = True
            tenant.wait(self._lane_id, self._pump_soon)
            self._put_apart(line)
            return False
        return line.more is None or self._affords(line)

    def _affords(self, line: LineCall) -> bool:
        """Whether the line's batch has the money for it. If not, it waits for what calls in flight, here or elsewhere,
        may leave, or is refused when they cannot."""
        more, batch = line.more, line.held.batch
        spend = batch.spend
        if spend is None or more is None or not more.most_nano:
            return True
        if spend.reserve(more.most_nano):
            more.reserved = True
            return True
        if not spend.hopeless(more.most_nano):
            line.held.share.short = True
            self._put_apart(line)
            return False
        left = dollars(max(0, spend.limit_nano - spend.spent_nano))
        self._ends.refuse(
            line,
            LineRefused(
                f"Of the batch's max_cost of {dollars(spend.limit_nano)} there is {left} left, and this request may "
                f"cost up to {dollars(more.most_nano)}.",
                code="max_cost_exceeded",
            ),
        )
        self._pump_soon()
        return False

    def _put_apart(self, line: LineCall) -> None:
        self._loader.ready.appendleft(line)
        self._held_back.hold(line.held.share)
