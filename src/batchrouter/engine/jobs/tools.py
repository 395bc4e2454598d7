"""What the parts of native jobs work with, and the shards that this worker has claimed for none of them yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from batchrouter.domain.shard import Claim, LaneKey, Move
from batchrouter.engine.journal import Journal
from batchrouter.engine.settings import EngineSettings
from batchrouter.engine.spendings import Spendings
from batchrouter.engine.strays import Strays
from batchrouter.input import Inputs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.jobs import JobLedger
from batchrouter.ports.ledger import Ledger

CLAIM_SHARDS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTools:
    ledger: Ledger
    jobs: JobLedger
    calls: Calls
    inputs: Inputs
    clock: Clock
    chance: Chance
    journal: Journal
    spendings: Spendings
    settings: EngineSettings
    strays: Strays
    worker: str
    _ours: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Shard → epochs under which it may be ours. Kept until the store has taken it back, because a shard that is ours
    and that nobody thinks of would never be sent."""
    _owed: set[int] = field(default_factory=set)
    """Those of them that nobody works with any more, and that the store could not take back yet."""

    def __post_init__(self) -> None:
        self.strays.knows.append(lambda shard_id, _: shard_id in self._ours)

    async def claim(self, lane_id: int, batch_id: str) -> list[Claim]:
        now_ms = self.clock.unix_ms()
        try:
            claims = await self.calls.write(self.ledger.claim, self.worker, lane_id, batch_id, CLAIM_SHARDS, now_ms)
        except Exception:
            self.strays.doubt()
            raise
        self._ours.update((claim.shard_id, (claim.epoch,)) for claim in claims)
        return claims

    async def move(self, claim: Claim, members: int, lane: LaneKey) -> Claim:
        """These members of a claimed shard to another lane, or to a shard of their own; returns the claim as it is
        then."""
        move = Move(shard_id=claim.shard_id, epoch=claim.epoch, members=members, lane=lane)
        # Should the reply be lost: a move that was carried out has raised the epoch by one.
        self._ours[claim.shard_id] = (claim.epoch, claim.epoch + 1)
        (after,) = await self.calls.write(self.ledger.move, self.worker, [move], self.clock.unix_ms())
        if after.pending:
            self._ours[after.shard_id] = (after.epoch,)
        else:
            self._ours.pop(after.shard_id, None)
        return after

    def handed_over(self, claims: Sequence[Claim]) -> None:
        """They are a job's now."""
        for claim in claims:
            self._ours.pop(claim.shard_id, None)

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """Those of the claims that are still ours, and whatever could not be given back earlier."""
        self._owed.update(claim.shard_id for claim in claims if claim.shard_id in self._ours)
        owed = list(self._owed)
        if owed:
            pairs = [(shard_id, epoch) for shard_id in owed for epoch in self._ours[shard_id]]
            await self.calls.write(self.ledger.release, self.worker, pairs)
            for shard_id in owed:
                self._owed.discard(shard_id)
                self._ours.pop(shard_id, None)
