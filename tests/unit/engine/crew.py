"""Several workers over one store, in one process and by one stepping clock; each with a lease and beats of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from batchrouter.domain.pacing import Pacing
from batchrouter.domain.tenant import Quotas, Tenant
from batchrouter.engine.worker import Worker
from tests.unit.engine.house import POLL_S, House, Process, Sent, Upstream, echo


class Crew(House):
    """As a `House` whose every turn is one of each worker's."""

    def __init__(self, upstream: Upstream = echo, *, pacing: Pacing | None = None, **settings: Any) -> None:
        super().__init__(upstream, pacing=pacing, **{"alone": False, **settings})
        self.workers: list[Worker] = []
        self.processes: dict[str, Process] = {}

    async def start(self, count: int) -> None:
        """So many workers, which have all heard of each other."""
        for _ in range(count):
            await self.join()
        for worker in self.workers:
            worker._lease.turn()
        await self.settle()

    async def join(self) -> Worker:
        worker = await self.new_worker()
        worker._loop = asyncio.get_running_loop()
        self.workers.append(worker)
        self.processes[worker.id] = self.process
        return worker

    def kill(self, worker: Worker) -> None:
        """It stops where it is; what it has sent nobody hears of."""
        self.processes[worker.id].dead = True
        self.workers.remove(worker)

    async def turn(self) -> int:
        done = 0
        for worker in list(self.workers):
            self.worker, self.process = worker, self.processes[worker.id]
            await self.do(worker.look())
            done += await super().turn()
        return done

    def _pass(self, step_s: float | None) -> None:
        if step_s is None:
            next_s = self.clock.next_timer_s()
            step_s = POLL_S if next_s is None else min(POLL_S, max(0.0, next_s - self.clock.mono_s()))
        self.clock.advance(step_s)
        for worker in self.workers:
            worker._lease.turn()

    def quota(self, name: str, max_in_flight: int | None, weight: int = 1) -> None:
        self.store.catalog.add_tenant(
            Tenant(id=name, name=name, weight=weight, created_ms=0, quotas=Quotas(max_in_flight=max_in_flight))
        )

    def sent_between(self, from_s: float, to_s: float, of: Callable[[bytes], bool] = lambda body: True) -> list[Sent]:
        return [call for call in self.log if from_s <= call.at_s < to_s and of(call.body)]

    def check_even(self) -> None:
        for worker in self.workers:
            self.worker = worker
            super().check_even()
            assert worker.traffic.in_flight == 0
            assert {tenant.in_flight for tenant in worker.dispatcher.sharing.tenants._known.values()} <= {0}
