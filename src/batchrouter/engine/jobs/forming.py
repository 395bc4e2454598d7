"""One job as it takes shape: claimed shards are measured to the byte, and what one job can have of them is cut off.

The size must be exact, because most providers are told the length of the whole before its first byte; so every line is
encoded here once, and once more when it is sent.
"""

from __future__ import annotations

import logging

from batchrouter.domain import bitmap
from batchrouter.domain.fallback import moves_on
from batchrouter.domain.job import Job, line_key
from batchrouter.domain.job_plan import JobCut, JobLimits, too_large
from batchrouter.domain.job_step import JobMemo
from batchrouter.domain.output_line import id_prefix
from batchrouter.domain.retry import Kind
from batchrouter.domain.retry_wish import changes_of
from batchrouter.domain.shard import Claim, LaneMode
from batchrouter.domain.spend import Spend
from batchrouter.engine.fault import told
from batchrouter.engine.jobs.content import Spans, read_lines
from batchrouter.engine.jobs.lane import NativeLane
from batchrouter.engine.jobs.record import Home, of_refusal
from batchrouter.engine.jobs.tools import JobTools
from batchrouter.errors import BatchRouterError, LineRefused

log = logging.getLogger(__name__)


class FormingJob:
    """`full` once a line did not fit any more. `whole` is what the provider takes at most in one job, `limits` what
    this one may have; `alone`: nothing else is under way."""

    def __init__(
        self, tools: JobTools, native: NativeLane, limits: JobLimits, whole: JobLimits, *, alone: bool
    ) -> None:
        self._tools = tools
        self._native = native
        self._id = f"job_{tools.chance.hex(24)}"
        self._limits, self._alone = limits, alone
        self._spend: Spend | None = None
        self.cut = JobCut(limits, alone=alone)
        self._whole = whole
        self.full = False
        self._claims: list[Claim] = []
        self._mine: list[Claim] = []
        self._split: tuple[Claim, int] | None = None
        self.unfit = 0
        """Lines that went to real time, because no job can have them."""

    async def fill(self, batch_id: str) -> None:
        """Claim and measure until it is full, or nothing more waits."""
        while not self.full:
            claims = await self._tools.claim(self._native.lane.id, batch_id)
            if not claims:
                return
            self._claims += claims
            if self._spend is None:
                self._know(await self._tools.spendings.of(claims[0]))
            for claim in claims:
                await self._take(claim)
                if self.full:
                    return

    def _know(self, spend: Spend | None) -> None:
        """What the batch may still cost bounds the job too, before its first line."""
        self._spend = spend
        if spend is not None:
            self.cut = JobCut(self._limits._replace(nano=spend.room_nano), alone=self._alone)

    @property
    def must_wait(self) -> bool:
        """There is money for no line of it, and some that may come back."""
        return self.cut.poor and not self.cut.lines and self._spend is not None and self._spend.reserved_nano > 0

    async def hand_over(self, batch_id: str) -> int:
        """Write the job down; returns its lines, 0 when there are none, or when the batch is closing, or when others of
        the batch were quicker with its money."""
        tools, cut, spend = self._tools, self.cut, self._spend
        if self._split is not None:
            claim, rest = self._split
            self._mine.append(await tools.move(claim, rest, self._native.lane.key))
        if not self._mine:
            return 0
        now_ms = tools.clock.unix_ms()
        job = Job(
            id=self._id,
            batch_id=batch_id,
            lane_id=self._native.lane.id,
            lines=cut.lines,
            tokens=cut.tokens,
            bytes=cut.bytes,
            created_ms=now_ms,
            next_ms=now_ms,
            data=JobMemo(most_nano=cut.nano).data(),
        )
        pairs = [(claim.shard_id, claim.epoch) for claim in self._mine]
        if spend is not None and not spend.reserve(cut.nano):
            return 0
        intended = False
        try:
            intended = await tools.calls.write(tools.jobs.intend, tools.worker, job, pairs, now_ms)
        finally:
            if spend is not None and not intended:
                spend.give_back(cut.nano)
        if not intended:
            return 0
        tools.handed_over(self._mine)
        tools.spendings.on_job(batch_id, cut.nano, tools.clock.mono_s())
        log.info("%s of %s is intended: %d lines, %d bytes", job.id, batch_id, job.lines, job.bytes)
        return job.lines

    async def give_back(self) -> None:
        """What was claimed and not handed over."""
        await self._tools.give_back(self._claims)

    # --- one shard --------------------------------------------------------------------------------------------------

    async def _take(self, claim: Claim) -> None:
        places: list[int] = []
        sizes: list[int] = []
        tokens: list[int] = []
        nanos: list[int] = []
        refused: list[tuple[int, bytes, LineRefused]] = []
        unfit = 0
        setup = self._native.setup
        source = await self._tools.inputs.get(claim.input_blob_key, claim.input_index_key)
        spans = await Spans.of(source, claim.first_line, claim.lines)
        async for lines in read_lines(source, spans, claim.pending, changes_of(claim.retry)):
            for line in lines:
                try:
                    body = setup.wire.encode_batch(claim.endpoint, line.body).body
                    key = line_key(self._id, claim.first_line + line.place)
                    size = len(setup.lines.write(key, claim.endpoint, body))
                except LineRefused as error:
                    if self._may_run(claim.endpoint, line.body, spans.asked(line.place), error):
                        unfit |= 1 << line.place
                    else:
                        refused.append((line.place, line.custom_id, error))
                    continue
                except BatchRouterError:
                    raise
                except Exception as error:  # real time will find out what is wrong with it, and count its tries
                    log.error("a line of %s could not be put into a job (%s)", claim.batch_id, told(error))
                    unfit |= 1 << line.place
                    continue
                guess = self._native.guess.of(len(body), body.isascii())
                most = self._native.most(claim.endpoint, line.body, body) if self._spend is not None else 0
                if too_large(size, guess, self._whole) or most is None:
                    unfit |= 1 << line.place
                    continue
                places.append(line.place)
                sizes.append(size)
                tokens.append(guess)
                nanos.append(most)
        if refused:
            await self._fail(claim, refused)
        if unfit:
            log.info("%d lines of %s fit into no job; they run in real time", unfit.bit_count(), claim.batch_id)
            claim = await self._tools.move(claim, unfit, self._native.beside(LaneMode.REALTIME))
            self.unfit += unfit.bit_count()
        taken = self.cut.take(sizes, tokens, nanos)
        self.full = taken < len(places)
        if not taken:
            return
        if self.full:
            self._split = claim, bitmap.of(places[taken:])
        else:
            self._mine.append(claim)

    def _may_run(self, endpoint: str, body: bytes, asked: tuple[str, str], error: LineRefused) -> bool:
        """Whether a line that no batch of this provider takes can be run otherwise: by it in real time, or by the next
        of its chain."""
        if moves_on(Kind.LINE_FAULT, error.status, error.code) and self._native.leads_on(asked):
            return True
        try:
            self._native.setup.wire.encode(endpoint, body)
        except LineRefused:
            return False
        return True

    async def _fail(self, claim: Claim, refused: list[tuple[int, bytes, LineRefused]]) -> None:
        """What the provider cannot do is the line's outcome, as in real time."""
        prefix = id_prefix(claim.batch_id)
        for place, custom_id, error in refused:
            number = claim.first_line + place
            home = Home(prefix, number, claim.range_no, claim.shard_id, claim.epoch, self._native.lane.id)
            text, fields = of_refusal(home, custom_id, error)
            self._tools.journal.add(claim.batch_id, text, fields, 0)
        await self._tools.journal.drain(claim.batch_id)  # before the shard has another epoch
