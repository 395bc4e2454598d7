"""Events of a batch, as they are sent; see `objects`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from batchrouter.domain.batch import Event


class EventData(Struct):
    id: str


class EventObject(Struct):
    """A change of a batch's state. `no` counts from 1 within the batch, and is what `after` means."""

    id: str
    object: Literal["event"]
    no: int
    created_at: int
    type: str
    data: EventData


class EventList(Struct):
    object: Literal["list"]
    data: list[EventObject]
    has_more: bool


def event_object(event: Event) -> EventObject:
    return EventObject(
        id=event.id,
        object="event",
        no=event.no,
        created_at=event.at_ms // 1000,
        type=event.type,
        data=EventData(event.batch_id),
    )
