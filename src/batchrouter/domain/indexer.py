"""Make the line index while the input streams past: each line is parsed once."""

from __future__ import annotations

from xxhash import xxh3_128_digest

from batchrouter.domain.duplicates import MEMORY_LINES, DuplicateFinder, MemorySpill, Spill
from batchrouter.domain.jsonl import MAX_LINE_BYTES, LineReader, RawLine
from batchrouter.domain.line_errors import MAX_CUSTOM_ID_BYTES, MAX_NAME_BYTES, JsonType, LineFault
from batchrouter.domain.line_index import HEADER, RECORD_OF_DIGEST, IndexNames, IndexTotals, pack_tail
from batchrouter.domain.parsed_line import (
    Condemned,
    embedding_inputs_of,
    flags_of,
    mode_flags_of,
    parse_body,
    parse_line,
    prefix_hash_of,
)

MAX_MODELS = 4096
MAX_URLS = 255
MAX_PROVIDERS = 255

_NO_BODY = bytes(16)
_U32_MAX = 2**32 - 1
_NO_OBJECTS = frozenset((LineFault.INVALID_JSON, LineFault.NOT_AN_OBJECT))
# A member of an enum costs a search each time, and these are asked for at each line.
_SOUND, _NOTHING_GOT = LineFault.NONE, JsonType.NONE
_URL_TOO_LONG, _MODEL_TOO_LONG = LineFault.URL_MISMATCH, LineFault.MODEL_TOO_LONG


class Indexer:
    """Input bytes in, index bytes out: append what `feed` and `finish` return to one file, in order.

    Nothing in the input raises: what is wrong with a line stands in its record. Up to `memory_lines` ids are kept in
    memory; beyond, they go to `spill`, whose errors pass through.
    """

    def __init__(
        self, spill: Spill | None = None, *, max_line_bytes: int = MAX_LINE_BYTES, memory_lines: int = MEMORY_LINES
    ) -> None:
        self._reader = LineReader(max_line_bytes)
        self._ids = DuplicateFinder(MemorySpill() if spill is None else spill, memory_lines)
        self._urls = _Names(MAX_URLS)
        self._providers = _Names(MAX_PROVIDERS)
        self._models = _Names(MAX_MODELS)
        self._header = HEADER
        self._bytes = 0
        self._lines = 0
        self._errors = 0
        self._embedding_inputs = 0
        self._first_line_is_object = False

    def feed(self, data: bytes) -> bytes:
        """Index bytes to append; may be empty. Chunks of 64 KiB to 1 MiB are quickest."""
        self._bytes += len(data)
        return self._index(self._reader.feed(data))

    def finish(self) -> bytes:
        """The last index bytes: the last line, the duplicates, the footer. Nothing may be fed after it."""
        last = self._index(self._reader.close())
        duplicates = self._mark_duplicates()
        names = IndexNames(self._urls.table(), self._providers.table(), self._models.table())
        return last + pack_tail(self.totals, names, duplicates)

    @property
    def totals(self) -> IndexTotals:
        """Sums over what was fed; duplicates count only after `finish`."""
        return IndexTotals(
            lines=self._lines,
            errors=self._errors,
            bytes=self._bytes,
            embedding_inputs=self._embedding_inputs,
            first_line_is_object=self._first_line_is_object,
        )

    def _index(self, lines: list[RawLine]) -> bytes:
        header, self._header = self._header, b""
        return header + b"".join(map(self._record, lines))

    def _record(self, raw: RawLine) -> bytes:
        """The packed record of one line. What was found before a fault is kept."""
        custom_id, digest, body_hash = b"", b"", _NO_BODY
        inputs = prefix = model = url = provider = flags = 0
        length, fault, got = raw.length, _SOUND, _NOTHING_GOT
        try:
            if raw.data is None:
                length = min(length, _U32_MAX)
                raise Condemned(LineFault.LINE_TOO_LONG)
            line = parse_line(raw.data)
            custom_id = _check_custom_id(line.custom_id)
            digest = xxh3_128_digest(custom_id)
            if line.method != "POST":
                raise Condemned(LineFault.METHOD_NOT_POST)
            url = self._urls.places.get(line.url) or self._urls.add(line.url, _URL_TOO_LONG)
            if line.provider:
                provider = self._providers.places.get(line.provider) or self._providers.add(
                    line.provider, LineFault.PROVIDER_TOO_LONG
                )
            mode = 0 if line.mode is None else mode_flags_of(line.mode)
            body = parse_body(line.body)
            body_hash = xxh3_128_digest(line.body)
            flags = flags_of(body) | mode
            if body.model:
                model = self._models.places.get(body.model) or self._models.add(body.model, _MODEL_TOO_LONG)
            if line.url.endswith("/embeddings"):
                inputs = embedding_inputs_of(body)
                self._embedding_inputs += inputs
            prefix = prefix_hash_of(body)
        except Condemned as condemned:
            fault, got = condemned.fault, condemned.got
        except RecursionError:
            fault = LineFault.TOO_DEEP
        if fault:
            self._errors += 1
        if digest:
            self._ids.add(custom_id, digest, self._lines << 1 | (fault != 0))
        if not self._lines:
            self._first_line_is_object = fault not in _NO_OBJECTS
        self._lines += 1
        return RECORD_OF_DIGEST.pack(
            raw.number,
            raw.offset,
            length,
            inputs,
            digest[:8],
            body_hash,
            prefix,
            model,
            url,
            provider,
            fault,
            got,
            flags,
        )

    def _mark_duplicates(self) -> bytes:
        """The bitmap of the records that repeat an id; empty if there are none. Counts them as errors."""
        bits = bytearray()
        for tag in self._ids.repeats():
            if not bits:
                bits = bytearray((self._lines + 7) // 8)
            place, had_fault = tag >> 1, tag & 1
            bits[place >> 3] |= 1 << (place & 7)
            self._errors += not had_fault
        return bytes(bits)


class _Names:
    """Interned strings, with their `places` from 1; entry 0 is the empty string. Their number and size are bounded."""

    def __init__(self, limit: int) -> None:
        self.places: dict[str, int] = {}
        self._limit = limit

    def add(self, name: str, too_long: LineFault) -> int:
        """One that has no place yet; returns it. Raises `Condemned`."""
        if len(name.encode()) > MAX_NAME_BYTES:
            raise Condemned(too_long)
        if len(self.places) == self._limit:
            raise Condemned(LineFault.TOO_MANY_NAMES)
        place = self.places[name] = len(self.places) + 1
        return place

    def table(self) -> tuple[str, ...]:
        return ("", *self.places)


def _check_custom_id(text: str) -> bytes:
    custom_id = text.encode()
    if not custom_id:
        raise Condemned(LineFault.CUSTOM_ID_EMPTY)
    if len(custom_id) > MAX_CUSTOM_ID_BYTES:
        raise Condemned(LineFault.CUSTOM_ID_TOO_LONG)
    return custom_id
