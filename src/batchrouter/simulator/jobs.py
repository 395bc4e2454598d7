"""The life of a native batch job, the same for every dialect. Pure: time is given, nothing here waits.

    validating ──▶ in_progress ──▶ finalizing ──▶ completed
        │               │               │
        ├──▶ failed ◀───┤               │
        └───────────────┴───────────────┴──▶ expired | cancelling ──▶ cancelled

A job is asked what it is at a moment (`phase`, `done`), and told what happens to it from outside (`begin`, `refuse`,
`cancel`; a test's `finish`, `stall`, `expire`). Whatever has happened by a moment stays as it is at every later one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum

import xxhash

from batchrouter.simulator.jobscript import FailLines, JobError, Life


class Phase(StrEnum):
    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


ENDED = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.EXPIRED, Phase.CANCELLED})


class Job:
    """One job. Until `begin` or `refuse` it is validating, however long `validate_s` is.

    `window_s` is the provider's own, from creation; None: it never expires by itself. Lines finish one after the other
    at equal distances; which line is the k-th to finish is told by `finish_order`. Lines go on finishing while a cancel
    takes its time, as those in flight do.
    """

    def __init__(self, life: Life, created_s: float, window_s: float | None = None) -> None:
        self.life = life
        self.created_s = created_s
        window_s = life.expire_after_s if life.expire_after_s is not None else window_s
        self.expires_s = None if window_s is None else created_s + window_s
        self.total = 0
        self.errors: tuple[JobError, ...] = ()
        self.validated_s: float | None = None
        self.cancelling_s: float | None = None
        self._refused_s: float | None = None
        self._stalled_s: float | None = None
        self._finished_s: float | None = None

    # --- what happens to it -----------------------------------------------------------------------------------------

    def begin(self, now_s: float, lines: int) -> None:
        """The input was read and is good. Work starts when `validate_s` is over, or now when that has passed."""
        self.total = lines
        fails = self.life.fail_job
        if fails is not None and fails.after_lines == 0:
            self.refuse(now_s, fails.errors)
            return
        self.validated_s = max(now_s, self.created_s + self.life.validate_s)
        if self._finished_s is not None:
            self.validated_s = self._finished_s = now_s

    def refuse(self, now_s: float, errors: tuple[JobError, ...]) -> None:
        """The whole job is rejected, when `validate_s` is over. Nothing of it runs."""
        self._refused_s = max(now_s, self.created_s + self.life.validate_s)
        self.errors = errors

    def cancel(self, now_s: float) -> bool:
        """Ask for the end, which takes `cancel_s`. False when it has ended already; a repeat changes nothing."""
        if self.phase(now_s) in ENDED:
            return False
        if self.cancelling_s is None:
            self.cancelling_s = now_s
        return True

    def finish(self, now_s: float) -> None:
        """All lines that are not done yet are done now, stalled or not. A repeat changes nothing."""
        if self._finished_s is not None:
            return
        self._finished_s = now_s
        if self.validated_s is not None:
            self.validated_s = min(self.validated_s, now_s)

    def stall(self, now_s: float) -> None:
        """No further line is done from now on, until `finish`. A repeat changes nothing."""
        if self._stalled_s is None:
            self._stalled_s = now_s

    def expire(self, now_s: float) -> None:
        """Its window ends now. Nothing when it has ended already."""
        if self.phase(now_s) not in ENDED:
            self.expires_s = now_s

    # --- what it is at a moment -------------------------------------------------------------------------------------

    def phase(self, now_s: float) -> Phase:
        end, end_s = self._end()
        if end_s <= now_s:
            return end
        if self.cancelling_s is not None and self.cancelling_s <= now_s:
            return Phase.CANCELLING
        if self.validated_s is None or now_s < self.validated_s:
            return Phase.VALIDATING
        return Phase.FINALIZING if self.worked_s() <= now_s else Phase.IN_PROGRESS

    def done(self, now_s: float) -> int:
        """How many lines were finished by then; of an ended job those that were when it ended."""
        now_s = min(now_s, self._end()[1])
        if self.validated_s is None or now_s < self.validated_s:
            return 0
        if self._finished_s is not None and self._finished_s <= now_s:
            return self.total
        if self._stalled_s is not None:
            now_s = min(now_s, self._stalled_s)
        most = self._most()
        turn_s = self._turn_s()
        if turn_s == 0:
            return most
        # A quotient may fall short of the line that is due at this very moment; the due times themselves cannot, and
        # `next_s` wakes at them.
        done = max(0, min(most, math.floor((now_s - self.validated_s) / turn_s)))
        return done + 1 if done < most and self._due_s(done + 1) <= now_s else done

    def ended_s(self) -> float | None:
        """When it ends or ended, as far as can be foreseen; None: only if something happens to it."""
        end_s = self._end()[1]
        return end_s if end_s < math.inf else None

    def worked_s(self) -> float:
        """When the last line is done; infinite when that never comes."""
        if self.validated_s is None:
            return math.inf
        by_itself = self._due_s(self.total) if self._most() == self.total else math.inf
        if self._stalled_s is not None and by_itself > self._stalled_s:
            by_itself = math.inf
        return min(by_itself, self._finished_s if self._finished_s is not None else math.inf)

    def next_s(self, now_s: float) -> float | None:
        """The next moment after `now_s` at which there is more done or another phase; None: never, left alone."""
        end_s = self._end()[1]
        ahead = [end_s, self.worked_s()]
        if self.validated_s is not None:
            ahead.append(self.validated_s)
            done = self.done(now_s)
            if done < self._most() and (self._stalled_s is None or self._due_s(done + 1) <= self._stalled_s):
                ahead.append(self._due_s(done + 1))
        return min((moment for moment in ahead if now_s < moment <= end_s and moment < math.inf), default=None)

    # --- how it is reckoned -----------------------------------------------------------------------------------------

    def _end(self) -> tuple[Phase, float]:
        """Its terminal phase and when it begins (infinite: never); the earliest end wins, and a cancel over all."""
        if self.cancelling_s is not None:
            return Phase.CANCELLED, self.cancelling_s + self.life.cancel_s
        ends = [(self.worked_s() + self.life.finalize_s, 0, Phase.COMPLETED)]
        if self.expires_s is not None:
            ends.append((self.expires_s, 1, Phase.EXPIRED))
        if self._refused_s is not None:
            ends.append((self._refused_s, 2, Phase.FAILED))
        fails = self.life.fail_job
        if fails is not None and fails.after_lines and self._most() >= fails.after_lines:
            ends.append((self._due_s(fails.after_lines), -1, Phase.FAILED))
        end_s, _, end = min(ends)
        return end, end_s

    def failure(self) -> tuple[JobError, ...]:
        """The errors of a job that failed."""
        fails = self.life.fail_job
        return self.errors or (fails.errors if fails is not None else ())

    def _most(self) -> int:
        """How many lines will ever be done by themselves."""
        stall = self.life.stall_after
        return self.total if stall is None else min(stall, self.total)

    def _turn_s(self) -> float:
        if self.life.lines_per_s is not None:
            return 1.0 / self.life.lines_per_s
        return self.life.work_s / self.total if self.total else 0.0

    def _due_s(self, lines: int) -> float:
        """When so many lines are done, left alone."""
        return math.inf if self.validated_s is None else self.validated_s + self._turn_s() * lines


def finish_order(total: int, seed: int = 0) -> Iterator[int]:
    """Which line is the first to finish, the second, and so on: every index below `total` once, far from sorted.

    The same for the same total and seed. Holds nothing, whatever the total.
    """
    if total <= 0:
        return
    stride = max(1, round(total * 0.618))
    while math.gcd(stride, total) != 1:
        stride += 1
    start = xxhash.xxh3_64_intdigest(b"%d" % seed) % total
    for place in range(total):
        yield (start + place * stride) % total


def failure_of(rules: tuple[FailLines, ...], index: int, body: bytes, seed: int = 0) -> FailLines | None:
    """The first of the rules that hits the line with this body, `index` counted from 0 in the job; None: none does."""
    for rule in rules:
        if rule.every is not None:
            if (index + 1) % rule.every == 0:
                return rule
        elif rule.share is not None:
            drawn = xxhash.xxh3_64_intdigest(b"fail" + body, seed & (2**64 - 1)) / 2**64
            if drawn < rule.share:
                return rule
    return None
