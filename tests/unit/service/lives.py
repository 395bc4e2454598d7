"""A batch that lives through the ports, with real lines, a real input file, and the engine's own fold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from batchrouter.adapters.blobs import MemoryBlobs
from batchrouter.adapters.clock import RealChance
from batchrouter.adapters.memory.clock import StepClock
from batchrouter.adapters.threads import InlineCalls
from batchrouter.domain.file import FileRole
from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.outcome import GAP_SHARD, Finish, Flag, Outcome, Record, pack, tail
from batchrouter.domain.output_line import error_line, gap_line, id_prefix, response_line
from batchrouter.domain.shard import Claim, SegmentDraft
from batchrouter.domain.tenant import Role
from batchrouter.engine.fold import Folder
from batchrouter.engine.traffic import Traffic
from batchrouter.ports.meters import Meters
from batchrouter.service.caller import Caller
from batchrouter.service.content import Content
from batchrouter.service.intake import Intake, MemoryScratch
from batchrouter.service.line_filter import asked_filter
from batchrouter.service.line_scan import Cursor, Order
from batchrouter.service.results import Line, LineResults, ResultPage, Wanted
from tests.conformance.scene import FAST, TENANT, WINDOW_MS, Scene, Store, a_plan

BATCH = "batch_" + "ab" * 16
PREFIX = id_prefix(BATCH)
CALLER = Caller(key_id="key", tenant_id=TENANT, role=Role.USER)


def custom_id(line: int) -> str:
    return f"ïd-{line}"


def request_line(line: int) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": f"What of {line}? Straße"}]}
    whole = {"custom_id": custom_id(line), "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(whole).encode()


def result_line(line: int, outcome: Outcome, size: int) -> bytes:
    token = json.dumps(custom_id(line)).encode()
    if outcome in (Outcome.EXPIRED, Outcome.CANCELLED):
        return gap_line(PREFIX, line, token, outcome)
    if outcome is Outcome.FAILED and line % 2:
        return error_line(PREFIX, line, token, b'{"code":"stuck","message":"It is stuck."}')
    body: dict[str, Any] = {"choices": [{"message": {"content": f"Answer {line} " + "é" * size}}]}
    if outcome is Outcome.FAILED:
        body = {"error": {"type": "invalid_request_error", "message": "x" * size, "code": None}}
    status = 200 if outcome is Outcome.SUCCEEDED else 400
    return response_line(PREFIX, line, 1, token, status, json.dumps(body, ensure_ascii=False).encode(), None)


class Life:
    def __init__(self, store: Store, ranges: Sequence[int]) -> None:
        self.scene = Scene(store)
        self.blobs = MemoryBlobs(StepClock())
        self.clock = StepClock()
        self.calls = InlineCalls()
        self.total = sum(ranges)
        self.told: dict[int, bytes] = {}
        """The line of each that is settled."""
        self.order: list[int] = []
        """Lines as they were settled."""
        self.segments = 0
        self.worker = self.scene.worker()
        asyncio.run(self._upload())
        self.scene.running(BATCH, ranges)
        self.claims = {claim.range_no: claim for claim in self.scene.claim(self.worker, BATCH)}
        self.reborn()

    def reborn(self) -> None:
        """As after a restart: nothing is known in memory."""
        self.results = LineResults(self.scene.store.results, self.calls, self.blobs, self.clock)

    def claim_of(self, line: int) -> Claim:
        return next(each for each in self.claims.values() if 0 <= line - each.first_line < each.lines)

    def settle(self, lines: Sequence[tuple[int, Outcome, int]], *, inline: bool = True, flags: int = 0) -> None:
        """A segment with these (line, outcome, size of the answer). Lines that are settled do not count again."""
        entries = []
        for line, outcome, size in lines:
            claim = self.claim_of(line)
            entries.append((line, outcome, result_line(line, outcome, size), claim.shard_id, claim.epoch))
        self._settle(entries, inline, None, flags)

    def _settle(
        self, entries: Sequence[tuple[int, Outcome, bytes, int, int]], inline: bool, duty: int | None, flags: int
    ) -> None:
        body, records = bytearray(), []
        for line, outcome, data, shard, epoch in entries:
            good, gap = outcome is Outcome.SUCCEEDED, shard == GAP_SHARD
            records.append(
                Record(
                    line=line, range_no=self.claim_of(line).range_no, shard=shard, epoch=epoch, outcome=int(outcome),
                    finish=int(Finish.STOP if good else Finish.NONE), status=200 if good else 0 if gap else 400,
                    attempts=0 if gap else 1, flags=flags, latency_ms=0 if gap else 12,
                    lane=0 if gap else self.claim_of(line).lane_id, tokens_in=9 if good else 0, tokens_cached=0,
                    tokens_out=3 if good else 0, tokens_reasoning=0, offset=len(body), length=len(data),
                )
            )  # fmt: skip
            body += data
        whole = bytes(body) + pack(records) + tail(len(records))
        self.segments += 1
        key = f"segments/{BATCH}/{self.segments}"
        if not inline:
            asyncio.run(self.blobs.put(key, [whole]))
        draft = SegmentDraft(
            batch_id=BATCH, length=len(whole), records=pack(records), data=whole if inline else None,
            blob_key=None if inline else key, duty_epoch=duty,
        )  # fmt: skip
        settled = self.scene.ledger.settle(self.worker, draft, self.scene.now)
        for place, (line, _, data, _, _) in enumerate(entries):
            if settled.admitted >> place & 1:
                self.told[line] = data
                self.order.append(line)

    def fold(self) -> int:
        """What may be folded now, as the engine does it."""
        self.clock.skew_wall(200_000)
        folder = Folder(self.scene.ledger, self.calls, self.blobs, self.clock, RealChance(), Traffic(Meters()))
        return asyncio.run(folder.run_once())

    def finish(self, outcome: Outcome = Outcome.EXPIRED) -> None:
        """Close; lines without an end get `outcome`."""
        events = {Outcome.EXPIRED: BatchEvent.EXPIRE, Outcome.CANCELLED: BatchEvent.CANCEL}
        missing = [line for line in range(self.total) if line not in self.told]
        if missing and outcome is Outcome.EXPIRED:
            self.scene.now += WINDOW_MS
            self.scene.worker()
        duty = self.scene.closed(self.worker, BATCH, events[outcome] if missing else BatchEvent.COMPLETE)
        self.scene.ledger.seal(self.worker, duty)
        entries = [(line, outcome, result_line(line, outcome, 0), GAP_SHARD, duty.duty_epoch) for line in missing]
        if entries:
            self._settle(entries, True, duty.duty_epoch, 0)
        assert self.scene.finish(self.worker, duty)

    # --- reading --------------------------------------------------------------------------------------------------

    def page(
        self,
        after: str | None = None,
        order: Order = "completion",
        limit: int = 100,
        requests: bool = False,
        **query: str,
    ) -> ResultPage:
        cursor = Cursor.start(order) if after is None else Cursor.read(after, order)
        wanted = Wanted(after=cursor, limit=limit, filter=asked_filter(query), requests=requests)
        return asyncio.run(self.results.page(CALLER, BATCH, wanted))

    def all(self, order: Order = "completion", limit: int = 100, **query: str) -> list[Line]:
        lines: list[Line] = []
        after: str | None = None
        while True:
            page = self.page(after, order, limit, **query)
            assert len(page.lines) <= limit
            lines += page.lines
            if not page.more:
                return lines
            assert str(page.next) != after
            after = str(page.next)

    def numbers(self, order: Order = "completion", **query: str) -> list[int]:
        return [line.line for line in self.all(order, **query)]

    def file(self, role: FileRole) -> bytes:
        batch = self.scene.batch(BATCH)
        file_id = batch.output_file_id if role is FileRole.OUTPUT else batch.error_file_id
        if file_id is None:
            return b""
        file = self.scene.catalog.file(TENANT, file_id, self.scene.now)
        assert file is not None
        content = Content(file, self.scene.catalog, self.calls, self.blobs)

        async def read() -> bytes:
            return b"".join([part async for part in content.stream(0, file.bytes)])

        return asyncio.run(read())

    async def _upload(self) -> None:
        intake = Intake(self.blobs, f"files/{BATCH}.in", 1_000_000, MemoryScratch)
        await intake.write(b"\n".join(request_line(line) for line in range(self.total)))
        await intake.finish()
        await intake.commit()
        self.scene.file(f"{BATCH}.in", blob_key=intake.key, index_key=intake.index_key, lines=self.total)


__all__ = ["FAST", "Flag", "Life", "a_plan"]
