"""How the event loop calls the store, whose verbs are synchronous and may wait for a disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Calls(Protocol):
    """Verbs that write go through `write`, all others through `read`. Writes happen in the order in which they were
    asked. A caller that is cancelled while it waits does not stop a verb that has begun: it happens as a whole. One
    that has not begun is not done."""

    async def read(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    async def write(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
