"""Shards in memory: claim, release, move, settle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchrouter.adapters.memory.state import BatchRow, Part, ShardRow, State, atomic
from batchrouter.domain.file import SegmentRef
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.outcome import RECORD, unpack
from batchrouter.domain.settlement import NO_GAIN, RangeFence, Settlement, ShardFence, admit
from batchrouter.domain.shard import Claim, Move, SegmentDraft, Settled, WaitingGroup
from batchrouter.errors import StaleLease


class Shards(Part):
    __slots__ = ()

    @atomic
    def waiting(self, now_ms: int) -> list[WaitingGroup]:
        return waiting_groups(self._state)

    @atomic
    def claim(self, worker: str, lane_id: int, batch_id: str, count: int, now_ms: int) -> list[Claim]:
        self._state.require_lease(worker, now_ms)
        row = self._state.batches.get(batch_id)
        if row is None or not row.sends:
            return []
        claims: list[Claim] = []
        for shard in row.shard_rows():
            if len(claims) == count:
                break
            if not shard.open or shard.owner is not None or shard.lane_id != lane_id:
                continue
            if not row.pending(shard):
                shard.shut()
                continue
            shard.owner = worker
            shard.epoch += 1
            claims.append(self._claim(row, shard))
        return claims

    @atomic
    def held(self, worker: str) -> list[Claim]:
        mine = [
            (shard, row)
            for row in self._state.batches.values()
            for shard in row.shards.values()
            if shard.open and shard.owner == worker
        ]
        return [self._claim(row, shard) for shard, row in sorted(mine, key=lambda each: each[0].id)]

    @atomic
    def release(self, worker: str, shards: Sequence[tuple[int, int]]) -> None:
        for shard_id, epoch in shards:
            held = self._held(worker, shard_id, epoch)
            if held is not None:
                self._state.give_back(*held)

    @atomic
    def move(self, worker: str, moves: Sequence[Move], now_ms: int) -> list[Claim]:
        """Several moves out of one shard name the same epoch, and hear the same claim."""
        held: list[tuple[BatchRow, ShardRow]] = []
        for move in moves:
            found = self._held(worker, move.shard_id, move.epoch)
            if found is None:
                raise StaleLease(f"shard {move.shard_id} is no longer {worker}'s under epoch {move.epoch}")
            held.append(found)
        for move, (row, shard) in zip(moves, held, strict=True):
            leaving = move.members & row.pending(shard)
            shard.members &= ~leaving
            if leaving:
                self._state.add_shard(row, shard.range_no, self._state.lane_of(move.lane).id, leaving)
        touched = {shard.id: (row, shard) for row, shard in held}
        for row, shard in touched.values():
            if row.pending(shard):
                shard.epoch += 1
            else:
                shard.shut()
        return [self._claim(row, shard) for row, shard in held]

    @atomic
    def settle(self, worker: str, draft: SegmentDraft, now_ms: int) -> Settled:
        row = self._state.batches.get(draft.batch_id)
        if row is None:
            return Settled(seq=None, admitted=0, drained=False, state=BatchState.FAILED)
        gap_epoch = row.duty_epoch if (row.sealed or row.copying) and row.duty_owner == worker else None
        settlement = admit(
            draft.records,
            *fences(row, draft.records),
            gap_epoch if draft.duty_epoch == gap_epoch else None,
            draft.costs,
        )
        seq = self._record(row, draft, settlement, now_ms) if settlement.admitted else None
        return Settled(seq=seq, admitted=settlement.admitted, drained=row.drained, state=row.batch.state)

    def _record(self, row: BatchRow, draft: SegmentDraft, settlement: Settlement, now_ms: int) -> int:
        seq = row.last_seq = row.last_seq + 1
        row.settled_ms[seq] = now_ms
        row.segments[seq] = SegmentRef(
            seq=seq,
            length=draft.length,
            count=len(draft.records) // RECORD.size,
            admitted=settlement.admitted,
            blob_key=draft.blob_key,
            data=draft.data,
        )
        for range_no, added in settlement.ranges.items():
            home = row.ranges[range_no]
            home.range = replace(
                home.range,
                done=home.range.done | added.done,
                output_bytes=home.range.output_bytes + added.output_bytes,
                error_bytes=home.range.error_bytes + added.error_bytes,
                segment_seqs=(*home.range.segment_seqs, seq),
            )
        row.done += settlement.admitted.bit_count()
        for lane_id, gain in settlement.lanes.items():
            row.lanes[lane_id] = row.lanes.get(lane_id, NO_GAIN).plus(gain)
        row.batch = replace(
            row.batch,
            completed=row.batch.completed + settlement.completed,
            failed=row.batch.failed + settlement.failed,
            tokens=row.batch.tokens.plus(settlement.tokens),
            cost_nano=row.batch.cost_nano + settlement.cost_nano,
            unpriced=row.batch.unpriced + settlement.unpriced,
            invalid_output=row.batch.invalid_output + settlement.invalid_output,
            reused=row.batch.reused + settlement.reused,
            # Where the plan named no model, the lines name several: none of them is the batch's.
            model=row.batch.model if row.batch.model is None or draft.model is None else draft.model,
        )
        return seq

    def _held(self, worker: str, shard_id: int, epoch: int) -> tuple[BatchRow, ShardRow] | None:
        found = self._state.find_shard(shard_id)
        if found is None:
            return None
        _, shard = found
        return found if shard.open and shard.owner == worker and shard.epoch == epoch else None

    def _claim(self, row: BatchRow, shard: ShardRow) -> Claim:
        batch, home = row.batch, row.ranges[shard.range_no].range
        return Claim(
            shard_id=shard.id,
            epoch=shard.epoch,
            batch_id=batch.id,
            tenant_id=batch.tenant_id,
            weight=self._state.weight(batch.tenant_id),
            deadline_ms=batch.expires_ms,
            endpoint=batch.endpoint,
            lane_id=shard.lane_id,
            range_no=shard.range_no,
            first_line=home.first_line,
            lines=home.lines,
            pending=row.pending(shard),
            input_blob_key=row.input_blob_key or "",
            input_index_key=row.input_index_key or "",
            max_cost_nano=batch.max_cost_nano,
            cost_nano=batch.cost_nano,
            priority=batch.priority,
            max_in_flight=self._state.max_in_flight(batch.tenant_id),
            retry=row.new.retry,
            after_another=row.new.retry is not None or row.new.resume_from is not None,
        )


def waiting_groups(state: State) -> list[WaitingGroup]:
    groups = []
    for row in state.batches.values():
        if not row.sends:
            continue
        by_lane: dict[int, list[ShardRow]] = {}
        for shard in row.shards.values():
            if shard.open and shard.owner is None:
                by_lane.setdefault(shard.lane_id, []).append(shard)
        groups += [
            WaitingGroup(
                lane_id=lane_id,
                batch_id=row.batch.id,
                tenant_id=row.batch.tenant_id,
                weight=state.weight(row.batch.tenant_id),
                deadline_ms=row.batch.expires_ms,
                shards=len(shards),
                lines=sum(row.pending(shard).bit_count() for shard in shards),
                priority=row.batch.priority,
            )
            for lane_id, shards in by_lane.items()
        ]
    return groups


def fences(row: BatchRow, records: bytes) -> tuple[dict[int, ShardFence], dict[int, RangeFence]]:
    """The rows that the records name, as far as they are this batch's."""
    shards: dict[int, ShardFence] = {}
    ranges: dict[int, RangeFence] = {}
    for record in unpack(records):
        shard = row.shards.get(record.shard)
        if shard is not None and shard.id not in shards:
            shards[shard.id] = ShardFence(shard.epoch, shard.range_no, shard.members)
        home = row.ranges.get(record.range_no)
        if home is not None and record.range_no not in ranges:
            ranges[record.range_no] = RangeFence(home.range.first_line, home.range.lines, home.range.done)
    return shards, ranges
