"""The machine over each store, and over broken twins that it must catch.

50 steps and few objects: with them a missing epoch check is found nearly always, with long random walks about half the
time. A machine that could not catch the twins would prove nothing about the stores.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from batchrouter.adapters.memory import MemoryStore
from batchrouter.adapters.memory.state import ShardRow
from batchrouter.domain.outcome import pack, unpack
from batchrouter.domain.settlement import RangeFence, ShardFence, admit
from tests.conformance.conftest import STORES, open_store
from tests.conformance.ledger_machine import over
from tests.conformance.scene import Store

EXAMPLES = {"memory": 150, "sqlite": 12}
HEALTH = list(HealthCheck)


@pytest.mark.parametrize("kind", STORES)
def test_no_mishap_loses_or_doubles_a_line(kind: str, tmp_path: Path) -> None:
    """Lapses, stale and repeated settles, moves, cancels, closes and restarts, in any order: every line counts once,
    and a batch that ended told every line."""
    numbers = itertools.count()

    def make_store() -> Store:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return open_store(kind, folder)

    run_state_machine_as_test(
        over(make_store),
        settings=settings(
            max_examples=EXAMPLES[kind], stateful_step_count=50, deadline=None, suppress_health_check=HEALTH
        ),
    )


def ignore_the_epoch(patch: pytest.MonkeyPatch) -> None:
    """Whoever once held the shard may settle."""

    def lax(
        records: bytes,
        shards: dict[int, ShardFence],
        ranges: dict[int, RangeFence],
        duty_epoch: int | None,
        costs: bytes,
    ) -> object:
        trusting = [
            each._replace(epoch=shards[each.shard].epoch) if each.shard in shards else each for each in unpack(records)
        ]
        return admit(pack(trusting), shards, ranges, duty_epoch, costs)

    patch.setattr("batchrouter.adapters.memory.shards.admit", lax)


def ignore_the_done_bits(patch: pytest.MonkeyPatch) -> None:
    """A line may be answered again and again."""

    def lax(
        records: bytes,
        shards: dict[int, ShardFence],
        ranges: dict[int, RangeFence],
        duty_epoch: int | None,
        costs: bytes,
    ) -> object:
        blank = {no: RangeFence(home.first_line, home.lines, 0) for no, home in ranges.items()}
        return admit(records, shards, blank, duty_epoch, costs)

    patch.setattr("batchrouter.adapters.memory.shards.admit", lax)


def free_without_raising_the_epoch(patch: pytest.MonkeyPatch) -> None:
    """A lapsed shard goes to the next worker under the epoch that the last one still has."""

    def free(self: ShardRow) -> None:
        self.owner = None
        self.epoch -= 1  # a claim raises it again, to what it was

    patch.setattr(ShardRow, "free", free)


def seal_without_closing_the_shards(patch: pytest.MonkeyPatch) -> None:
    """Answers go on counting while the gaps are written."""
    patch.setattr(ShardRow, "shut", lambda self: None)


TWINS: Sequence[Callable[[pytest.MonkeyPatch], None]] = (
    ignore_the_epoch,
    ignore_the_done_bits,
    free_without_raising_the_epoch,
    seal_without_closing_the_shards,
)


@pytest.mark.parametrize("breaking", TWINS, ids=lambda breaking: breaking.__name__)
def test_the_machine_catches_a_broken_store(breaking: Callable[[pytest.MonkeyPatch], None]) -> None:
    """Each twin lacks one defence, and is found out."""
    with pytest.MonkeyPatch.context() as patch:
        breaking(patch)
        with pytest.raises(AssertionError):
            run_state_machine_as_test(
                over(MemoryStore),
                settings=settings(
                    max_examples=200,
                    stateful_step_count=50,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    report_multiple_bugs=False,
                    suppress_health_check=HEALTH,
                ),
            )
