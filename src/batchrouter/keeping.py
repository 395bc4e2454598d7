"""Answers of a batch that ended, for another to keep: which lines of it, found by line or by what was asked.

Everything is told in blocks of bounded size, so that it costs the same memory whatever the batches' size, and always
the same way: a batch never changes once it is final, so that whoever asks again after a crash hears the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

from batchrouter.domain.line_index import IndexRecord
from batchrouter.domain.line_set import LineSet
from batchrouter.domain.outcome import RECORD, Outcome, Record
from batchrouter.domain.retry_wish import RetryWish
from batchrouter.domain.settled_line import custom_id_of
from batchrouter.input import Input
from batchrouter.line_store import LineStore
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.results import RangeView, Results, SegmentView

RANGES_TOGETHER = 8
GROUP_BYTES, GROUP_LINES = 256 * 1024, 1_000
"""Lines whose bytes are looked at are read in groups of about this size; a longer line passes alone."""
KEYS_MAX = 200_000
"""Lines that are known by what they ask at a time: some 50 MiB. A longer file is walked through several times."""

Key = tuple[int, bytes]


class Answer(NamedTuple):
    """A settled line: `line` is its number in the batch that keeps it."""

    line: int
    record: Record
    segment: SegmentView


class Keeping:
    def __init__(self, results: Results, calls: Calls, blobs: Blobs) -> None:
        self._results = results
        self._calls = calls
        self._lines = LineStore(results, calls, blobs)

    async def texts(self, batch_id: str, answers: Sequence[Answer]) -> list[bytes]:
        """The lines of the batch's files, newline included."""
        return await self._lines.lines(batch_id, [(answer.segment, answer.record) for answer in answers])

    async def at(self, batch_id: str, lines: Sequence[int]) -> dict[int, Answer]:
        """By line, of those that are settled; `lines` ascend."""
        found: dict[int, Answer] = {}
        done = 0
        while done < len(lines):
            homes = await self._calls.read(self._results.ranges_from, batch_id, lines[done], RANGES_TOGETHER)
            if not homes:
                break
            end, wanted, touched = homes[-1].first_line + homes[-1].lines, set[int](), dict[int, RangeView]()
            place = 0
            while done < len(lines) and lines[done] < end:
                while lines[done] >= homes[place].first_line + homes[place].lines:
                    place += 1
                wanted.add(lines[done])
                touched[homes[place].range_no] = homes[place]
                done += 1
            for answer in await self._of(batch_id, list(touched.values())):
                if answer.line in wanted:
                    found[answer.line] = answer
        return found

    async def retried(self, batch_id: str, wish: RetryWish, source: Input) -> AsyncIterator[list[tuple[Answer, bool]]]:
        """Every line, in input order: whether it is to be sent again. `source` is the batch's input."""
        line = 0
        while homes := await self._calls.read(self._results.ranges_from, batch_id, line, RANGES_TOGETHER):
            answers = await self._of(batch_id, homes)
            again = set[int]()
            looked = [answer for answer in answers if wish.again.may_take(answer.record)]
            if wish.again.by_record:
                again.update(answer.line for answer in looked)
            else:
                for group in _groups(looked):
                    again.update(await self._chosen(batch_id, wish, source, group))
            yield [(answer, answer.line in again) for answer in answers]
            line = homes[-1].first_line + homes[-1].lines

    async def matched(self, batch_id: str, theirs: Input, ours: Input) -> AsyncIterator[list[Answer]]:
        """Lines of `ours` that a line of `theirs`, the input of that batch, was answered for: with the same custom_id,
        url, provider and model, and the same body byte for byte, as far as 128 bits of its hash tell. Each told once,
        in blocks; not in their order where the inputs are long."""
        urls = _places(ours.names.urls, theirs.names.urls)
        providers = _places(ours.names.providers, theirs.names.providers)
        models = _places(ours.names.models, theirs.names.models)
        passes = 1 + theirs.totals.lines // KEYS_MAX
        for turn in range(passes):
            known: dict[Key, tuple[int, int, int, int]] = {}
            line = 0
            async for records in theirs.slices():
                for number, each in enumerate(records, line):
                    if each.custom_id % passes == turn and not each.error:
                        known[each.custom_id, each.body] = (number, each.url, each.provider, each.model)
                line += len(records)
            line = 0
            async for records in ours.slices():
                pairs: dict[int, int] = {}
                for number, each in enumerate(records, line):
                    found = known.get((each.custom_id, each.body)) if not each.error else None
                    if found is not None and found[1:] == (
                        urls.get(each.url),
                        providers.get(each.provider),
                        models.get(each.model),
                    ):
                        pairs[number] = found[0]
                answers = await self.at(batch_id, sorted(set(pairs.values())))
                kept = [
                    answers[there]._replace(line=number)
                    for number, there in pairs.items()
                    if there in answers and answers[there].record.outcome == Outcome.SUCCEEDED
                ]
                if kept:
                    yield kept
                line += len(records)

    async def _chosen(self, batch_id: str, wish: RetryWish, source: Input, group: Sequence[Answer]) -> list[int]:
        texts = await self.texts(batch_id, group)
        requests: list[bytes] | list[None] = [None] * len(group)
        if wish.again.reads_requests:
            records = await records_of(source, [answer.line for answer in group])
            requests = await source.lines([(each.offset, each.length) for each in records])
        await asyncio.sleep(0)
        return [
            answer.line
            for answer, text, request in zip(group, texts, requests, strict=True)
            if wish.again.takes(answer.record, text, request, custom_id_of(text))
        ]

    async def _of(self, batch_id: str, homes: Sequence[RangeView]) -> list[Answer]:
        """The settled lines of these ranges, in input order."""
        spans = [(home.first_line, home.first_line + home.lines) for home in homes]
        numbers = {number for first, end in spans for number in range(first, end)}
        seqs = sorted({seq for home in homes for seq in home.segment_seqs})
        found = []
        for view, packed in (await self._lines.named(batch_id, seqs)).values():
            for number, fields in enumerate(RECORD.iter_unpack(packed)):
                if fields[0] in numbers and view.admitted >> number & 1:
                    found.append(Answer(fields[0], Record._make(fields), view))
        found.sort(key=_line_of)
        return found


