"""What of a batch is not sent because its answer is known, or will be: kept of another batch, or that of an identical
line. Decided when the batch is planned, and again, to the same end, whenever the answers are copied."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from batchrouter.domain.line_set import LineSet
from batchrouter.domain.retry_wish import RetryWish
from batchrouter.domain.shard import Duty
from batchrouter.input import Input
from batchrouter.keeping import Answer, Keeping, followers
from batchrouter.ports.blobs import Blobs


class Unsent(NamedTuple):
    """None where there is no such line."""

    kept: LineSet | None
    followers: LineSet | None

    def has(self, line: int) -> bool:
        return (self.kept is not None and line in self.kept) or (self.followers is not None and line in self.followers)


class Reuse:
    def __init__(self, keeping: Keeping, blobs: Blobs) -> None:
        self._keeping = keeping
        self._blobs = blobs

    async def unsent(self, duty: Duty, source: Input) -> Unsent:
        """`source` is the batch's input."""
        kept = LineSet(source.totals.lines)
        async for answers in self.kept(duty, source):
            for answer in answers:
                kept.add(answer.line)
        following = LineSet(source.totals.lines)
        if duty.dedupe:
            leads_not = kept if duty.retry_of is not None else None
            async for pairs in followers(source, leads_not=leads_not, follows_not=kept):
                for line, _ in pairs:
                    following.add(line)
        return Unsent(kept if kept.count else None, following if following.count else None)

    async def kept(self, duty: Duty, source: Input) -> AsyncIterator[list[Answer]]:
        """Answers of the other batch that this one has for its own, in blocks."""
        if duty.retry_of is not None:
            async for told in self._keeping.retried(duty.retry_of, RetryWish.of(duty.retry), source):
                yield [answer for answer, again in told if not again]
        elif duty.resume_from is not None and duty.resume_index_key is not None:
            theirs = await Input.open(self._blobs, "", duty.resume_index_key)
            async for answers in self._keeping.matched(duty.resume_from, theirs, source):
                yield answers

    async def following(self, duty: Duty, source: Input) -> AsyncIterator[list[tuple[int, Answer]]]:
        """Lines of the batch, each with the end of the identical line that was sent, or kept, in its stead; those of
        which there is none are left out."""
        leads_not = None
        if duty.retry_of is not None:  # what is kept there is another time's answer
            leads_not = LineSet(source.totals.lines)
            async for answers in self.kept(duty, source):
                for answer in answers:
                    leads_not.add(answer.line)
        async for pairs in followers(source, leads_not=leads_not):
            leaders = await self._keeping.at(duty.batch_id, sorted({leader for _, leader in pairs}))
            yield [(line, leaders[leader]) for line, leader in pairs if leader in leaders]

    async def texts(self, batch_id: str, answers: list[Answer]) -> list[bytes]:
        return await self._keeping.texts(batch_id, answers)
