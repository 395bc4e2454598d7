"""The line index: what the bytes of an input file say about each line, as a file beside it.

    header | record 0 | record 1 | … | duplicates | footer (JSON) | trailer

All parts are only ever appended, so an index can be streamed to an object store; `duplicates` is a bitmap of the
records whose custom_id an earlier record has (empty if there are none), because that is known only at the end. The
trailer has a fixed size and tells where the rest begins. Endpoint, lane and unknown models are not decided here: they
need the batch's endpoint and the configuration.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from enum import IntFlag
from functools import partial
from typing import Any, NamedTuple

import msgspec

from batchrouter.domain.line_errors import LineFault
from batchrouter.errors import InputError

VERSION = 1
_MAGIC = b"BRINDEX\n"

_HEADER = struct.Struct("<8sHH4x")
RECORD = struct.Struct("<QQLLQ16sQHBBBBH")
RECORD_OF_DIGEST = struct.Struct("<QQLL8s16sQHBBBBH")
"""The same, where `custom_id` is still the first 8 bytes of its digest."""
_SPAN = struct.Struct("<8xQL")
_COLUMNS = struct.Struct("<8xQL4x8x16xQHxB2x2x")
"""Of a record: offset, length, prefix, model, provider."""
assert _COLUMNS.size == RECORD.size
_TRAILER = struct.Struct("<QQLHH8s")  # records, bytes of duplicates, bytes of footer, version, record size, magic

HEADER_BYTES = _HEADER.size
RECORD_BYTES = RECORD.size
TRAILER_BYTES = _TRAILER.size

HEADER = _HEADER.pack(_MAGIC, VERSION, RECORD_BYTES)


class IndexFlag(IntFlag):
    """What a line and its body have; a member that is null counts as absent."""

    STREAM = 1  # `stream` is true
    MESSAGES = 2
    INPUT = 4
    PROMPT = 8
    MODE_BATCH = 16  # the line's own `mode`: `batch` may run it; both bits are `auto`, none is a line without one
    MODE_REALTIME = 32


class IndexRecord(NamedTuple):
    """One line. `model`, `url` and `provider` are places in the footer's tables; 0 means the line has none, or one
    that is too long or one too many to be kept."""

    line: int  # physical line number, from 1
    offset: int  # of the line's first byte in the input
    length: int  # bytes, without the line end; the largest u32 for any longer line
    inputs: int  # embedding inputs; 0 unless the url ends with /embeddings
    custom_id: int  # 64 bits of the hash of the custom_id's text; 0 without a sound one
    body: bytes  # 16 bytes: xxh3-128 of the body's bytes as they stand; zeros without a body object
    prefix: int  # 64-bit hash of tools and leading system messages or instructions; 0 without any
    model: int
    url: int
    provider: int
    error: int  # a `LineFault`; 0 for a line that its bytes alone do not condemn
    got: int  # a `JsonType`: what stood where another type was wanted; 0 if that is not the fault
    flags: int  # `IndexFlag` bits


# IndexRecord._make without its call into Python: twice as quick.
_make_record: Callable[[tuple[Any, ...]], IndexRecord] = partial(tuple.__new__, IndexRecord)


class IndexColumns(NamedTuple):
    """The same as in `IndexRecord`, one entry a line."""

    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    prefixes: tuple[int, ...]
    models: tuple[int, ...]
    providers: tuple[int, ...]


class IndexTotals(msgspec.Struct, frozen=True):
    """Sums over a whole input file."""

    lines: int  # records: lines that are not blank
    errors: int  # records with a fault of their own, duplicates included
    bytes: int  # of the input, all of it
    embedding_inputs: int
    first_line_is_object: bool  # a JSON object, whatever is in it; what the upload's format check asks


class IndexNames(msgspec.Struct, frozen=True):
    """The interned strings; entry 0 of each table is the empty string."""

    urls: tuple[str, ...]
    providers: tuple[str, ...]
    models: tuple[str, ...]


class _Footer(msgspec.Struct):
    totals: IndexTotals
    names: IndexNames


_encoder = msgspec.json.Encoder()
_footer_decoder = msgspec.json.Decoder(_Footer)


def pack_tail(totals: IndexTotals, names: IndexNames, duplicates: bytes) -> bytes:
    """Everything after the last record. `duplicates` holds one bit for each record, low bits first, or is empty."""
    footer = _encoder.encode(_Footer(totals, names))
    trailer = _TRAILER.pack(totals.lines, len(duplicates), len(footer), VERSION, RECORD_BYTES, _MAGIC)
    return b"".join((duplicates, footer, trailer))


class IndexView:
    """An index opened from its end. The caller reads; this tells what to read and decodes it.

    trailer = read(*IndexView.trailer_span(size))
    view = IndexView(trailer, read(*IndexView.tail_span(size, trailer)))
    offset, length = view.records_span(first, count)
    records = view.records(first, read(offset, length))
    """

    @staticmethod
    def trailer_span(size: int) -> tuple[int, int]:
        """(offset, length) of the trailer in an index of `size` bytes. InputError if it is too short to be one."""
        if size < HEADER_BYTES + TRAILER_BYTES:
            raise InputError(f"A line index of {size} bytes is cut short; index the file again.")
        return size - TRAILER_BYTES, TRAILER_BYTES

    @staticmethod
    def tail_span(size: int, trailer: bytes) -> tuple[int, int]:
        """(offset, length) of duplicates and footer. InputError if this is no index, or not of this version."""
        lines, duplicates, footer, version, record_bytes, magic = _TRAILER.unpack(trailer)
        if magic != _MAGIC:
            raise InputError("This is no line index, or it was cut short; index the file again.")
        if version != VERSION or record_bytes != RECORD_BYTES:
            raise InputError(f"The line index has version {version}, this program reads {VERSION}; index again.")
        offset = HEADER_BYTES + lines * RECORD_BYTES
        length = duplicates + footer
        if offset + length + TRAILER_BYTES != size:
            raise InputError("The line index does not have the length that it tells; index the file again.")
        return offset, length

    def __init__(self, trailer: bytes, tail: bytes) -> None:
        duplicates = _TRAILER.unpack(trailer)[1]
        try:
            footer = _footer_decoder.decode(tail[duplicates:])
        except msgspec.DecodeError as error:
            raise InputError("The footer of the line index cannot be read; index the file again.") from error
        self._duplicates = tail[:duplicates]
        self.totals: IndexTotals = footer.totals
        self.names: IndexNames = footer.names

    def records_span(self, first: int, count: int) -> tuple[int, int]:
        """(offset, length) of up to `count` records from record `first` (from 0); cut at the last record."""
        count = max(0, min(count, self.totals.lines - first))
        return HEADER_BYTES + first * RECORD_BYTES, count * RECORD_BYTES

    def records(self, first: int, data: bytes) -> Iterator[IndexRecord]:
        """The records in `data`, which was read at `records_span(first, …)`."""
        records = map(_make_record, RECORD.iter_unpack(data))
        return self._mark_duplicates(first, records) if self._duplicates else records

    @staticmethod
    def columns(data: bytes) -> IndexColumns:
        """What dispatch needs of the records in `data`, by column: at a tenth of what the records themselves cost."""
        columns = tuple(zip(*_COLUMNS.iter_unpack(data), strict=True))
        return IndexColumns(*columns) if columns else IndexColumns((), (), (), (), ())

    @staticmethod
    def span(data: bytes) -> tuple[int, int]:
        """(offset, length) of the line whose record this is. InputError if it is none."""
        if len(data) != RECORD_BYTES:
            raise InputError("The line index is shorter than it tells; upload the file again.")
        return _SPAN.unpack_from(data)

    def _mark_duplicates(self, first: int, records: Iterable[IndexRecord]) -> Iterator[IndexRecord]:
        bits = self._duplicates
        for place, record in enumerate(records, first):
            if bits[place >> 3] >> (place & 7) & 1 and not record.error:
                record = record._replace(error=LineFault.DUPLICATE_CUSTOM_ID)
            yield record
