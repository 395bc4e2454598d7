"""From claimed shards to lines that can be sent: a lane's queue, and the bytes of the few lines that go next."""

from __future__ import annotations

import logging
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from batchrouter.domain import bitmap
from batchrouter.domain.body_change import changed
from batchrouter.domain.checked.asked import MEMBERS
from batchrouter.domain.checked.judge import Judges
from batchrouter.domain.cost import RateCard
from batchrouter.domain.fallback import next_lane, stands_in
from batchrouter.domain.line import decode_line
from batchrouter.domain.output_line import extension
from batchrouter.domain.routing import Resolved
from batchrouter.domain.shard import Claim, LaneKey
from batchrouter.domain.spend import most_tokens
from batchrouter.engine.budget import Budget
from batchrouter.engine.fault import told
from batchrouter.engine.held import Held, LaneQueue, Share, Way
from batchrouter.engine.line_call import LineCall, More
from batchrouter.errors import BatchRouterError, LineRefused
from batchrouter.input import Inputs
from batchrouter.providers.base import Encoded, Wire

log = logging.getLogger(__name__)

LOAD_MAX = 1024
"""Lines for one visit to the disk."""


class Loaded(NamedTuple):
    """What a visit to the disk brought: `taken` lines left the queue; `unread` ones could not be read now; `broken`
    ones raised what nobody foresaw; `refused` ones are not for this upstream. The last two have their part of the
    budget, and no body to send."""

    taken: int
    unread: list[tuple[Held, int]]
    broken: list[LineCall]
    refused: list[tuple[LineCall, LineRefused]]


