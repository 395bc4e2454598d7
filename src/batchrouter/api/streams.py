"""What the event streams of a batch tell: its lines, or its events and itself, until it has ended and all is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from batchrouter.api.batch_objects import batch_object
from batchrouter.api.context import Context
from batchrouter.api.event_objects import event_object
from batchrouter.api.replies import PIECE_BYTES, encode
from batchrouter.api.result_objects import line_object
from batchrouter.api.sse import COMMENT_S, RETRY, comment, frame
from batchrouter.ports.results import Pulse
from batchrouter.service.caller import Caller
from batchrouter.service.following import EVENTS_MAX, is_final
from batchrouter.service.results import ResultPage, Wanted

BATCH_EVERY_S = 1.0
LOOK_S = 5.0
"""What workers have in flight changes without a change of the batch's counts: it is told after this time at latest."""


async def line_frames(
    context: Context, caller: Caller, batch_id: str, wanted: Wanted, seen: Pulse, page: ResultPage
) -> AsyncIterator[bytes]:
    """From `page`, which was read after `seen` was."""
    service = context.service
    known: Pulse | None = seen
    yield RETRY
    while True:
        for told in _together(page, requests=wanted.requests):
            yield told
        if page.all_told:
            yield frame("end", encode({"id": batch_id, "status": page.batch.state.value}), str(page.next))
            return
        wanted = replace(wanted, after=page.next)
        while not page.more:
            pulse = await service.watching.changed(batch_id, known, COMMENT_S)
            if pulse is None:  # the server stops, or too many wait: the reader comes back
                return
            if pulse != known:
                known = pulse
                break
            yield comment(str(page.next))
        page = await service.results.page(caller, batch_id, wanted)


def _together(page: ResultPage, *, requests: bool) -> Iterator[bytes]:
    """The frames of a page's lines, many at a time: each piece costs a connection a dozen calls."""
    some: list[bytes] = []
    size = 0
    for line in page.lines:
        some.append(frame("line", encode(line_object(line, requests=requests)), str(line.cursor)))
        size += len(some[-1])
        if size >= PIECE_BYTES:
            yield b"".join(some)
            some, size = [], 0
    if some:
        yield b"".join(some)


async def event_frames(
    context: Context, caller: Caller, batch_id: str, after: int, seen: Pulse
) -> AsyncIterator[bytes]:
    service, clock = context.service, context.door.clock
    sent: bytes | None = None
    silent_s = 0.0
    yield RETRY
    while True:
        more = seen.events > after + 1
        while more:
            page = await service.following.told(batch_id, after, EVENTS_MAX)
            for event in page.events:
                yield frame("event", encode(event_object(event)), str(event.no))
                after = event.no
            more = page.more
        told = encode(batch_object(await service.following.view(caller, batch_id, seen)))
        if told != sent:
            yield frame("batch", told)
            sent, silent_s = told, 0.0
        if is_final(seen):
            yield frame("end", encode({"id": batch_id, "status": seen.state}))
            return
        began_s = clock.mono_s()
        pulse = await service.watching.changed(batch_id, seen, LOOK_S)
        if pulse is None:
            return
        if pulse == seen:
            silent_s += LOOK_S
            if silent_s >= COMMENT_S:
                yield comment()
                silent_s = 0.0
        else:
            await clock.sleep(max(0.0, BATCH_EVERY_S - (clock.mono_s() - began_s)))
        seen = pulse