async def followers(
    source: Input, *, leads_not: LineSet | None = None, follows_not: LineSet | None = None
) -> AsyncIterator[list[tuple[int, int]]]:
    """(line, the first line like it): lines that ask what an earlier one asks, with the same url, body, provider and
    model. `leads_not` have answers of another kind, and `follows_not` their own. Told in blocks; not in their order
    where the input is long."""
    passes = 1 + source.totals.lines // KEYS_MAX
    for turn in range(passes):
        first: dict[tuple[bytes, int, int, int], int] = {}
        line = 0
        async for records in source.slices():
            pairs = []
            for number, each in enumerate(records, line):
                if each.error or each.body[0] % passes != turn or (leads_not is not None and number in leads_not):
                    continue
                leader = first.setdefault((each.body, each.url, each.provider, each.model), number)
                if leader != number and (follows_not is None or number not in follows_not):
                    pairs.append((number, leader))
            if pairs:
                yield pairs
            line += len(records)


async def records_of(source: Input, lines: Sequence[int]) -> list[IndexRecord]:
    """The records of these lines, which are not far apart."""
    first = min(lines)
    records = await source.records(first, max(lines) - first + 1)
    return [records[line - first] for line in lines]


def _places(ours: Sequence[str], theirs: Sequence[str]) -> dict[int, int]:
    """Where a name of our table stands in theirs."""
    known = {name: place for place, name in enumerate(theirs)}
    return {place: known[name] for place, name in enumerate(ours) if name in known}


def _groups(answers: Sequence[Answer]) -> Iterator[list[Answer]]:
    group: list[Answer] = []
    size = 0
    for answer in answers:
        if group and (size + answer.record.length > GROUP_BYTES or len(group) == GROUP_LINES):
            yield group
            group, size = [], 0
        group.append(answer)
        size += answer.record.length
    if group:
        yield group


def _line_of(answer: Answer) -> int:
    return answer.line
