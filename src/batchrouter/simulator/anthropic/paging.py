"""Lists by cursor, as Anthropic pages them: `after_id` goes on towards the end of a list, `before_id` back."""

from __future__ import annotations

from urllib.parse import parse_qs

from batchrouter.simulator.anthropic.errors import bad

PAGE_DEFAULT = 20
PAGE_MAX = 1000


def page_of(objects: list[dict[str, object]], query: str) -> dict[str, object]:
    """The part of a list that `limit`, `after_id` and `before_id` ask for, with what tells the next. ApiError 400."""
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    try:
        limit = int(asked.get("limit", PAGE_DEFAULT))
    except ValueError:
        limit = 0
    if not 1 <= limit <= PAGE_MAX:
        raise bad(f"limit: Input should be a valid integer from 1 to {PAGE_MAX}")
    if "after_id" in asked and "before_id" in asked:
        raise bad("Only one of `after_id` and `before_id` may be given.")
    places = {str(one["id"]): place for place, one in enumerate(objects)}
    if "after_id" in asked:
        start = _place(places, asked["after_id"]) + 1
        page, has_more = objects[start : start + limit], start + limit < len(objects)
    elif "before_id" in asked:
        end = _place(places, asked["before_id"])
        page, has_more = objects[max(0, end - limit) : end], end > limit
    else:
        page, has_more = objects[:limit], limit < len(objects)
    ids = [one["id"] for one in page]
    return {
        "data": page,
        "has_more": has_more,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


def _place(places: dict[str, int], cursor: str) -> int:
    place = places.get(cursor)
    if place is None:
        raise bad(f"Invalid cursor: {cursor}")
    return place
