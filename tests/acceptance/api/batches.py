"""Bring batches into any state by hand, through the `Ledger`, as an engine would."""

from __future__ import annotations

from batchrouter.domain.batch import Batch, BatchError
from batchrouter.domain.file import File, FileRole
from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.outcome import Outcome, Record, pack, tail
from batchrouter.domain.shard import Duty, Fold, LaneKey, Plan, PlannedShard, Range, Rejection, SegmentDraft
from tests.acceptance.api.rig import Rig

WORKER = "worker-1"
LEASE_MS = 600_000


def line(number: int) -> bytes:
    """The output line of input line `number`; lengths differ and bytes are not ASCII, so that offsets matter."""
    return f'{{"custom_id":"r-{number}","answer":"{"é" * (number % 7)}"}}\n'.encode()


def succeeded(number: int) -> bool:
    return number % 3 != 2


def expected(lines: int, success: bool) -> bytes:
    return b"".join(line(number) for number in range(lines) if succeeded(number) is success)


class Hand:
    """Plays the engine for one batch of `lines` lines in ranges of `per_range`."""

    def __init__(self, rig: Rig, batch_id: str, lines: int = 10, per_range: int = 4) -> None:
        self.rig = rig
        self.ledger = rig.store.ledger
        self.batch_id = batch_id
        self.lines = lines
        self.per_range = per_range
        self.tenant_id = ""
        self.ledger.enlist(WORKER, self.now, LEASE_MS, alone=True)

    @property
    def now(self) -> int:
        return self.rig.clock.unix_ms()

    def duty(self) -> Duty:
        duties = self.ledger.take_duties(WORKER, self.now, 1000)
        found = next(duty for duty in duties if duty.batch_id == self.batch_id)
        self.tenant_id = found.tenant_id
        return found

    def reject(self, *errors: BatchError) -> None:
        assert self.ledger.plan(WORKER, self.duty(), Rejection(errors=errors), self.now)

    def plan(self) -> None:
        ranges = tuple(
            Range(
                batch_id=self.batch_id,
                range_no=number,
                first_line=first,
                lines=min(self.per_range, self.lines - first),
            )
            for number, first in enumerate(range(0, self.lines, self.per_range))
        )
        shards = tuple(
            PlannedShard(range_no=home.range_no, lane=LaneKey("sim", "m"), members=(1 << home.lines) - 1)
            for home in ranges
        )
        decision = Plan(total=self.lines, model="m", ranges=ranges, shards=shards)
        assert self.ledger.plan(WORKER, self.duty(), decision, self.now)

    def answer(self, *, inline: bool = True) -> None:
        """Settle every line, in segments whose order is not the input's and that cut across ranges."""
        lane_id = self.ledger.lane(LaneKey("sim", "m")).id
        claims = {claim.range_no: claim for claim in self.ledger.claim(WORKER, lane_id, self.batch_id, 100, self.now)}
        backwards = list(range(self.lines))[::-1]
        for place, numbers in enumerate((backwards[::2], backwards[1::2])):
            body, records = bytearray(), []
            for number in numbers:
                data = line(number)
                claim = claims[number // self.per_range]
                outcome = Outcome.SUCCEEDED if succeeded(number) else Outcome.FAILED
                records.append(
                    Record(
                        line=number, range_no=claim.range_no, shard=claim.shard_id, epoch=claim.epoch,
                        outcome=outcome, finish=1, status=200, attempts=1, flags=0, latency_ms=5, lane=lane_id,
                        tokens_in=10, tokens_cached=4, tokens_out=3, tokens_reasoning=1,
                        offset=len(body), length=len(data),
                    )
                )  # fmt: skip
                body += data
            whole = bytes(body) + pack(records) + tail(len(records))
            key = f"segments/{self.batch_id}/{place}"
            if not inline:
                self.rig.run(self.rig.blobs.put(key, [whole]))
            draft = SegmentDraft(
                batch_id=self.batch_id,
                length=len(whole),
                records=pack(records),
                data=whole if inline else None,
                blob_key=None if inline else key,
                model="m-2026-01-01",
            )
            assert self.ledger.settle(WORKER, draft, self.now).seq is not None

    def fold(self) -> None:
        """Write the runs of every range, as the engine's fold would."""
        for work in self.ledger.take_folds(self.now, self.now, 1, 100):
            if work.batch_id != self.batch_id:
                continue
            numbers = range(work.first_line, work.first_line + work.lines)
            runs: list[tuple[str, int] | None] = []
            for success in (True, False):
                data = b"".join(line(number) for number in numbers if succeeded(number) is success)
                key = f"runs/{self.batch_id}/{work.range_no}-{success}"
                self.rig.run(self.rig.blobs.put(key, [data]))
                runs.append((key, 0) if data else None)
            fold = Fold(range_no=work.range_no, output=runs[0], error=runs[1])
            assert self.ledger.folded(self.batch_id, [fold])

    def end(self, event: BatchEvent | None) -> None:
        """Close by `event` (None: a person cancelled), seal and finish with both files."""
        duty = self.duty()
        if event is not None:
            assert self.ledger.close(WORKER, duty, event, self.now)
        self.ledger.seal(WORKER, duty)
        ranges = self.ledger.ranges(self.batch_id, -1, 1000)
        output = sum(home.output_bytes for home in ranges)
        error = sum(home.error_bytes for home in ranges)
        assert self.ledger.finish(
            WORKER, duty, self._file(FileRole.OUTPUT, output), self._file(FileRole.ERROR, error), self.now
        )

    def complete(self, *, inline: bool = True) -> Batch:
        self.plan()
        self.answer(inline=inline)
        self.end(BatchEvent.COMPLETE)
        return self.row()

    def row(self) -> Batch:
        batch = self.rig.store.catalog.batch(self.tenant_id, self.batch_id)
        assert batch is not None
        return batch

    def _file(self, role: FileRole, size: int) -> File | None:
        if not size:
            return None
        return File(
            id=f"file-{self.rig.chance.token(24)}",
            tenant_id=self.row().tenant_id,
            role=role,
            purpose="batch_output",
            filename=f"{self.batch_id}_{role}.jsonl",
            bytes=size,
            lines=sum(succeeded(number) is (role is FileRole.OUTPUT) for number in range(self.lines)),
            created_ms=self.now,
            batch_id=self.batch_id,
        )


__all__ = ["BatchState", "Hand", "expected", "line"]