class Loader:
    """`ready` lines have their bytes and their part of the budget; `bytes` is what the lane has of it in all."""

    def __init__(
        self,
        key: LaneKey,
        wire: Wire,
        card: RateCard | None,
        fallbacks: Callable[[str, str], Sequence[Resolved]],
        inputs: Inputs,
        budget: Budget,
        judges: Judges | None = None,
    ) -> None:
        self._key = key
        self._wire = wire
        self._card = card
        self._fallbacks = fallbacks
        self._inputs = inputs
        self._budget = budget
        self._judges = judges
        self._ways: dict[tuple[str, str], Way | None] = {}
        self.queue = LaneQueue()
        self.ready: deque[LineCall] = deque()
        self.bytes = 0

    @property
    def at_hand(self) -> int:
        """Lines claimed and not yet sent."""
        return self.queue.count + len(self.ready)

    def at_hand_of(self, batch_id: str) -> int:
        """The batch's lines among those."""
        return self.queue.count_of(batch_id) + sum(line.held.batch.id == batch_id for line in self.ready)

    # --- taking shards in -----------------------------------------------------------------------------------------

    async def accept(self, claim: Claim, share: Share) -> None:
        """Take a claimed shard in. Raises a `BatchRouterError` when its input cannot be read."""
        source = await self._inputs.get(claim.input_blob_key, claim.input_index_key)
        columns = await source.columns(claim.first_line, claim.lines)
        if share.batch.dropped:
            return
        names = source.names
        places = list(bitmap.members(claim.pending))
        if self._wire.passes(claim.endpoint):
            renamed = {model for model in set(columns.models) if names.models[model] != self._key.model}
            rewritten = bitmap.of(place for place in places if columns.models[place] in renamed) if renamed else 0
        else:
            rewritten = bitmap.full(claim.lines)
        asked = zip(columns.providers, columns.models, strict=True)
        ways = {each: self._way(names.providers[each[0]], names.models[each[1]]) for each in set(asked)}
        of_each: list[Way | None] | None = None
        if any(ways.values()):
            of_each = [ways[each] for each in zip(columns.providers, columns.models, strict=True)]
            share.leads_on = share.leads_on or any(way is not None and way.next is not None for way in of_each)
        held = Held(claim, share, array("Q", columns.offsets), array("I", columns.lengths), rewritten, of_each)
        if share.held_back:
            share.aside.extend((held, place) for place in places)
        else:
            self.queue.add(held, places, columns.prefixes)

    def _way(self, field: str, model: str) -> Way | None:
        """What fallbacks mean here for lines with that provider field and model."""
        asked = (field, model)
        if asked not in self._ways:
            chain = self._fallbacks(field, model)
            way = None
            if chain:
                onward = next_lane(chain, self._key)
                here = f"{self._key.provider}/{self._key.model}"
                way = Way(onward, model, here) if stands_in(chain, self._key) else Way(onward)
            self._ways[asked] = way
        return self._ways[asked]

    # --- making lines ready ---------------------------------------------------------------------------------------

    def has_room(self) -> bool:
        """Whether something waits, and the budget has room for the line that is next."""
        line = self.queue.peek()
        return line is not None and self._budget.room(self.bytes, line[0].lengths[line[1]])

    async def load(self, wanted: int) -> Loaded:
        """Make up to `wanted` lines ready, of whichever batches have their turn; fewer when the budget is full."""
        taken = self._take(min(LOAD_MAX, wanted))
        by_input: dict[tuple[str, str], list[int]] = {}
        for number, (held, _, _) in enumerate(taken):
            by_input.setdefault(held.batch.input_keys, []).append(number)
        lines: list[bytes | None] = [None] * len(taken)
        for keys, numbers in by_input.items():
            try:
                source = await self._inputs.get(*keys)
                spans = [(h.offsets[p], h.lengths[p]) for h, p, _ in (taken[n] for n in numbers)]
                for number, line_bytes in zip(numbers, await source.lines(spans), strict=True):
                    lines[number] = line_bytes
            except Exception as error:
                batch_id = taken[numbers[0]][0].batch.id
                log.error("%d lines of %s could not be read (%s)", len(numbers), batch_id, told(error))
        loaded = Loaded(len(taken), [], [], [])
        judges = self._judges
        for (held, place, reserved), raw in zip(taken, lines, strict=True):
            if raw is None or held.batch.dropped:
                self.give(reserved)
                if not held.batch.dropped:
                    loaded.unread.append((held, place))
                continue
            if held.batch.halted:  # since it was taken from the queue
                self.give(reserved)
                held.share.aside.append((held, place))
                continue
            custom_id, body, more = b"null", b"", None
            fault: Exception | None = None
            try:
                custom_id, body = decode_line(raw)
                if held.batch.changes:
                    body = changed(body, held.batch.changes)
                judge = None
                if judges is not None:
                    endpoint = held.batch.endpoint
                    member = MEMBERS.get(endpoint)
                    if member is not None and body.rfind(member) >= 0:  # few ask, and each line passes here
                        judge = judges.of(endpoint, body)
                if not held.plain:
                    body, more = self._prepare(held, place, body)
                if judge is not None:
                    more = more or More()
                    more.judge = judge
            except LineRefused as refusal:
                fault = refusal
            except Exception as error:
                log.error("a line of %s could not be made ready (%s)", held.batch.id, told(error))
                if isinstance(error, BatchRouterError):
                    self.give(reserved)
                    loaded.unread.append((held, place))
                    continue
                fault = error
            line = LineCall(held, place, custom_id, body, reserved, more)
            if held.attempts:
                line.attempts = held.attempts.pop(place, 0)
            if fault is None:
                self.ready.append(line)
            elif isinstance(fault, LineRefused):
                loaded.refused.append((line, fault))
            else:
                loaded.broken.append(line)
        return loaded

    def _prepare(self, held: Held, place: int, body: bytes) -> tuple[bytes, More | None]:
        """The body as it is sent, and what must be known of it. Raises `LineRefused`."""
        endpoint, spend = held.batch.endpoint, held.batch.spend
        most_nano = 0
        encoded = self._wire.encode(endpoint, body) if held.rewritten >> place & 1 else Encoded(body)
        sent, note, dropped = encoded
        if spend is not None:
            if self._card is None:
                name = f"{self._key.provider}/{self._key.model}"
                raise LineRefused(
                    f"The batch has a max_cost, and the price of {name} is not known.", code="price_unknown"
                )
            # The bounds of the body that is sent; but in the line's own a picture is easier to tell.
            output = most_tokens(endpoint, sent)[1]
            most_nano = self._card.most(most_tokens(endpoint, body)[0], output)
        way = held.ways[place] if held.ways is not None else None
        people = extension(dropped) if way is None else extension(dropped, way.model, way.fallback)
        if note is None and people is None and not most_nano:
            return sent, None
        return sent, More(note, people, most_nano)

    # --- giving up ------------------------------------------------------------------------------------------------

    def drop(self, batch_id: str) -> None:
        """Forget the batch's lines, queued or ready."""
        self.take_back(batch_id)

    def take_back(self, batch_id: str) -> list[tuple[Held, int]]:
        """The batch's lines, ready and queued, in the order in which they would have been sent; they are here no
        more, and those that were ready have given their bytes up."""
        lines: list[tuple[Held, int]] = []
        for line in [line for line in self.ready if line.held.batch.id == batch_id]:
            self.ready.remove(line)
            lines.append((line.held, line.place))
            if line.attempts:
                line.held.attempts[line.place] = line.attempts
            self.release(line)
        return lines + self.queue.take_all(batch_id)

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
            sizes = [held.lengths[place] for held, place in some]
            all_reserved = budget.reserve_all(self.bytes, sizes)
            if all_reserved is not None:
                self.bytes += sum(all_reserved)
                taken += [(held, place, reserved) for (held, place), reserved in zip(some, all_reserved, strict=True)]
                continue
            for number, (held, place) in enumerate(some):
                size = sizes[number]
                if not budget.room(self.bytes, size):
                    for back in some[number:]:
                        self.queue.put_back(*back)
                    return taken
                reserved = budget.reserve(size)
                self.bytes += reserved
                taken.append((held, place, reserved))
        return taken
