"""The lines of a job: read from their input, in the form in which the provider takes them, never all in memory."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from batchrouter.domain import bitmap
from batchrouter.domain.body_change import changed
from batchrouter.domain.job import Job, JobShard, line_key
from batchrouter.domain.job_plan import LINE_END
from batchrouter.domain.line import decode_line
from batchrouter.domain.line_index import IndexColumns, IndexNames
from batchrouter.engine.setup import NativeSetup
from batchrouter.errors import InputError, LineRefused, StaleLease
from batchrouter.input import Input

READ_LINES, READ_BYTES = 64, 256 * 1024
"""What is read, and encoded before the event loop turns, at a time; one line at least, however large."""


class Line(NamedTuple):
    """`custom_id` is a JSON string token, as it stands in the output."""

    place: int
    custom_id: bytes
    body: bytes


class Spans:
    """Where a range's lines lie, and what they ask for."""

    __slots__ = ("_models", "_names", "_offsets", "_providers", "lengths")

    def __init__(self, columns: IndexColumns, names: IndexNames) -> None:
        self._names = names
        self._offsets = array("Q", columns.offsets)
        self.lengths = array("I", columns.lengths)
        self._models = array("H", columns.models)
        self._providers = array("B", columns.providers)

    @classmethod
    async def of(cls, source: Input, first_line: int, lines: int) -> Spans:
        return cls(await source.columns(first_line, lines), source.names)

    def at(self, place: int) -> tuple[int, int]:
        """(offset, length)."""
        return self._offsets[place], self.lengths[place]

    def asked(self, place: int) -> tuple[str, str]:
        """(provider field, model) as the line has them."""
        return self._names.providers[self._providers[place]], self._names.models[self._models[place]]


async def read_lines(
    source: Input, spans: Spans, members: int, changes: Mapping[str, object]
) -> AsyncIterator[list[Line]]:
    """The lines of one range whose bits are set, in order, a bounded number at a time, with these changes in their
    bodies (`domain.body_change`)."""
    for places in _portions(spans, bitmap.members(members)):
        texts = await source.lines([spans.at(place) for place in places])
        lines = [Line(place, *decode_line(text)) for place, text in zip(places, texts, strict=True)]
        yield [line._replace(body=changed(line.body, changes)) for line in lines] if changes else lines


def _portions(spans: Spans, places: Iterable[int]) -> Iterable[list[int]]:
    some: list[int] = []
    size = 0
    for place in places:
        if some and (len(some) == READ_LINES or size + spans.lengths[place] > READ_BYTES):
            yield some
            some, size = [], 0
        some.append(place)
        size += spans.lengths[place]
    if some:
        yield some


class JobContent:
    """What is sent of a job, once: an async iterable of lines without line ends, of which the number and size were
    announced. It breaks off with `StaleLease` where `held` no longer says that the job is still this worker's to make:
    a machine that slept in the middle of an upload must not end it.

    `whole` once the last line was taken: until then nobody can have made a job of it. `error` is what ended it before
    that, if it was ours; `changed`: its lines are not those that were planned (another configuration, say).
    """

    def __init__(
        self,
        job: Job,
        setup: NativeSetup,
        endpoint: str,
        source: Input,
        shards: Sequence[JobShard],
        changes: Mapping[str, object],
        held: Callable[[], bool],
    ) -> None:
        self._held = held
        self._job = job
        self._setup = setup
        self._endpoint = endpoint
        self._source = source
        self._shards = shards
        self._changes = changes
        self.whole = False
        self.changed = False
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        job, count, size = self._job, 0, 0
        try:
            async for line in self._lines():
                count += 1
                size += len(line) + LINE_END
                if count > job.lines or size > job.bytes:
                    break
                yield line
                self._check()
            if (count, size) != (job.lines, job.bytes):
                raise InputError(f"the lines of {job.id} are not those that were planned")
        except Exception as error:
            self.changed = isinstance(error, (InputError, LineRefused))
            self.error = error
            raise
        self.whole = True

    def _check(self) -> None:
        if not self._held():
            raise StaleLease(f"the lease lapsed while {self._job.id} was submitted")

    async def _lines(self) -> AsyncGenerator[bytes, None]:
        wire, write = self._setup.wire, self._setup.lines.write
        for shard in self._shards:
            spans = await Spans.of(self._source, shard.first_line, shard.lines)
            async for lines in read_lines(self._source, spans, shard.members & ~shard.done, self._changes):
                for line in lines:
                    key = line_key(self._job.id, shard.first_line + line.place)
                    yield write(key, self._endpoint, wire.encode_batch(self._endpoint, line.body).body)
