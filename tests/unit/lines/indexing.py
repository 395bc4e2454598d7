"""Make an index from bytes and read it back, as a caller with files would."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise

from batchrouter.domain.duplicates import Spill
from batchrouter.domain.indexer import Indexer
from batchrouter.domain.line_index import IndexRecord, IndexView


def line(**changes: object) -> bytes:
    """A sound chat line; a member set to `...` is left out."""
    members: dict[str, object] = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    }
    members.update(changes)
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


def file_of(*lines: bytes) -> bytes:
    return b"".join(one + b"\n" for one in lines)


def chunks_of(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def index_of(chunks: Iterable[bytes], spill: Spill | None = None, **bounds: int) -> bytes:
    indexer = Indexer(spill, **bounds)
    return b"".join([*map(indexer.feed, chunks), indexer.finish()])


def open_index(index: bytes) -> IndexView:
    def read(span: tuple[int, int]) -> bytes:
        return index[span[0] : span[0] + span[1]]

    trailer = read(IndexView.trailer_span(len(index)))
    return IndexView(trailer, read(IndexView.tail_span(len(index), trailer)))


def records_of(index: bytes, first: int = 0, count: int = 1_000_000) -> list[IndexRecord]:
    view = open_index(index)
    offset, length = view.records_span(first, count)
    return list(view.records(first, index[offset : offset + length]))
