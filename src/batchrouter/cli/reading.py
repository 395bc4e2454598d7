"""One pass over an input before it is sent: its size and hash, its endpoint, and what is wrong with its lines as far as
that can be seen without a server's configuration. In bounded memory, however long it is."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from batchrouter.bootstrap.local import scratch_in
from batchrouter.cli.line_file import LocalIndex, index_into
from batchrouter.cli.source import Source
from batchrouter.domain.batch import BatchError
from batchrouter.domain.planning import NO_GROUP
from batchrouter.domain.routing import RouteProvider, Router
from batchrouter.domain.validation import BatchLimits, Validation
from batchrouter.errors import InputError

LINE_BYTES = 64 * 1024 * 1024
NO_LIMIT = 2**53
ERRORS_KEPT = 20
ANY = "any"


@dataclass(frozen=True, slots=True)
class InputRead:
    """`digest` is the SHA-256 of the bytes, in hex. Of `errors` the first are kept, `error_count` counts all."""

    bytes: int
    digest: str
    lines: int
    endpoint: str
    errors: tuple[BatchError, ...] = ()
    error_count: int = 0


def read_input(source: Source, endpoint: str | None, *, check: bool) -> InputRead:
    """`endpoint` None: the one that the lines name. Raises `InputError` when they name none, or several."""
    digest, size = hashlib.sha256(), 0

    def noting(chunks: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal size
        for data in chunks:
            digest.update(data)
            size += len(data)
            yield data

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile(dir=folder) as file:
        scratch = scratch_in(Path(folder))
        try:
            index = index_into(noting(source.chunks()), file, scratch, LINE_BYTES)
            lines = index.totals.lines
            found = _endpoint(source, index) if endpoint is None else endpoint
            errors = _errors(index, found) if check else iter(())
            kept = tuple(error for _, error in zip(range(ERRORS_KEPT), errors, strict=False))
            more = sum(1 for _ in errors)
        finally:
            scratch.close()
    return InputRead(size, digest.hexdigest(), lines, found, kept, len(kept) + more)


def any_router(named: tuple[str, ...]) -> Router:
    """Where nothing is configured nothing can be missing: every provider that a line names serves everything."""
    providers = [RouteProvider(name, "openai", aggregator=True) for name in {ANY, *named}]
    return Router(providers, {}, ANY)


def _endpoint(source: Source, index: LocalIndex) -> str:
    urls = index.names.urls[1:]
    if not urls:
        raise InputError(f"{source.name}: no line has a url, and no --endpoint is given. {source.hint}".rstrip())
    if len(urls) > 1:
        raise InputError(
            f"{source.name}: its lines have {len(urls)} urls ({', '.join(urls[:3])}); a batch has one. Split the file, "
            "or name the endpoint with --endpoint to see which lines differ"
        )
    return urls[0]


def _errors(index: LocalIndex, endpoint: str) -> Iterator[BatchError]:
    limits = BatchLimits(NO_LIMIT, NO_LIMIT, NO_LIMIT, NO_LIMIT)  # how much is too much the server knows
    validation = Validation(index.names, index.totals, endpoint, any_router(index.names.providers[1:]), limits, None)
    for records in index.slices():
        if NO_GROUP in validation.feed(records):
            yield from validation.errors_of(records)
    if not index.totals.lines:
        yield BatchError(code="empty_file", message="The input file has no lines.")
