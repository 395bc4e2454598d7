"""The line index: what the bytes of an input file say about each line, as a file beside it.

    header | record 0 | record 1 | … | duplicates bitmap | footer (JSON) | trailer

All parts are only ever appended, so an index can be streamed to an object store. The trailer has a fixed size and
tells where the footer begins. Endpoint, lane and unknown models are not decided here: they need the batch's endpoint
and the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

HEADER_BYTES = 16
RECORD_BYTES = 64
TRAILER_BYTES = 24


class IndexRecord(NamedTuple):
    """One line. Ids are places in the footer's tables, from 1; 0 means the line has no such value."""

    line: int  # physical line number, from 1
    offset: int  # of the line's first byte in the input
    length: int  # bytes, without the line end
    inputs: int  # embedding inputs; 0 unless the url is an embeddings path
    custom_id: int  # 64 bits of the hash of the custom_id's text; 0 without one
    body: bytes  # 16 bytes: xxh3-128 of the body's bytes as they stand
    prefix: int  # 64-bit hash of tools and leading system messages or instructions; 0 without any
    model: int
    url: int
    provider: int
    error: int  # a `LineFault`; 0 for a line that the bytes alone do not condemn
    got: int  # a `JsonType`: what stood where another type was wanted; 0 if that is not the fault
    flags: int  # `Flag` bits


class IndexTotals(msgspec.Struct, frozen=True):
    """Sums over a whole input file."""

    lines: int  # records: lines that are not blank
    errors: int  # records with an error of their own, duplicates included
    bytes: int  # of the input, all of it
    embedding_inputs: int
    first_line_is_json: bool  # False also for a file without lines; what the upload's format check asks


class IndexNames(msgspec.Struct, frozen=True):
    """The interned strings; entry 0 of each table is the empty string."""

    urls: tuple[str, ...]
    providers: tuple[str, ...]
    models: tuple[str, ...]


class IndexView:
    """An index opened from its end. The caller reads; this tells what to read and decodes it.

    view = IndexView(size, footer) where
    trailer = read(*IndexView.trailer_span(size)); footer = read(*IndexView.footer_span(size, trailer)).
    """

    totals: IndexTotals
    names: IndexNames

    @staticmethod
    def trailer_span(size: int) -> tuple[int, int]:
        """(offset, length) of the trailer in an index of `size` bytes. InputError if it is too short to be one."""
        raise NotImplementedError

    @staticmethod
    def footer_span(size: int, trailer: bytes) -> tuple[int, int]:
        """(offset, length) of bitmap and footer. InputError if this is no index or one of an unknown version."""
        raise NotImplementedError

    def __init__(self, footer: bytes) -> None:
        raise NotImplementedError

    def records_span(self, first: int, count: int) -> tuple[int, int]:
        """(offset, length) of up to `count` records from record `first` (from 0), cut at the last record."""
        raise NotImplementedError

    def records(self, data: bytes, first: int) -> Iterator[IndexRecord]:
        """The records in `data`, which was read at `records_span(first, …)`."""
        raise NotImplementedError
