"""Tenants with a quota of calls in flight: over all lanes of this worker, which has a part of it (`domain.sharing`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from batchrouter.domain.sharing import EVERYTHING, TURN_MS, Account, Demand, Peer, tenant_gate, wholly

Wake = Callable[[], None]


class TenantRun:
    """One tenant at work here. `cap` is this worker's part of its quota; None: it has none.

    Lanes that have lines of the tenant beyond it stand in line: the first has the next call that may go. So a lane that
    answers fast does not keep the whole quota from one that is slow.
    """

    __slots__ = ("account", "cap", "in_flight", "line", "quota", "wanting")

    def __init__(self) -> None:
        self.quota: int | None = None
        self.cap: int | None = None
        self.account: Account | None = None
        self.in_flight = 0
        self.wanting = False
        """Whether a call has had to wait since this was last told."""
        self.line: dict[int, Wake] = {}

    def room(self, lane_id: int) -> int:
        """How many calls that lane may send now."""
        if self.cap is None:
            return 1 << 30
        first = next(iter(self.line), lane_id)
        return max(0, self.cap - self.in_flight) if first == lane_id else 0

    def wait(self, lane_id: int, wake: Wake) -> None:
        """The lane has lines that may not go; woken when it is its turn, or there may be room."""
        self.wanting = True
        self.line.setdefault(lane_id, wake)

    def took(self, lane_id: int) -> None:
        """The lane has had its turn, and has more lines."""
        wake = self.line.pop(lane_id, None)
        if wake is not None:
            self.line[lane_id] = wake

    def leave(self, lane_id: int) -> None:
        """The lane has no use for a turn now."""
        if self.line.pop(lane_id, None) is not None:
            self._wake_first()

    def on_end(self) -> None:
        """A call ended."""
        self.in_flight -= 1
        if self.line:
            self._wake_first()

    def allow(self, cap: int | None) -> None:
        self.cap = cap
        self._wake_first()

    def _wake_first(self) -> None:
        if self.line and (self.cap is None or self.in_flight < self.cap):
            next(iter(self.line.values()))()


class Tenants:
    def __init__(self, me: str) -> None:
        self._me = me
        self._known: dict[str, TenantRun] = {}

    def of(self, tenant_id: str, quota: int | None, workers: int) -> TenantRun:
        """With the quota as the store knows it now. `workers` live."""
        tenant = self._known.get(tenant_id)
        if tenant is None:
            tenant = self._known[tenant_id] = TenantRun()
        if quota != tenant.quota:
            tenant.quota = quota
            if quota is None:
                tenant.account = None
            elif tenant.account is None:
                tenant.account = Account(self._me, quota, workers)
            else:  # from the next beat on; what shrinks does so at once
                tenant.account.shrink(quota)
            tenant.allow(None if tenant.account is None else int(tenant.account.part))
        return tenant

    def look(self, quotas: Mapping[str, int], workers: int) -> None:
        """The quotas as the store has them now."""
        for tenant_id in self._known:
            self.of(tenant_id, quotas.get(tenant_id), workers)

    def tell(self) -> dict[str, Demand]:
        """By gate, for the next beat."""
        told = {}
        for tenant_id, tenant in self._known.items():
            if tenant.account is None:
                continue
            wanted = EVERYTHING if tenant.wanting or tenant.line else tenant.in_flight
            tenant.wanting = False
            told[tenant_gate(tenant_id)] = tenant.account.tell(wanted, tenant.in_flight)
        return told

    def hear(self, now_ms: int, peers: Sequence[Peer]) -> None:
        split = wholly(now_ms // TURN_MS)
        for tenant_id, tenant in self._known.items():
            if tenant.account is not None and tenant.quota is not None:
                tenant.allow(int(tenant.account.hear(tenant.quota, peers, tenant_gate(tenant_id), split)))
