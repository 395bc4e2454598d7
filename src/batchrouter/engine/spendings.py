"""The limits of batches with a `max_cost`, one for all lanes of this worker: what jobs may cost is reserved beside what
calls may, so that together they never pass it."""

from __future__ import annotations

from batchrouter.domain.job_step import JobMemo
from batchrouter.domain.lifecycle import JobState
from batchrouter.domain.shard import Claim
from batchrouter.domain.spend import Spend
from batchrouter.ports.calls import Calls
from batchrouter.ports.jobs import JobLedger


class Spendings:
    def __init__(self, jobs: JobLedger, calls: Calls) -> None:
        self._jobs = jobs
        self._calls = calls
        self._known: dict[str, Spend] = {}

    async def of(self, claim: Claim) -> Spend | None:
        """The limit of the claim's batch, None where it has none. The first time, what its jobs under way may cost is
        reserved; later, what others have spent meanwhile is heard."""
        if claim.max_cost_nano is None:
            return None
        spend = self._known.get(claim.batch_id)
        if spend is None:
            jobs = await self._calls.read(self._jobs.jobs, claim.batch_id)
            spend = self._known.get(claim.batch_id)  # another may have been quicker
            if spend is None:
                spend = self._known[claim.batch_id] = Spend(claim.max_cost_nano, claim.cost_nano)
                under_way = (job for job in jobs if job.state is not JobState.COLLECTED)
                spend.reserved_nano = sum(JobMemo.of(job).most_nano for job in under_way)
        spend.hear(claim.cost_nano)
        return spend

    def known(self, batch_id: str) -> Spend | None:
        return self._known.get(batch_id)

    def forget(self, batch_id: str) -> None:
        """The batch is final."""
        self._known.pop(batch_id, None)
