"""A random life of batches, told to two stores at once, which must tell the same at every step."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchrouter.adapters.memory import MemoryStore
from batchrouter.domain import bitmap
from batchrouter.domain.batch import NewBatch
from batchrouter.domain.file import File, FileRole
from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.outcome import RECORD, Outcome
from batchrouter.domain.shard import Claim, Duty, Fold, LaneKey, LaneMode, Load, Move, SegmentDraft
from batchrouter.domain.tenant import Tenant
from batchrouter.errors import BatchRouterError
from tests.conformance.conftest import open_store
from tests.conformance.scene import REFUSAL, START_MS, a_plan, draft_of, gap_records, record

LANES = (LaneKey("p", "a"), LaneKey("p", "a", mode=LaneMode.BATCH), LaneKey("q", "a", "pool"))
TENANTS = ("t1", "t22")


def comparable(verb: str, told: Any) -> Any:
    """Without what the ports leave open: the order of groups and keys, the last epoch of a shard that was closed, and
    whether a lane that has nothing of a batch any more is told."""
    match verb:
        case "waiting" | "sweep":
            return sorted(told, key=repr)
        case "beat":
            return replace(told, peers=tuple(sorted(told.peers, key=lambda peer: peer.worker)))
        case "outlook":
            return replace(told, waiting=tuple(sorted(told.waiting, key=repr)))
        case "move":
            return [claim if claim.pending else replace(claim, epoch=0) for claim in told]
        case "lane_shares":
            return [share for share in told if share.done or share.waiting or share.in_job]
    return told


class Life:
    """Asks both stores the same and remembers what it may refer to, stale or not."""

    def __init__(self, seed: int, folder: Path, kind: str = "sqlite") -> None:
        self.chance = random.Random(seed)
        self.memory = MemoryStore()
        self.sql = open_store(kind, folder)
        self.now = START_MS
        self.story: list[tuple[str, Any, Any]] = []
        self.workers: list[str] = []
        self.duties: list[tuple[str, Duty]] = []
        self.claims: list[tuple[str, Claim]] = []
        self.batches: list[tuple[str, str]] = []
        self.files: list[tuple[str, str]] = []
        self.drafts: list[tuple[str, Any]] = []
        self.made = 0
        for tenant in TENANTS:
            self.catalog("add_tenant", Tenant(id=tenant, name=tenant, weight=len(tenant), created_ms=self.now))
        self.enlist(alone=True)

    def ask(self, side: str, verb: str, *args: Any, **kwargs: Any) -> Any:
        told: list[Any] = []
        for store in (self.memory, self.sql):
            try:
                told.append(getattr(getattr(store, side), verb)(*args, **kwargs))
            except BatchRouterError as error:
                told.append(type(error))
        self.story.append((verb, args, told[0]))
        in_memory, in_sql = (each if isinstance(each, type) else comparable(verb, each) for each in told)
        if in_memory != in_sql:
            last = "\n".join(str(step)[:500] for step in self.story[-10:])
            pytest.fail(f"{last}\nmemory told {in_memory}\nSQL told {in_sql}")
        return None if isinstance(told[0], type) else told[0]

    def catalog(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        return self.ask("catalog", verb, *args, **kwargs)

    def ledger(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        return self.ask("ledger", verb, *args, **kwargs)

    def jobs(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        return self.ask("jobs", verb, *args, **kwargs)

    def number(self) -> int:
        self.made += 1
        return self.made

    def likely(self, chance: float) -> bool:
        return self.chance.random() < chance

    # --- people ---------------------------------------------------------------------------------------------------

    def create(self) -> None:
        pick, tenant, number = self.chance.choice, self.chance.choice(TENANTS), self.number()
        if self.likely(0.8):
            file = File(
                id=f"f{number}", tenant_id=tenant, purpose="batch", filename="in", bytes=5, lines=3,
                created_ms=self.now, expires_ms=pick([None, self.now + 4_000]), blob_key=f"blob{number}",
                index_key=f"index{number}",
            )  # fmt: skip
            self.catalog("add_file", file)
            self.files.append((tenant, file.id))
        new = NewBatch(
            id=f"b{number}", tenant_id=tenant, endpoint="/v1/x", completion_window="24h",
            input_file_id=f"f{number}", metadata=pick([None, {"a": "é"}]), created_ms=self.now,
            expires_ms=self.now + pick([60_000, 86_400_000, 86_400_000]), api_key_id=pick("kl"),
            body_hash=pick("xyz"), idempotency_key=pick([None, None, None, "i1", "i2"]), resent=self.likely(0.1),
            max_cost_nano=pick([None, 10**12]),
        )  # fmt: skip
        self.catalog("create_batch", new, now_ms=self.now)
        self.batches.append((tenant, new.id))

    def cancel(self) -> None:
        if self.batches:
            self.catalog("cancel_batch", *self.chance.choice(self.batches[-5:]), self.now)

    def delete(self) -> None:
        if self.files:
            self.catalog("delete_file", *self.chance.choice(self.files[-8:]), self.now)

    # --- workers --------------------------------------------------------------------------------------------------

    def enlist(self, *, alone: bool | None = None) -> None:
        self.workers = [*self.workers[-2:], f"w{self.number()}"]
        alone = self.likely(0.1) if alone is None else alone
        self.ledger("enlist", self.workers[-1], self.now, self.chance.choice([30_000, 900_000_000]), alone=alone)

    def beat(self) -> None:
        worker = self.chance.choice(self.workers)
        loads = {
            (claim.lane_id, claim.batch_id): Load(
                lane_id=claim.lane_id, batch_id=claim.batch_id, in_flight=2, retrying=self.chance.randint(0, 2)
            )
            for owner, claim in self.claims[:6]
            if owner == worker
        }
        self.ledger("beat", worker, self.now, self.chance.choice([30_000, 900_000_000]), list(loads.values()))

    def resign(self) -> None:
        if self.likely(0.2):
            self.ledger("resign", self.chance.choice(self.workers))

    # --- duties ---------------------------------------------------------------------------------------------------

    def take(self) -> None:
        worker = self.chance.choice(self.workers)
        for duty in self.ledger("take_duties", worker, self.now, self.chance.choice([1, 3, 100])) or []:
            self.duties = [(worker, duty), *self.duties[:5]]
            if self.likely(0.8):
                self.step(worker, duty)

    def again(self) -> None:
        """A step of a duty that may be over."""
        if self.duties:
            worker, duty = self.chance.choice(self.duties)
            self.chance.choice([self.step, self.plan, self.close, self.finish])(worker, duty)

    def step(self, worker: str, duty: Duty) -> None:
        if not duty.planned and duty.state in (BatchState.VALIDATING, BatchState.CANCELLING):
            self.plan(worker, duty)
        elif duty.state is BatchState.IN_PROGRESS:
            self.close(worker, duty)
        else:
            self.finish(worker, duty)

    def plan(self, worker: str, duty: Duty) -> None:
        lines = [self.chance.randint(1, 12) for _ in range(self.chance.randint(1, 3))]
        plan = a_plan(duty.batch_id, lines, self.chance.sample(LANES, self.chance.randint(1, 3)))
        self.ledger("plan", worker, duty, REFUSAL if self.likely(0.1) else plan, self.now)

    def close(self, worker: str, duty: Duty) -> None:
        event = BatchEvent.COMPLETE if duty.done == duty.total else BatchEvent.EXPIRE
        self.ledger("close", worker, duty, event, self.now)

    def finish(self, worker: str, duty: Duty) -> None:
        if self.likely(0.9):
            self.ledger("seal", worker, duty)
        gaps = gap_records(duty, self.ledger("ranges", duty.batch_id, -1, 100), Outcome.EXPIRED)
        if gaps and self.likely(0.9):
            self.ledger("settle", worker, draft_of(duty.batch_id, gaps, duty_epoch=duty.duty_epoch), self.now)
        output = self.result(duty, FileRole.OUTPUT) if self.likely(0.7) else None
        error = self.result(duty, FileRole.ERROR) if output is None or self.likely(0.7) else None
        if self.ledger("finish", worker, duty, output, error, self.now):
            self.files += [(file.tenant_id, file.id) for file in (output, error) if file is not None]

    def result(self, duty: Duty, role: FileRole) -> File:
        return File(
            id=f"{duty.batch_id}.{role}.{self.number()}", tenant_id=duty.tenant_id, role=role, purpose="batch_output",
            filename=role, bytes=1, created_ms=self.now, expires_ms=self.chance.choice([None, self.now + 10_000]),
            batch_id=duty.batch_id,
        )  # fmt: skip

    # --- lines ----------------------------------------------------------------------------------------------------

    def claim(self) -> None:
        worker, groups = self.chance.choice(self.workers), self.ledger("waiting", self.now)
        if groups:
            group = self.chance.choice(groups)
            count = self.chance.randint(1, 3)
            for claim in self.ledger("claim", worker, group.lane_id, group.batch_id, count, self.now) or []:
                self.claims = [(worker, claim), *self.claims[:20]]

    def settle(self) -> None:
        if not self.claims:
            return
        worker, first = self.chance.choice(self.claims[:6])
        records = []
        for _, claim in self.claims[:8]:
            if claim.batch_id == first.batch_id and (claim is first or self.likely(0.5)):
                places = list(bitmap.members(claim.pending))
                self.chance.shuffle(places)
                outcomes = list(Outcome)
                records += [record(claim, place, self.chance.choice(outcomes)) for place in places[:8]]
        self.chance.shuffle(records)
        changes = {"blob_key": f"segment{self.number()}", "data": None} if self.likely(0.5) else {}
        draft = draft_of(first.batch_id, records, **changes)
        self.send(worker, draft)

    def send(self, worker: str, draft: SegmentDraft) -> None:
        count = len(draft.records) // RECORD.size
        if self.likely(0.7):
            numbers = [self.chance.choice([-1, 0, 3, 10**10]) for _ in range(count)]
            draft = replace(draft, costs=struct.pack(f"<{count}q", *numbers))
        elif self.likely(0.05):
            draft = replace(draft, costs=b"x")
        self.drafts.append((worker, draft))
        self.ledger("settle", worker, draft, self.now)

    def settle_again(self) -> None:
        if self.drafts:
            self.ledger("settle", *self.chance.choice(self.drafts[-5:]), self.now)

    def release(self) -> None:
        if self.claims:
            owner, _ = self.claims[0]
            held = self.chance.sample(self.claims, min(3, len(self.claims)))
            self.ledger("release", owner, [(claim.shard_id, claim.epoch) for _, claim in held])

    def move(self) -> None:
        if self.claims:
            owner, _ = self.claims[0]
            mine = [claim for worker, claim in self.claims[:6] if worker == owner][: self.chance.randint(1, 3)]
            moves = [
                Move(
                    shard_id=claim.shard_id,
                    epoch=claim.epoch,
                    members=self.chance.getrandbits(12),
                    lane=self.chance.choice(LANES),
                )
                for claim in mine
                for _ in range(self.chance.randint(1, 2))
            ]
            for claim in self.ledger("move", owner, moves, self.now) or []:
                self.claims = [(owner, claim), *self.claims[:20]]

    # --- bytes ----------------------------------------------------------------------------------------------------

    def fold(self) -> None:
        until_ms = self.now + self.chance.choice([0, 1000])
        for work in self.ledger("take_folds", self.now, until_ms, self.chance.randint(1, 2), 3):
            output, error = (self.chance.choice([None, (f"run{self.number()}", self.made)]) for _ in range(2))
            fold = Fold(range_no=work.range_no, output=output, error=error)
            self.ledger("folded", work.batch_id, [fold])
            if self.likely(0.2):
                self.ledger("folded", work.batch_id, [fold])

    def sweep(self) -> None:
        keys = self.ledger("sweep", self.now, self.chance.choice([0, 1_000, 3_600_000]))
        if keys and self.likely(0.7):
            self.ledger("forget", keys[: len(keys) // 2 + 1])

    def lanes(self) -> None:
        found = self.ledger("lanes")
        if found:
            lane = self.chance.choice(found)
            self.ledger("note_lanes", [replace(lane, state="paused", until_ms=self.now, limit=self.made)])

    # --- looking --------------------------------------------------------------------------------------------------

    def look(self) -> None:
        for tenant, batch_id in self.batches[-6:]:
            self.catalog("batch", tenant, batch_id)
            self.ledger("ranges", batch_id, -1, 100)
            self.catalog("lane_shares", batch_id)
            self.catalog("jobs", batch_id)
            self.catalog("events", batch_id, 0, 100)
            self.ledger("segments", batch_id, list(range(60, 0, -1)))
            for role in (FileRole.OUTPUT, FileRole.ERROR):
                file = File(
                    id="any", tenant_id=tenant, role=role, purpose="", filename="", bytes=0, created_ms=0,
                    batch_id=batch_id,
                )  # fmt: skip
                self.catalog("manifest", file, -1, 10)
        names = ("blob{}", "index{}", "segment{}", "run{}")
        self.ledger("known", [name.format(number) for number in range(self.made + 1) for name in names])
        for worker in self.workers:
            self.ledger("outlook", worker, self.now, 2)
        tenant, batch_id = self.chance.choice(self.batches) if self.batches else ("t1", "b0")
        limit = self.chance.choice([1, 3, 1000])
        self.catalog("batches", tenant, after=self.chance.choice([None, batch_id]), limit=limit)
        self.catalog(
            "files", tenant, after=None, limit=limit, descending=self.likely(0.5), now_ms=self.now,
            purpose=self.chance.choice([None, "batch"]),
        )  # fmt: skip

    def close_stores(self) -> None:
        self.sql.close()
        self.memory.close()
