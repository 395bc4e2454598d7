"""What every noun of the store shares."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

from batchrouter.adapters.sql.database import CutOff, Database, Doubled, TakenBack
from batchrouter.errors import StoreError

T = TypeVar("T")

_IN_MAX = 500
"""Values in one IN: SQLite takes 32,766 bound values in a statement, but each length is a statement of its own."""
_PAUSES_S = (0.0, 0.01, 0.05, 0.2, 0.5)
"""Before each new run of a verb that was taken back."""


class Verbs:
    """The verbs of one noun; the store joins them by inheritance.

    Every public method is a verb, and is run again when the database took it back (a deadlock, a row that somebody else
    made at the same moment), or broke off before its commit was asked for. Of a commit in doubt the caller hears.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def __init_subclass__(cls) -> None:
        for name, verb in list(vars(cls).items()):
            if callable(verb) and not name.startswith("_"):
                setattr(cls, name, again(verb))


def again(verb: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(verb)
    def run(*args: Any, **kwargs: Any) -> T:
        once: set[type[StoreError]] = set()
        for pause_s in _PAUSES_S:
            try:
                return verb(*args, **kwargs)
            except TakenBack:
                threading.Event().wait(pause_s)
            except (CutOff, Doubled) as error:
                if type(error) in once:  # on a new connection too, or now that it can see the other's row
                    raise
                once.add(type(error))
        return verb(*args, **kwargs)

    return run


def param(name: str) -> sa.BindParameter[Any]:
    """A value that comes with each execution."""
    return sa.bindparam(name)


def many(name: str) -> sa.BindParameter[Any]:
    """The values of an IN."""
    return sa.bindparam(name, expanding=True)


def chunks(values: Iterable[T], size: int = _IN_MAX) -> Iterator[Sequence[T]]:
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part
