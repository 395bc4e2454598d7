"""`docs/configuration.md`: type, bounds and default of each setting are the code's, unit and meaning the page's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from batchrouter import config
from batchrouter.config import bounds
from batchrouter.config.windows import Seconds
from scripts.reference.places import Row, with_tables

NONE = "–"
NEEDED = "needed"
_SECTIONS: Mapping[str, Any] = vars(bounds)
_BOUNDS: dict[str, Mapping[str, tuple[float, float]]] = {
    "providers.NAME.": bounds.PROVIDER,
    "providers.NAME.keys[].": bounds.KEY,
    "providers.NAME.batch.": bounds.NATIVE,
    "providers.NAME.prices.GLOB.": bounds.PRICE,
}


def settings(struct: type[msgspec.Struct] = config.Config, path: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted name, value, default) of everything that a file may set, as the page has it."""
    limits = _BOUNDS.get(path) or _SECTIONS.get(path.rstrip(".").upper(), {})
    for field in msgspec.structs.fields(struct):
        inner = next((each for each in get_args(field.type) if _is_struct(each)), None)
        name = f"{path}{field.name}"
        if field.name == "providers":
            yield from settings(config.ProviderConfig, "providers.NAME.")
        elif inner is not None and get_origin(field.type) is dict:
            yield from settings(inner, f"{name}.GLOB.")
            yield name, "map", "`{}`"
        elif inner is not None and get_origin(field.type) is tuple:
            yield from settings(inner, f"{name}[].")
            yield name, "list", "`[]`"
        elif isinstance(field.default, msgspec.Struct):
            yield from settings(type(field.default), f"{name}.")
        else:
            yield name, _value(field.type, limits.get(field.name)), _default(field)


def renewed(page: str) -> str:
    """The page with the facts of the code: rows of settings that there are, and new ones, without a meaning yet, at
    the end of the last table that has their section."""
    facts = {f"`{name}`": [value, default] for name, value, default in settings()}
    told: dict[str, int] = {}

    def look(number: int, rows: list[Row]) -> list[Row]:
        told.update({row[0]: number for row in rows})
        return rows

    with_tables(page, "setting", look)

    def fill(number: int, rows: list[Row]) -> list[Row]:
        kept = [[row[0], *facts[row[0]], *row[3:]] for row in rows if row[0] in facts]
        new = [name for name in facts if name not in told and _nearest(name, told) == number]
        return kept + [[name, *facts[name], "", ""] for name in new]

    return with_tables(page, "setting", fill)


def _nearest(name: str, told: dict[str, int]) -> int:
    """The last table with a setting of the same section, else of a section around it, else the very last."""
    section = name
    while "." in section:
        section = section.rpartition(".")[0]
        found = [number for other, number in told.items() if other.startswith(f"{section}.")]
        if found:
            return max(found)
    return max(told.values())


def _is_struct(wanted: object) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, msgspec.Struct)


def _is_time(kind: Any) -> bool:
    return kind is Seconds or Seconds in get_args(kind)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return NEEDED
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if default is None:
        return NONE
    if _is_time(field.type):
        return f"`{_length(float(default)).replace(' ', '')}`"
    if isinstance(default, tuple):
        return f"`[{', '.join(map(str, default))}]`"
    plain = str(default) if default and isinstance(default, str) else json.dumps(default)
    return f"`{plain}`"


def _value(kind: Any, limits: tuple[float, float] | None) -> str:
    """What may stand there, in a word or two, with its bounds."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_value(each, limits) for each in get_args(kind) if each is not type(None))
    if get_origin(kind) is Literal:
        return _any_of([str(each) for each in get_args(kind)])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _any_of([str(each.value) for each in kind])
    words = {str: "text", bool: "true or false", int: "integer", float: "number", Seconds: "time"}
    word = words.get(kind) or ("map" if get_origin(kind) is dict else "list")
    if limits is None:
        return word
    told = _length if kind is Seconds else _number
    return f"{word}, {told(limits[0])} to {told(limits[1])}"


def _any_of(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _number(value: float) -> str:
    for unit, size in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)):
        if value >= size and value % size == 0:
            return f"{int(value) // size} {unit}"
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _length(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds) // size} {unit}"
    return f"{seconds:g} s"
