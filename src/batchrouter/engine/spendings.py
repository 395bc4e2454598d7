"""The limits of batches with a `max_cost`, one for all lanes of this worker: what jobs may cost is reserved beside what
calls may, so that together they never pass it.

With several workers, each may have its part of what is left under way (`domain.sharing.by_turns`): what was spent and
is not yet known to be settled, and what is reserved. What open jobs may cost is nobody's part: each worker
takes it off the whole, and whoever made a job keeps it reserved until all others have seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from batchrouter.domain.job import Job
from batchrouter.domain.job_step import JobMemo
from batchrouter.domain.lifecycle import JobState
from batchrouter.domain.shard import Claim
from batchrouter.domain.sharing import TURN_MS, Account, Demand, Peer, by_turns, money_gate
from batchrouter.domain.spend import Spend
from batchrouter.ports.calls import Calls
from batchrouter.ports.jobs import JobLedger

SEEN_S = 15.0
"""After so long every worker that may still send has seen a new job."""


class _Shared:
    """What is shared of one batch's limit."""

    __slots__ = ("account", "asked_nano", "jobs_nano", "made")

    def __init__(self, account: Account, jobs_nano: int) -> None:
        self.account = account
        self.jobs_nano = jobs_nano
        self.asked_nano = 0
        self.made: list[tuple[float, int]] = []


class Spendings:
    """`me`: this worker, where there may be others; None where there is none."""

    def __init__(self, jobs: JobLedger, calls: Calls, me: str | None = None) -> None:
        self._jobs = jobs
        self._calls = calls
        self._me = me
        self._known: dict[str, Spend] = {}
        self._shared: dict[str, _Shared] = {}
        self.workers = 2
        """How many live, as far as is known."""

    async def of(self, claim: Claim) -> Spend | None:
        """The limit of the claim's batch, None where it has none. The first time, what its jobs under way may cost is
        reserved; later, what others have spent meanwhile is heard."""
        if claim.max_cost_nano is None:
            return None
        spend = self._known.get(claim.batch_id)
        if spend is None:
            jobs_nano = _most(await self._calls.read(self._jobs.jobs, claim.batch_id))
            spend = self._known.get(claim.batch_id)  # another may have been quicker
            if spend is None:
                spend = self._known[claim.batch_id] = Spend(claim.max_cost_nano, claim.cost_nano)
                self._share(claim.batch_id, spend, jobs_nano)
        if self._me is None:
            spend.hear(claim.cost_nano)
        return spend

    def known(self, batch_id: str) -> Spend | None:
        return self._known.get(batch_id)

    def forget(self, batch_id: str) -> None:
        """The batch is final, or nothing of it is here."""
        self._known.pop(batch_id, None)
        self._shared.pop(batch_id, None)

    def on_settled(self, batch_id: str, cost_nano: int) -> None:
        spend = self._known.get(batch_id)
        if spend is not None:
            spend.settled(cost_nano)

    def on_job(self, batch_id: str, most_nano: int, now_s: float) -> None:
        """A job was made for which that is reserved."""
        shared = self._shared.get(batch_id)
        if shared is not None:
            shared.made.append((now_s + SEEN_S, most_nano))

    def on_job_ended(self, batch_id: str, most_nano: int) -> None:
        spend, shared = self._known.get(batch_id), self._shared.get(batch_id)
        if spend is not None and shared is None:
            spend.give_back(most_nano)

    # --- several workers ------------------------------------------------------------------------------------------

    async def look(self, now_s: float, here: Callable[[str], bool]) -> None:
        """Once a second: what jobs may cost, and which batches are done with `here`, whoever finished them."""
        for batch_id, shared in list(self._shared.items()):
            spend = self._known[batch_id]
            shared.jobs_nano = _most(await self._calls.read(self._jobs.jobs, batch_id))
            for entry in [entry for entry in shared.made if entry[0] <= now_s]:
                shared.made.remove(entry)
                spend.give_back(entry[1])
            if not here(batch_id) and not spend.reserved_nano and not shared.jobs_nano:
                self.forget(batch_id)

    def tell(self) -> dict[str, Demand]:
        """By gate, for the next beat."""
        told = {}
        for batch_id, shared in self._shared.items():
            spend = self._known[batch_id]
            shared.asked_nano = spend.confirmed_nano
            has = spend.open_nano + spend.reserved_nano
            told[money_gate(batch_id)] = shared.account.tell(spend.need_nano, has)
        return told

    def hear(self, now_ms: int, peers: Sequence[Peer], costs: Mapping[str, int]) -> None:
        self.workers = len(peers)
        split = by_turns(now_ms // TURN_MS)
        for batch_id, shared in self._shared.items():
            settled_nano = costs.get(batch_id)
            if settled_nano is None:
                continue
            spend = self._known[batch_id]
            shared.account.spend(spend.heard(settled_nano, shared.asked_nano))
            left = max(0, spend.limit_nano - settled_nano - shared.jobs_nano)
            part = shared.account.hear(left, peers, money_gate(batch_id), split)
            spend.allow(int(part))

    def _share(self, batch_id: str, spend: Spend, jobs_nano: int) -> None:
        if self._me is None:
            spend.reserved_nano = jobs_nano
            return
        left = max(0, spend.limit_nano - spend.spent_nano - jobs_nano)
        account = Account(self._me, left, self.workers)
        self._shared[batch_id] = _Shared(account, jobs_nano)
        spend.allow(int(account.part))


def _most(jobs: Sequence[Job]) -> int:
    """What those may cost that are under way."""
    return sum(JobMemo.of(job).most_nano for job in jobs if job.state is not JobState.COLLECTED)
