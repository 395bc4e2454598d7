"""JSONL whose lines are rows: plain objects, each key a column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from batchrouter.errors import InputError
from batchrouter.tables.forms import Bytes
from batchrouter.tables.table import Cell, Kind, check_names

LINE_MAX = 32 * 1024 * 1024
_decode = msgspec.json.Decoder(dict[str, object]).decode
_INT64 = 2**63


class JsonRows:
    """Its columns are the keys of all rows, in the order in which they first come. A key that is absent is null."""

    def __init__(self, source: Bytes) -> None:
        """Reads it once to its end. Raises `InputError`."""
        self._source = source
        self.name = source.name
        found: dict[str, Kind | None] = {}
        for row in self._objects():
            for key, value in row.items():
                known = found.get(key)
                if value is None:
                    found.setdefault(key, None)
                elif known is not Kind.JSON:
                    kind = _kind(value)
                    found[key] = kind if known in (None, kind) else _common(known, kind)
        self.columns = check_names(list(found), self.name)
        self.kinds = tuple(kind or Kind.TEXT for kind in found.values())

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
        for row in self._objects():
            yield tuple([row.get(column) for column in columns])

    def _objects(self) -> Iterator[dict[str, object]]:
        number = 0
        with self._source.open() as file:
            while raw := file.readline(LINE_MAX):
                if raw.isspace():
                    continue
                number += 1
                try:
                    yield _decode(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw)
                except (msgspec.DecodeError, RecursionError, ValueError) as error:
                    raise InputError(
                        f"{self.name}: row {number} is no JSON object on one line ({_words(error)})"
                    ) from error


def _kind(value: object) -> Kind:
    if isinstance(value, bool):
        return Kind.TRUTH
    if isinstance(value, int):
        return Kind.WHOLE if -_INT64 <= value < _INT64 else Kind.JSON
    if isinstance(value, float):
        return Kind.NUMBER
    return Kind.TEXT if isinstance(value, str) else Kind.JSON


def _common(one: Kind | None, other: Kind) -> Kind:
    return Kind.NUMBER if {one, other} == {Kind.WHOLE, Kind.NUMBER} else Kind.JSON


def _words(error: Exception) -> str:
    # A decoder's words name places and types, never values; those of a wrong string would.
    return str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__
