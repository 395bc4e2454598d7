"""The engine's side of the store: fenced verbs that move work.

Every verb is one transaction: it happened whole, or not at all. `worker` names an incarnation (never reused), and all
times are unix milliseconds given by the caller. A verb that finds its caller overtaken raises `StaleLease` and changes
nothing, except `settle`, which skips the records that no longer count. Calls are synchronous and may block on a disk:
the engine runs them in threads of its own (see `adapters.threads`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from batchrouter.domain.file import File, SegmentRef
from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.shard import (
    Beat,
    Claim,
    Duty,
    Fold,
    FoldWork,
    Lane,
    LaneKey,
    Load,
    Move,
    Outlook,
    Plan,
    Range,
    Rejection,
    SegmentDraft,
    Settled,
    WaitingGroup,
)
from batchrouter.domain.sharing import NO_DEMANDS, Demand


class Ledger(Protocol):
    # --- presence -------------------------------------------------------------------------------------------------

    def enlist(self, worker: str, now_ms: int, lease_ms: int, *, alone: bool) -> None:
        """Announce a new incarnation whose lease runs until now + `lease_ms`. With `alone` (the folder lock proves
        that nobody else lives) every other worker's lease ends now: its shards and duties are free, epochs raised.
        The duties are those on batches and on native jobs; the shards of a job are the job's, and stay so. All jobs
        that have not ended are due now: what they waited for (a key, say) may have been mended meanwhile."""
        ...

    def beat(
        self, worker: str, now_ms: int, lease_ms: int, loads: Sequence[Load], demands: Mapping[str, Demand] = NO_DEMANDS
    ) -> Beat:
        """Renew the lease, replace the worker's loads and demands (by gate), and free shards and duties of workers
        whose lease has lapsed (owner none, epoch raised). A beat frees nobody when half of its own lease or less was
        left: after an outage of the store all are late, and whoever came back first would take from the others what
        they have finished. It only renews then, and the next one frees. A worker that was itself freed meanwhile hears
        `alive` false, frees nobody and stays out. What it has in flight of batches in progress is noted as a sample,
        where the last one of that batch and lane is `domain.samples.due_ms` old."""
        ...

    def resign(self, worker: str) -> None:
        """Give back everything: shards free with epochs raised, duties free, loads and demands gone. A repeat changes
        nothing."""
        ...

    def outlook(self, worker: str, now_ms: int, folds_least: int) -> Outlook:
        """What there is to do, told by one read, so that the verbs that take it need not be tried."""
        ...

    def turn(self, name: str, now_ms: int, for_ms: int) -> bool:
        """Whether it is the caller's turn to do, for all workers, what this name means; then nobody else's for
        `for_ms`."""
        ...

    # --- duties: one step of one batch ----------------------------------------------------------------------------

    def take_duties(self, worker: str, now_ms: int, limit: int, apart: Collection[str] = ()) -> list[Duty]:
        """Batches that need a step and whose duty is free or already this worker's, oldest first, each taken under a
        new `duty_epoch`. A batch needs a step when it is `validating`; `in_progress` with every line done or past
        `expires_ms`, or with answers to copy; `finalizing`; `cancelling`. Those `apart`, whose step is under way, are
        left as they are."""
        ...

    def plan(self, worker: str, duty: Duty, decision: Plan | Rejection, now_ms: int) -> bool:
        """Apply what validation decided, if the batch is still `validating`: ranges, shards (lanes are made as
        needed), `total`, `model`, state `in_progress`; or `failed` with the errors. If it is `cancelling` and
        unplanned: the ranges without shards (or nothing, for a rejection). Frees the duty. False: too late, nothing
        changed. Raises `StaleLease` when the duty is no longer the worker's."""
        ...

    def copied(self, worker: str, duty: Duty) -> None:
        """What the batch keeps of another is copied: no more gap records count before `seal`. Frees the duty."""
        ...

    def close(self, worker: str, duty: Duty, event: BatchEvent, now_ms: int) -> bool:
        """Begin to close: COMPLETE (only if `Duty.answered`) or EXPIRE (only past `expires_ms`), by compare-and-set
        from `in_progress`. The first closer wins; False: the state had moved on. The duty is kept."""
        ...

    def seal(self, worker: str, duty: Duty) -> None:
        """Raise every open shard's epoch and close it, and so every shard by which an overtaken job still counts: from
        here on no answer of the batch counts, only gaps under this duty. A repeat changes nothing."""
        ...

    def finish(self, worker: str, duty: Duty, output: File | None, error: File | None, now_ms: int) -> bool:
        """End a sealed batch whose every line is done (or which was never planned): insert the file rows, set their
        ids, the final state and its time, all at once. False: it had ended already."""
        ...

    def ranges(self, batch_id: str, after: int, limit: int) -> list[Range]:
        """Ranges with `range_no` > `after` (-1 for all), ascending, at most `limit`."""
        ...

    # --- shards ---------------------------------------------------------------------------------------------------

    def waiting(self, now_ms: int) -> list[WaitingGroup]:
        """Open shards without an owner, of batches `in_progress` that are not paused, grouped by lane and batch; lanes
        of every mode."""
        ...

    def claim(self, worker: str, lane_id: int, batch_id: str, count: int, now_ms: int) -> list[Claim]:
        """Take up to `count` free shards of that batch in that lane, lowest range first, each under a raised epoch.
        Shards with nothing pending are closed on the way and not told. None of a paused batch. Raises
        `StaleLease` if the worker's own lease has lapsed."""
        ...

    def held(self, worker: str) -> list[Claim]:
        """Every open shard that is the worker's, by id, under the epoch that it has now. For a worker that did not hear
        the answer to a claim or a move: what is its own and not known to it would wait for the end of its lease."""
        ...

    def release(self, worker: str, shards: Sequence[tuple[int, int]]) -> None:
        """Give back (shard, epoch) pairs: owner none, epoch raised; closed instead where nothing is pending. Pairs that
        are no longer the worker's are skipped."""
        ...

    def move(self, worker: str, moves: Sequence[Move], now_ms: int) -> list[Claim]:
        """Carry out all moves or none (`StaleLease`): bits cleared in the old shard, a new open unowned shard in the
        target lane, the old shard under a raised epoch, still the worker's: that is the returned claim for each move,
        in order. Done bits are never moved. Old shards left with no member are closed, and told with `pending` 0."""
        ...

    def settle(self, worker: str, draft: SegmentDraft, now_ms: int) -> Settled:
        """Admit the records that `domain.settlement.admit` lets through: set done bits, add counts, tokens, bytes,
        costs and lanes, and store the segment under the batch's next `seq`, all at once. Locks the batch row, then
        ranges, then shards by id. Not an error when nothing counts. A batch that is gone admits nothing. Gap records
        (shard 0: lines without an end, and copied answers) count only under the batch's current duty epoch, after
        `seal` or while the batch is copying. Raises `StoreError` if there are costs and not
        one a record."""
        ...

    # --- folding --------------------------------------------------------------------------------------------------

    def take_folds(self, now_ms: int, until_ms: int, least: int, limit: int) -> list[FoldWork]:
        """Up to `limit` ranges with every line done and no run yet, oldest batch first, ascending; nobody else is told
        of them before `until_ms`. Of a batch that is in progress only if it has `least` of them, because neighbours
        that are folded together share a run."""
        ...

    def segments(self, batch_id: str, seqs: Sequence[int]) -> list[SegmentRef]:
        """The named segments, in the order asked; those that are gone are left out."""
        ...

    def folded(self, batch_id: str, folds: Sequence[Fold]) -> bool:
        """Name the runs of these ranges, of all or none. When the batch's last range is folded the inline bytes of its
        segments are dropped. False: one of them was folded already, has lines left to do, or is gone."""
        ...

    # --- lanes ----------------------------------------------------------------------------------------------------

    def lanes(self) -> list[Lane]: ...

    def note_lanes(self, lanes: Sequence[Lane]) -> None:
        """Write state, reason, until and limit of each; the key is not changed."""
        ...

    def probe(self, worker: str, lane_id: int, now_ms: int, until_ms: int) -> bool:
        """Whether this worker is, until `until_ms`, the one that probes the lane: it was already, or nobody else is
        whose time has not passed and whose row stands. False: nothing changed."""
        ...

    def lane(self, key: LaneKey) -> Lane:
        """The lane's row, made if it is not there."""
        ...

    # --- sweeping -------------------------------------------------------------------------------------------------

    def sweep(self, now_ms: int, linger_ms: int) -> list[str]:
        """Retention, in one step: files and uploads past their time are deleted as if by a person; bytes that no row
        needs are noted as garbage from now on; returns blob keys that have been garbage for `linger_ms`, at most
        1,000. A batch needs its input until it is final; segments and runs go when both output files are gone."""
        ...

    def forget(self, keys: Sequence[str]) -> None:
        """These garbage keys have been deleted."""
        ...

    def known(self, keys: Sequence[str]) -> frozenset[str]:
        """Which of these blob keys any row still names (garbage included). For finding orphans of a crash."""
        ...
