"""What this worker tells the others with its beats, and what follows from what it hears of them (`domain.sharing`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Protocol

from batchrouter.domain.pacing import Limiter
from batchrouter.domain.shard import Beat, Claim, Lane
from batchrouter.domain.shared_pace import SharedPace
from batchrouter.domain.sharing import NO_DEMANDS, Demand, Peer, lane_gate
from batchrouter.engine.pool import Pool
from batchrouter.engine.setup import Member
from batchrouter.engine.spendings import Spendings
from batchrouter.engine.tenants import TenantRun, Tenants
from batchrouter.ports.clock import Clock


class AtWork(Protocol):
    """A lane."""

    lane: Lane
    pool: Pool

    @property
    def busy(self) -> bool: ...

    def pump(self) -> None: ...


class Sharing:
    """`alone`: no other worker can be; then nothing is told."""

    def __init__(
        self,
        me: str,
        clock: Clock,
        lanes: Callable[[], Collection[AtWork]],
        spendings: Spendings,
        *,
        alone: bool,
    ) -> None:
        self.me = me
        self.alone = alone
        self.tenants = Tenants(me)
        self.peers: tuple[Peer, ...] = ()
        self.workers = 1 if alone else 2
        """How many live, as far as is known: before the first beat, that there is another is assumed."""
        self._clock = clock
        self._lanes = lanes
        self._spendings = spendings

    def tenant_of(self, claim: Claim) -> TenantRun:
        return self.tenants.of(claim.tenant_id, claim.max_in_flight, self.workers)

    def hear_quotas(self, quotas: Mapping[str, int]) -> None:
        """Of calls in flight, as they are now."""
        self.tenants.look(quotas, self.workers)

    async def look(self, here: Callable[[str], bool]) -> None:
        """Once a second: what others have changed. `here`: whether this worker has anything of a batch."""
        await self._spendings.look(self._clock.mono_s(), here)

    def pace(self, lane_id: int, member: str, limiter: Limiter) -> SharedPace | None:
        """What this worker may have of the known limits of that lane's key."""
        if self.alone:
            return None
        return SharedPace(limiter, self.me, lane_id, member, self.workers, self._clock.mono_s())

    def slower(self, member: Member) -> Member:
        """Where all workers begin at once with a lane that nothing is known of, each begins with its part."""
        start = max(1, member.pacing.start_in_flight // self.workers)
        return member._replace(pacing=replace(member.pacing, start_in_flight=start))

    def tell(self) -> Mapping[str, Demand]:
        """By gate, for the next beat."""
        if self.alone:
            return NO_DEMANDS
        now_s = self._clock.mono_s()
        told = {**self.tenants.tell(), **self._spendings.tell()}
        for lane in self._lanes():
            told[lane_gate(lane.lane.id)] = Demand(lane.pool.limit if lane.pool.open else 0)
            for member in lane.pool.members:
                if member.shared is not None:
                    told.update(member.shared.tell(now_s, self.workers, idle=not lane.busy))
        return told

    def hear(self, beat: Beat) -> None:
        if self.alone or not beat.peers:
            return
        now_ms = self._clock.unix_ms()
        self.peers, self.workers = beat.peers, len(beat.peers)
        self.tenants.hear(now_ms, beat.peers)
        self._spendings.hear(now_ms, beat.peers, beat.costs)
        for lane in self._lanes():
            for member in lane.pool.members:
                if member.shared is not None:
                    member.shared.hear(now_ms, beat.peers)
            lane.pump()

    def limits_of_others(self, lane_id: int) -> dict[str, int]:
        """By worker, how many calls each may have in flight in a lane that it works at; 0: the lane is not open to
        it."""
        gate = lane_gate(lane_id)
        return {
            peer.worker: peer.demands[gate].wanted
            for peer in self.peers
            if peer.worker != self.me and gate in peer.demands
        }
