"""Tables as they are read: rows of cells, from the first to the last, as often as wanted."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from batchrouter.errors import InputError

Cell = object
"""str, int, float, bool, None, and what else Parquet and JSON have."""


class Kind(StrEnum):
    """Of a column's cells, as far as Parquet must know it. JSON: of different kinds, or nested; written as JSON."""

    TEXT = "text"
    WHOLE = "whole"
    NUMBER = "number"
    TRUTH = "truth"
    JSON = "json"


class Table(Protocol):
    """Rows are counted from 1, the header not among them."""

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names, no two alike."""
        ...

    @property
    def kinds(self) -> tuple[Kind, ...]: ...

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
        """The cells of these columns, row by row, in bounded memory. Raises `InputError`, with the row's number."""
        ...


def text_of(cell: Cell) -> str | None:
    """A cell as it stands in a prompt; None for what has no plain text: lists, objects, bytes."""
    if type(cell) is str:
        return cell
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int | float | Decimal):
        return str(cell)
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    if isinstance(cell, str | datetime.timedelta):
        return str(cell)
    return None


def written(cell: Cell) -> str:
    """A cell as text, whatever it is: JSON for what has no plain text."""
    text = text_of(cell)
    return json.dumps(cell, ensure_ascii=False, default=_plain) if text is None else text


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return text_of(value) or str(value)


def check_names(columns: Sequence[str], where: str) -> tuple[str, ...]:
    """Raises `InputError` when two columns have the same name, or there is none."""
    if not columns:
        raise InputError(f"{where} has no columns")
    seen: dict[str, int] = {}
    for number, name in enumerate(columns, 1):
        if name in seen:
            named = f"the column '{name}'" if name else "a column without a name"
            raise InputError(f"{where} has {named} twice, as number {seen[name]} and {number}; rename one")
        seen[name] = number
    return tuple(columns)
