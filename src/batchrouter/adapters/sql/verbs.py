"""What every noun of the store shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

from batchrouter.adapters.sql.database import Database

T = TypeVar("T")

_IN_MAX = 500
"""Values in one IN: SQLite takes 32,766 bound values in a statement, but each length is a statement of its own."""


class Verbs:
    """The verbs of one noun; the store joins them by inheritance."""

    def __init__(self, database: Database) -> None:
        self._db = database


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
