"""Read which batches of a list are wanted, from the query."""

from __future__ import annotations

from starlette.requests import Request

from batchrouter.domain.batch_filter import BatchFilter
from batchrouter.domain.lifecycle import BatchState
from batchrouter.errors import ApiError
from batchrouter.service import asked

TEXT_CHARS = 512
SECONDS_MAX = 2**40


def filter_of(request: Request) -> BatchFilter:
    """What is empty counts as absent."""
    query = request.query_params
    states = [asked.one_of(word.strip(), BatchState, "status") for word in _text(request, "status").split(",") if word]
    return BatchFilter(
        states=frozenset(map(BatchState, states)),
        endpoint=_text(request, "endpoint") or None,
        model=_text(request, "model") or None,
        search=_text(request, "search") or None,
        metadata={
            name[len("metadata[") : -1]: _text(request, name)
            for name in query
            if name.startswith("metadata[") and name.endswith("]")
        },
        created_from_ms=_ms(request, "created_after"),
        created_until_ms=_ms(request, "created_before"),
        retry_of=_text(request, "retry_of") or None,
    )


def _text(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if len(value) > TEXT_CHARS or len(name) > TEXT_CHARS:
        raise ApiError(400, f"Invalid '{name[:TEXT_CHARS]}': it is longer than {TEXT_CHARS} characters.", param=name)
    return value


def _ms(request: Request, name: str) -> int | None:
    value = request.query_params.get(name)
    return None if not value else asked.within(asked.digits(value, name), 0, SECONDS_MAX, name) * 1000
