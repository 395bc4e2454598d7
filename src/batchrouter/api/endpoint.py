"""What a row of the table of calls says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from starlette.requests import Request
from starlette.responses import Response

from batchrouter.api.context import Context
from batchrouter.service.caller import Caller

Handler = Callable[[Context, Request, Caller], Awaitable[Response]]


class Home(Enum):
    """Under which paths a call is, and who may make it."""

    V1 = ("/v1", "/api/v1")
    ADMIN = ("/admin/v1",)


@dataclass(frozen=True, slots=True)
class Query:
    name: str
    type: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`form` is a multipart body, `body` a JSON one; `reply` None means the bytes of a file."""

    method: str
    path: str
    name: str
    words: str
    handler: Handler
    reply: type | None
    home: Home = Home.V1
    body: type | None = None
    form: type | None = None
    query: tuple[Query, ...] = ()
    errors: tuple[int, ...] = (401,)


AFTER = Query("after", "string", "List what comes after the object with this id.")


def limit_query(most: int, default: int) -> Query:
    return Query("limit", "integer", f"1 to {most}, {default} by default.")
