"""From claimed shards to lines that can be sent: a lane's queue, and the bytes of the few lines that go next."""

from __future__ import annotations

import logging
from array import array
from collections import deque

from batchrouter.domain import bitmap
from batchrouter.domain.line import decode_line
from batchrouter.domain.shard import Claim
from batchrouter.engine.budget import Budget
from batchrouter.engine.fault import told
from batchrouter.engine.held import BatchRun, Held, LaneQueue
from batchrouter.engine.input import Inputs
from batchrouter.engine.line_call import LineCall, Owner
from batchrouter.errors import BatchRouterError
from batchrouter.providers.base import Wire

log = logging.getLogger(__name__)

LOAD_MAX = 1024
"""Lines for one visit to the disk."""


class Loader:
    """`ready` lines have their bytes and their part of the budget; `bytes` is what the lane has of it in all."""

    def __init__(self, owner: Owner, model: str, wire: Wire, inputs: Inputs, budget: Budget) -> None:
        self._owner = owner
        self._model = model
        self._wire = wire
        self._inputs = inputs
        self._budget = budget
        self.queue = LaneQueue()
        self.ready: deque[LineCall] = deque()
        self.bytes = 0

    @property
    def at_hand(self) -> int:
        """Lines claimed and not yet sent."""
        return self.queue.count + len(self.ready)

    async def accept(self, claim: Claim, batch: BatchRun) -> None:
        """Take a claimed shard in. Raises a `BatchRouterError` when its input cannot be read."""
        source = await self._inputs.get(claim.input_blob_key, claim.input_index_key)
        columns = await source.columns(claim.first_line, claim.lines)
        if batch.dropped:
            return
        places = list(bitmap.members(claim.pending))
        names = source.names.models
        renamed = {model for model in set(columns.models) if names[model] != self._model}
        rewritten = bitmap.of(place for place in places if columns.models[place] in renamed) if renamed else 0
        held = Held(claim, batch, array("Q", columns.offsets), array("I", columns.lengths), rewritten)
        self.queue.add(held, places, columns.prefixes)

    def has_room(self) -> bool:
        """Whether something waits, and the budget has room for the line that is next."""
        line = self.queue.peek()
        return line is not None and self._budget.room(self.bytes, line[0].lengths[line[1]])

    async def load(self, wanted: int) -> tuple[int, list[tuple[Held, int]], list[LineCall]]:
        """Make up to `wanted` lines ready, of whichever batches have their turn; fewer when the budget is full.

        Returns how many were taken from the queue, which of them could not be read now, and those whose reading
        raised what nobody foresaw: they still have their part of the budget.
        """
        taken = self._take(min(LOAD_MAX, wanted))
        by_input: dict[tuple[str, str], list[int]] = {}
        for number, (held, _, _) in enumerate(taken):
            by_input.setdefault(held.batch.input_keys, []).append(number)
        lines: dict[int, bytes] = {}
        for keys, numbers in by_input.items():
            try:
                source = await self._inputs.get(*keys)
                spans = [(h.offsets[p], h.lengths[p]) for h, p, _ in (taken[n] for n in numbers)]
                lines.update(zip(numbers, await source.lines(spans), strict=True))
            except Exception as error:
                batch_id = taken[numbers[0]][0].batch.id
                log.error("%d lines of %s could not be read (%s)", len(numbers), batch_id, told(error))
        unread: list[tuple[Held, int]] = []
        broken: list[LineCall] = []
        for number, (held, place, reserved) in enumerate(taken):
            if held.batch.dropped or number not in lines:
                self.give(reserved)
                if not held.batch.dropped:
                    unread.append((held, place))
                continue
            custom_id, body, fault = b"null", b"", False
            try:
                custom_id, body = decode_line(lines[number])
                if held.rewritten >> place & 1:
                    body = self._wire.encode(held.batch.endpoint, body).body
            except Exception as error:
                log.error("a line of %s could not be made ready (%s)", held.batch.id, told(error))
                if isinstance(error, BatchRouterError):
                    self.give(reserved)
                    unread.append((held, place))
                    continue
                fault = True
            line = LineCall(self._owner, held, place, custom_id, body, reserved)
            if held.attempts:
                line.attempts = held.attempts.pop(place, 0)
            (broken if fault else self.ready).append(line)
        return len(taken), unread, broken

    def drop(self, batch_id: str) -> None:
        """Forget the batch's lines, queued or ready."""
        self.queue.take_all(batch_id)
        for line in [line for line in self.ready if line.held.batch.id == batch_id]:
            self.ready.remove(line)
            self.release(line)

    def release(self, line: LineCall) -> None:
        """The line gives its bytes up."""
        self.give(line.taken)
        line.taken = 0

    def give(self, taken: int) -> None:
        self._budget.give(taken)
        self.bytes -= taken

    def _take(self, wanted: int) -> list[tuple[Held, int, int]]:
        """Lines from the queue, each with what it took of the budget."""
        budget = self._budget
        taken: list[tuple[Held, int, int]] = []
        while len(taken) < wanted:
            some = self.queue.take()
            if not some:
                break
            for number, (held, place) in enumerate(some):
                size = held.lengths[place]
                if not budget.room(self.bytes, size):
                    for back in some[number:]:
                        self.queue.put_back(*back)
                    return taken
                reserved = budget.reserve(size)
                self.bytes += reserved
                taken.append((held, place, reserved))
        return taken
