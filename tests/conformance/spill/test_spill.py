"""Every spill: what a process kept is its own while it lives, and the next one's when it is dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from batchrouter.adapters.memory.spill import MemorySpillPlace
from batchrouter.adapters.spill import FolderSpill
from batchrouter.domain.outcome import Outcome, Record
from batchrouter.domain.shard import SegmentDraft
from batchrouter.errors import SpillError
from batchrouter.ports.spill import Spill
from tests.conformance.scene import segment

LIMIT = 20_000


class OpenSpill(Spill, Protocol):
    def close(self) -> None:
        """The process ends, however it ends."""
        ...


def draft_of(lines: int, **changes: object) -> tuple[SegmentDraft, bytes]:
    records = [
        Record(
            line=line, range_no=0, shard=7, epoch=3, outcome=int(Outcome.SUCCEEDED), finish=0, status=200, attempts=1,
            flags=0, latency_ms=1, lane=1, tokens_in=1, tokens_cached=0, tokens_out=1, tokens_reasoning=0, offset=0,
            length=50,
        )
        for line in range(lines)
    ]  # fmt: skip
    packed, whole = segment(records)
    draft = SegmentDraft(batch_id="batch_1", length=len(whole), records=packed)
    return replace(draft, **changes), whole  # type: ignore[arg-type]


@pytest.fixture(params=["memory", "folder"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], OpenSpill]]:
    place, started = MemorySpillPlace(LIMIT), list[OpenSpill]()

    def make() -> OpenSpill:
        spill: OpenSpill
        if request.param == "memory":
            spill = place.open()
        else:
            spill = FolderSpill(tmp_path / "spill", LIMIT, f"token{len(started)}")
        started.append(spill)
        return spill

    yield make
    for spill in started:
        spill.close()


async def test_what_is_kept_comes_back_as_it_was(start: Callable[[], OpenSpill]) -> None:
    """All that is needed to settle it in its worker's name."""
    spill = start()
    draft, whole = draft_of(3, blob_key="segments/b/w-1", model="m", costs=bytes(24), duty_epoch=4)
    name = await spill.keep("w-1", draft, [whole[:10], b"", whole[10:]])
    kept = await spill.load(name)
    assert kept == ("w-1", replace(draft, duty_epoch=None), whole)


async def test_a_small_one_is_kept_without_being_kept_twice(start: Callable[[], OpenSpill]) -> None:
    """Its `data` are its bytes."""
    spill = start()
    draft, whole = draft_of(1)
    kept = await spill.load(await spill.keep("w-1", replace(draft, data=whole), [whole]))
    assert (kept.draft.data, kept.body) == (None, whole)


async def test_what_was_dropped_is_gone(start: Callable[[], OpenSpill]) -> None:
    """A repeat changes nothing."""
    spill = start()
    draft, whole = draft_of(1)
    name = await spill.keep("w-1", draft, [whole])
    for _ in range(2):
        await spill.drop(name)
    with pytest.raises(SpillError):
        await spill.load(name)


async def test_the_next_process_is_told_what_the_dead_left_and_nothing_of_the_living(
    start: Callable[[], OpenSpill],
) -> None:
    """Oldest first, once; and it does not take its own for another's."""
    first, second, third = start(), start(), start()
    names = []
    for spill in (first, second, third):
        for lines in (1, 2):
            draft, whole = draft_of(lines)
            names.append(await spill.keep("w-1", draft, [whole]))
    assert await third.left_behind() == []
    first.close()
    assert await third.left_behind() == names[:2]
    assert await third.left_behind() == []
    assert await second.left_behind() == []
    assert (await third.load(names[1])).body == draft_of(2)[1]
    await third.drop(names[0])
    third.close()
    assert sorted(await second.left_behind()) == sorted([names[1], *names[4:]])
    for name in (names[1], *names[2:]):
        await second.drop(name)
    second.close()
    assert await start().left_behind() == []


async def test_it_takes_no_more_than_it_may_hold(start: Callable[[], OpenSpill]) -> None:
    """All processes together; nothing of what is refused is left."""
    first, second = start(), start()
    draft, whole = draft_of(80)
    assert LIMIT < 3 * len(whole) < 1.5 * LIMIT
    await first.keep("w-1", draft, [whole])
    name = await second.keep("w-2", draft, [whole])
    with pytest.raises(SpillError, match="full"):
        await second.keep("w-2", draft, [whole])
    await second.drop(name)
    await second.keep("w-2", draft, [whole])
    first.close()
    assert len(await second.left_behind()) == 1
