"""A lane of native batches as this worker sees it: how it is reached, whether it may make jobs, and what was learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from batchrouter.domain.cost import UNKNOWN, RateCard
from batchrouter.domain.fair_share import Turns
from batchrouter.domain.fallback import next_lane
from batchrouter.domain.job_plan import TokenGuess, backoff_s
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.lane_health import LaneHealth, LaneState
from batchrouter.domain.routing import Resolved
from batchrouter.domain.shard import Lane, LaneKey, LaneMode
from batchrouter.domain.spend import most_tokens
from batchrouter.engine.setup import NativeSetup
from batchrouter.providers.base import Reply

Fallbacks = Callable[[str, str], Sequence[Resolved]]
HOLD_S, HOLD_MAX_S = 60.0, 600.0
"""How long a full lane is not tried, unless one of its jobs ends before."""
LIMIT_GROWTH = 1.25
LIMIT_LEAST = 20_000
"""Enqueued tokens: below what any provider publishes for a batch queue, at its lowest tier (`providers.md` 1.1)."""


class NativeLane:
    """`health` is about making jobs: whether the key, the account and the API take them. Times are monotonic seconds.

    `turns` deals the lane's room between tenants and their batches.
    """

    def __init__(
        self, lane: Lane, setup: NativeSetup, options: LaneOptions, card: RateCard | None, fallbacks: Fallbacks
    ) -> None:
        self.lane = lane
        self.setup = setup
        self.options = options
        self.health = LaneHealth(LaneState(lane.state), lane.reason)
        self.guess = TokenGuess()
        self.turns = Turns()
        self.token_limit = lane.limit
        """What was learnt of its enqueued tokens, from a refusal; the lane's row keeps it."""
        self.known: dict[str, str] = {}
        """The provider's jobs that are certainly ours → which of ours. Where jobs carry no tag, another that looks for
        its own among the provider's takes none of these."""
        self._card = card
        self._fallbacks = fallbacks
        self._leads_on: dict[tuple[str, str], bool] = {}
        self._hold_s = float("-inf")
        self._hold_why: str | None = None
        self._holds = 0

    @property
    def name(self) -> str:
        return f"{self.lane.key.provider}/{self.lane.key.model}"

    def beside(self, mode: LaneMode) -> LaneKey:
        """The lane of the same provider and model in that mode."""
        return replace(self.lane.key, mode=mode)

    def leads_on(self, asked: tuple[str, str]) -> bool:
        """Whether lines with that provider field and model have another lane to go to when this one cannot serve
        them: real time will see to it."""
        known = self._leads_on.get(asked)
        if known is None:
            known = self._leads_on[asked] = next_lane(self._fallbacks(*asked), self.lane.key) is not None
        return known

    def cost(self, reply: Reply, good: bool) -> int:
        """Of an answered line, in billionths of a dollar, at the price of a batch. `good`: not with an error, which
        costs nothing where it tells nothing."""
        if self._card is None:
            return UNKNOWN
        cost = self._card.cost_of_answer if good else self._card.cost
        return cost(reply.tokens, reply.cache_writes)

    def most(self, endpoint: str, body: bytes, sent: bytes) -> int | None:
        """The most that a line can cost in a job: by what stands in its own body, where a picture is easier to tell,
        and by the bounds of the one that is sent. None: its price is unknown."""
        if self._card is None:
            return None
        return self._card.most(most_tokens(endpoint, body)[0], most_tokens(endpoint, sent)[1])

    # --- room -------------------------------------------------------------------------------------------------------

    def may_gather(self, now_s: float) -> int:
        """How many jobs may be made of waiting lines now: none while the lane is full, one as a probe."""
        return 0 if now_s < self._hold_s else self.health.may_send(now_s)

    def hold(self, now_s: float, why: str) -> None:
        """The lane is full: nothing is gathered for a minute, doubling to ten; or until a job ends."""
        self._holds += 1
        self._hold_s = now_s + backoff_s(self._holds, HOLD_S, HOLD_MAX_S, 0.0)
        self._hold_why = why

    def on_room(self) -> None:
        """A job of the lane has ended: there is room again."""
        self._hold_s = float("-inf")

    def on_limit(self, job_tokens: int, tokens: int) -> None:
        """A job of `job_tokens` was one too many, with it `tokens` were enqueued: what was there before is all that the
        lane takes; and where nothing was, half of the job. Not less than the smallest limit that anybody has: then it
        is others of the same account who fill it, and waiting is all that helps."""
        before = tokens - job_tokens
        self.token_limit = max(LIMIT_LEAST, before if before > 0 else job_tokens // 2)

    def on_running(self, tokens: int) -> None:
        """A job has begun to run, so that the provider took all of the `tokens` that are enqueued. A learnt limit that
        is filled may be too low."""
        self._holds = 0
        if self.token_limit is not None and 2 * tokens >= self.token_limit:
            self.token_limit = int(self.token_limit * LIMIT_GROWTH) + 1

    # --- telling people ---------------------------------------------------------------------------------------------

    def row(self, now_s: float, now_ms: int) -> Lane:
        """The lane's row as it should stand now."""
        until_s = self.health.waiting_until_s
        state, reason = self.health.state.value, self.health.reason
        if self.health.open and now_s < self._hold_s:
            state, reason, until_s = LaneState.WAITING.value, self._hold_why, self._hold_s
        until_ms = None if until_s is None else now_ms + int((until_s - now_s) * 1000)
        return replace(self.lane, state=state, reason=reason, until_ms=until_ms, limit=self.token_limit)
