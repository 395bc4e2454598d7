"""Whether an answer keeps the schema that its request asked for.

A schema that does not compile is its upstream's to refuse; nothing is judged by it then, nor by one that leads outside
of itself, or that could take long (`bounds`).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec
from xxhash import xxh3_128_digest

from batchrouter.domain.checked.asked import schema_asked, texts_of
from batchrouter.domain.checked.bounds import DEPTH_MAX, Measure, Unbounded

TEXT_MAX = 256 * 1024
"""Characters of an answer that is judged."""
SCHEMA_MAX = 128 * 1024
"""Bytes of a schema that is compiled. OpenAI's limit for names and values of one is 120,000 characters."""
WORK_MAX = 1_000_000
"""Parts of a schema asked of values; about 20 ns each, so 20 ms at worst."""
PATTERN_WORK_MAX = 1_500_000
"""Sizes of patterns times characters; about 14 ns each at worst, so again 20 ms."""
PATTERN_BYTES_MAX = 256 * 1024
SHALLOW = 16
"""Brackets of an answer whose depth need not be looked at."""
KEPT_MAX, KEPT_BYTES = 256, 1024 * 1024
MESSAGE_MAX, PATH_MAX = 300, 300
_decode = msgspec.json.Decoder().decode


class Fault(NamedTuple):
    """`path`: where in the answer, as a JSON pointer (RFC 6901); empty for the answer as a whole."""

    message: str
    path: str = ""


class Judge:
    """By one schema. Compiled when it is first used; deterministic."""

    __slots__ = ("_measure", "_schema", "_validator")

    def __init__(self, schema: bytes) -> None:
        self._schema: bytes | None = schema
        self._validator: Any = None
        self._measure: Measure | None = None

    def fault(self, text: str) -> Fault | None:
        """What is wrong with an answer; None: nothing is, or it cannot be told. Never raises: an answer that was paid
        for is not lost because it could not be judged."""
        try:
            return self._fault(text)
        except BaseException as error:
            # Those of the library, when it meets half a surrogate pair for example, stand beside Python's own.
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                return None
            raise

    def _fault(self, text: str) -> Fault | None:
        if len(text) > TEXT_MAX:
            return None
        try:
            value = _value(text)
        except json.JSONDecodeError:
            return Fault("The answer is empty, not JSON." if not text.strip() else "The answer is not JSON.")
        if self._schema is not None:
            self._compile()
        measure = self._measure
        if measure is None or not _affordable(measure, text, value):
            return None
        try:
            self._validator.validate(value)
        except ValueError as error:
            return _told(error)
        return None

    def _compile(self) -> None:
        schema, self._schema = self._schema, None
        if schema is None or len(schema) > SCHEMA_MAX:
            return
        from jsonschema_rs import RegexOptions, validator_for

        parsed = _decode(schema)
        try:
            measure = Measure(parsed)
        except Unbounded:
            return
        # This engine takes time in proportion to pattern and text; what it does not know does not compile.
        patterns = RegexOptions(size_limit=PATTERN_BYTES_MAX, dfa_size_limit=PATTERN_BYTES_MAX)
        self._validator = validator_for(
            parsed, offline=True, validate_formats=False, pattern_options=patterns, mask="the value"
        )
        self._measure = measure


class Judges:
    """One lane's: a judge for each schema, the last that were used: `KEPT_MAX` of them, or `KEPT_BYTES` of schemas."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Judge, int]] = {}
        self._bytes = 0

    def of(self, endpoint: str, body: bytes) -> Judge | None:
        """For the answer to a line's body; None where it asks for no form."""
        schema = schema_asked(endpoint, body)
        if schema is None:
            return None
        key = xxh3_128_digest(schema)
        known = self._known.pop(key, None)
        if known is None:
            known = Judge(schema), len(schema)
            self._bytes += len(schema)
            while self._known and (len(self._known) >= KEPT_MAX or self._bytes > KEPT_BYTES):
                self._bytes -= self._known.pop(next(iter(self._known)))[1]
        self._known[key] = known
        return known[0]


def fault_of(judge: Judge, endpoint: str, body: bytes) -> Fault | None:
    """The first fault in the answers of a reply."""
    for text in texts_of(endpoint, body):
        fault = judge.fault(text)
        if fault is not None:
            return fault
    return None


def _value(text: str) -> Any:
    """Raises `json.JSONDecodeError` for what is no JSON."""
    try:
        return _decode(text)
    except msgspec.DecodeError:
        # Halves of surrogate pairs are JSON too; NaN is not.
        return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise json.JSONDecodeError(name, name, 0)


def _affordable(measure: Measure, text: str, value: Any) -> bool:
    """Told from the text alone, where that is enough."""
    depth = text.count("{") + text.count("[")
    if depth > SHALLOW or measure.worst(depth)[0] * (len(text) // 2 + 1) > WORK_MAX:
        values_at = _shape(value)
        if values_at is None or measure.work(values_at) > WORK_MAX:
            return False
        depth = len(values_at) - 1
    return measure.worst(depth)[1] * len(text) <= PATTERN_WORK_MAX


def _shape(value: Any) -> list[int] | None:
    """How many values there are at each depth; None: too deep."""
    counts: list[int] = []
    level = [value]
    while level:
        if len(counts) > DEPTH_MAX:
            return None
        counts.append(len(level))
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        level = below
    return counts


def _told(error: Any) -> Fault:
    path = "".join(
        "/" + (step.replace("~", "~0").replace("/", "~1") if isinstance(step, str) else str(step))
        for step in error.instance_path
    )
    return Fault(_short(error.message, MESSAGE_MAX), _short(path, PATH_MAX))


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
