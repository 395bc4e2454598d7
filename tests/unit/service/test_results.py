"""Lines read while a batch runs, after it ended, after it was folded, and the files that people download: the same."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrouter import line_store
from batchrouter.adapters.memory import MemoryStore
from batchrouter.adapters.sql.store import SqlStore
from batchrouter.domain.file import FileRole
from batchrouter.domain.outcome import Flag, Outcome
from batchrouter.errors import ApiError, RecordsGone
from batchrouter.service import line_scan, results
from tests.conformance.scene import FAST, TENANT
from tests.unit.service.lives import BATCH, CALLER, Life, custom_id, request_line

OK, BAD, LATE, STOPPED = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.EXPIRED, Outcome.CANCELLED
MakeLife = Callable[..., Life]


@pytest.fixture(params=["memory", "sqlite"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeLife]:
    store = MemoryStore() if request.param == "memory" else SqlStore.open_sqlite(tmp_path, sync=False)
    yield lambda *ranges: Life(store, ranges)
    store.close()


def check(life: Life) -> None:
    """Whatever can be read now is what was settled, byte by byte, in both orders."""
    by_completion = life.all(limit=7)
    assert [line.line for line in by_completion] == life.order
    by_input = life.all("input", limit=5)
    assert [line.line for line in by_input] == sorted(life.told)
    for line in (*by_completion, *by_input):
        assert line.result == life.told[line.line]
        assert line.custom_id == json.dumps(custom_id(line.line)).encode()


def check_files(life: Life) -> None:
    lines = life.all("input")
    for role, good in ((FileRole.OUTPUT, True), (FileRole.ERROR, False)):
        told = [line.result or b"" for line in lines if line.record is not None and (line.record.outcome == OK) is good]
        assert b"".join(told) == life.file(role)


steps = st.lists(
    st.tuples(
        st.sampled_from(["settle", "settle", "settle", "blob", "fold", "tail", "restart"]),
        st.lists(
            st.tuples(st.integers(0, 19), st.sampled_from([OK, OK, BAD]), st.integers(0, 40)), min_size=1, max_size=8
        ),
        st.integers(1, 6),
    ),
    max_size=25,
)


def run_life(life: Life, script: list[tuple[str, list[tuple[int, Outcome, int]], int]], end: Outcome) -> None:
    """One who reads along sees every line once, whatever happens between two of his reads."""
    tailed: list[tuple[int, bytes | None]] = []
    after: str | None = None

    def tail(limit: int) -> bool:
        nonlocal after
        page = life.page(after, limit=limit)
        tailed.extend((line.line, line.result) for line in page.lines)
        after = str(page.next)
        return page.more

    for step, lines, limit in script:
        if step in ("settle", "blob"):
            life.settle(lines, inline=step == "settle")
        elif step == "fold":
            life.fold()
        elif step == "restart":
            life.reborn()
        else:
            tail(limit)
            check(life)
    check(life)
    life.finish(end)
    check(life)
    check_files(life)
    while life.fold():
        tail(1)
        check(life)
    life.reborn()
    check(life)
    check_files(life)
    while tail(4):
        pass
    assert tailed == [(line, life.told[line]) for line in life.order]
    assert Counter(life.order) == Counter(range(life.total))


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from([LATE, STOPPED]))
def test_all_readings_agree_with_the_files_line_by_line(
    script: list[tuple[str, list[tuple[int, Outcome, int]], int]], end: Outcome
) -> None:
    run_life(Life(MemoryStore(), (6, 1, 8, 5)), script, end)


def test_all_readings_agree_on_a_real_database(live: MakeLife) -> None:
    """Segments that cut across ranges, a line answered twice, blobs among small segments, folds in between."""
    script = [
        ("settle", [(7, OK, 3), (0, BAD, 9), (19, OK, 0)], 1),
        ("blob", [(8, OK, 30), (0, OK, 1), (6, OK, 5), (18, BAD, 3)], 1),
        ("tail", [(0, OK, 0)], 2),
        ("settle", [(line, OK, line) for line in range(6)], 1),
        ("fold", [(0, OK, 0)], 1),
        ("tail", [(0, OK, 0)], 3),
        ("settle", [(line, OK if line % 3 else BAD, 2) for line in (14, 12, 13, 9)], 1),
        ("restart", [(0, OK, 0)], 1),
        ("tail", [(0, OK, 0)], 6),
    ]
    run_life(live(6, 1, 8, 5), script, LATE)


def test_a_fold_between_two_reads_of_a_page_changes_nothing(live: MakeLife, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records are read, then the batch is folded whole and its small segments lose their bytes: they are read from
    the runs."""
    life = live(4)
    life.settle([(2, OK, 3), (0, BAD, 2)])
    life.settle([(3, BAD, 1), (1, OK, 9)])
    life.finish()
    real = line_store.LineStore.lines
    folded = []

    async def after_a_fold(*args: Any) -> list[bytes]:
        folded.append(await asyncio.to_thread(life.fold))
        return await real(*args)

    monkeypatch.setattr(line_store.LineStore, "lines", after_a_fold)
    assert [line.result for line in life.page().lines] == [life.told[line] for line in life.order]
    assert folded == [1]
    check(life)


def test_lines_are_chosen_by_what_became_of_them(live: MakeLife) -> None:
    life = live(6, 4)
    life.settle([(4, OK, 1), (1, BAD, 1)])
    life.settle([(8, OK, 1)], flags=Flag.INVALID_OUTPUT)
    life.settle([(2, BAD, 1), (0, OK, 1)], inline=False)
    life.settle([(9, OK, 0)], flags=Flag.REUSED)
    for _ in range(2):
        assert life.numbers(outcome="succeeded") == [4, 8, 0, 9]
        assert life.numbers(outcome="invalid_output,failed") == [1, 8, 2]
        assert life.numbers("input", outcome="failed") == [1, 2]
        assert life.numbers(finish_reason="none", outcome="failed") == [1, 2]
        assert life.numbers(finish_reason="stop,length") == [4, 8, 0, 9]
        assert life.numbers(code="400") == [1, 2]
        assert life.numbers(code="stuck") == [1]
        assert life.numbers(code="invalid_request_error,200") == [4, 8, 2, 0, 9]
        assert life.numbers(custom_id="d-8") == [8]
        assert life.numbers(custom_id="ïd-", outcome="failed") == [1, 2]
        assert life.numbers(text="ANSWER 4 É") == [4]
        assert life.numbers(text="what of 2?") == [2]
        assert life.numbers(text="strasse") == []
        assert life.numbers(text="straße", outcome="failed") == [1, 2]
        assert life.numbers(text="messages") == [], "the name of a member is no text"
        if life.scene.batch(BATCH).closing is None:
            assert life.numbers("input", outcome="unfinished,failed") == [1, 2, 3, 5, 6, 7]
            assert life.numbers("input", outcome="unfinished", custom_id="d-5") == [5]
            assert life.numbers("input", outcome="unfinished", text="what of 6") == [6]
            assert life.numbers("input", outcome="unfinished", code="400") == []
            life.finish()
            while life.fold():
                pass
            assert life.numbers(outcome="expired") == [3, 5, 6, 7]
            assert life.numbers(code="batch_expired") == [3, 5, 6, 7]
            assert life.numbers("input", outcome="unfinished") == []


def test_a_line_tells_its_record(live: MakeLife) -> None:
    life = live(3)
    life.settle([(1, OK, 1)], flags=Flag.REUSED)
    life.settle([(0, BAD, 1)])
    first, second = life.page(requests=True).lines
    assert first.record is not None
    assert (first.line, first.record.flags, first.lane, first.error_code) == (1, Flag.REUSED, FAST, None)
    assert (second.error_code, second.request) == ("invalid_request_error", request_line(0))
    unfinished = asyncio.run(life.results.line(CALLER, BATCH, 2))
    assert (unfinished.record, unfinished.result, unfinished.request) == (None, None, request_line(2))
    assert unfinished.custom_id == json.dumps(custom_id(2)).encode()
    one = asyncio.run(life.results.line(CALLER, BATCH, 1))
    assert (one.result, one.request) == (life.told[1], request_line(1))
    with pytest.raises(ApiError, match="has no line 3"):
        asyncio.run(life.results.line(CALLER, BATCH, 3))


def test_what_people_deleted_is_not_told(live: MakeLife) -> None:
    """The lines of a file that is gone keep their records; with both files the results are gone."""
    life = live(3)
    life.settle([(1, OK, 1), (0, BAD, 1)])
    life.finish()
    delete = life.scene.catalog.delete_file
    assert delete(TENANT, f"{BATCH}.output", life.scene.now)
    told = {line.line: line.result for line in life.all()}
    assert told == {1: None, 0: life.told[0], 2: life.told[2]}
    assert life.numbers(custom_id="d-1") == [1], "the request tells it"
    assert delete(TENANT, f"{BATCH}.in", life.scene.now)
    page = life.page(requests=True)
    assert [line.request for line in page.lines] == [None] * 3
    assert [line.custom_id is None for line in page.lines] == [True, False, False]
    assert delete(TENANT, f"{BATCH}.error", life.scene.now)
    with pytest.raises(ApiError) as refused:
        life.page()
    assert (refused.value.status, refused.value.code) == (404, "results_gone")


def test_an_input_whose_bytes_are_gone_costs_the_requests_alone(live: MakeLife) -> None:
    life = live(2)
    life.settle([(1, OK, 1)])
    asyncio.run(life.blobs.delete([f"files/{BATCH}.in"]))
    (line,) = life.page(requests=True).lines
    assert (line.result, line.request) == (life.told[1], None)
    assert life.numbers(text="what of") == []


def test_a_page_is_bounded_in_bytes_and_a_longer_line_passes_alone(
    live: MakeLife, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "PAGE_BYTES", 2_000)
    monkeypatch.setattr(results, "GROUP_BYTES", 700)
    life = live(12)
    life.settle([(line, OK, 3_000 if line == 5 else 200) for line in range(12)])
    pages, after = [], None
    while True:
        page = life.page(after)
        pages.append([line.line for line in page.lines])
        after = str(page.next)
        if not page.more:
            break
    assert [number for page in pages for number in page] == list(range(12))
    assert [5] in pages
    assert all(len(page) <= 4 for page in pages)


@pytest.mark.parametrize("query", [{"custom_id": "d-4"}, {"outcome": "failed"}], ids=["by bytes", "by records"])
def test_looking_is_bounded_in_time_and_goes_on_where_it_stopped(
    live: MakeLife, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    """A page may be empty; `next` always moves on."""
    monkeypatch.setattr(line_scan, "FIRST_SEGMENTS", 1)
    monkeypatch.setattr(line_scan, "MOST_SEGMENTS", 1)
    life = live(6)
    for line in range(6):
        life.settle([(line, BAD if line == 4 else OK, 1)])
    real = life.clock.mono_s

    def slow() -> float:
        life.clock.advance(1.5)
        return real()

    monkeypatch.setattr(life.clock, "mono_s", slow)
    sizes, after, found = [], None, []
    while True:
        page = life.page(after, **query)
        sizes.append(len(page.lines))
        found += [line.line for line in page.lines]
        assert str(page.next) != after
        after = str(page.next)
        if not page.more:
            break
    assert found == [4]
    assert len(sizes) > 2


def test_pages_end_where_they_say(live: MakeLife) -> None:
    """`more` is false exactly when nothing is left, and the end of one page is the beginning of the next."""
    life = live(4)
    assert (life.page().lines, life.page().more) == ((), False)
    life.settle([(0, OK, 1), (1, OK, 1)])
    page = life.page(limit=2)
    assert (len(page.lines), page.more) == (2, False)
    again = life.page(str(page.next))
    assert (again.lines, again.more) == ((), False)
    life.settle([(3, OK, 1)])
    assert [line.line for line in life.page(str(again.next)).lines] == [3]
    assert [line.line for line in life.page("i1", "input").lines] == [1, 3]
    for bad, order in (("i1", "completion"), ("c1-1", "input"), ("x", "input"), ("c1", "completion")):
        with pytest.raises(ApiError, match="not a cursor"):
            life.page(bad, order)  # type: ignore[arg-type]


def test_a_batch_folded_by_a_former_version_says_so() -> None:
    life = Life(MemoryStore(), (1,))
    life.settle([(0, OK, 1)])
    life.finish()
    life.fold()
    life.scene.store.state.batches[BATCH].records.clear()  # type: ignore[attr-defined]
    with pytest.raises(RecordsGone):
        life.page()


def test_many_small_segments_and_ranges(live: MakeLife, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_store, "TOGETHER", 5)
    monkeypatch.setattr(line_scan, "BLOCK_RECORDS", 3)
    life = live(*[3] * 20)
    for start in range(0, 60, 2):
        life.settle([((start * 7 + step) % 60, OK, 1) for step in range(2)])
    check(life)
    life.finish()
    while life.fold():
        check(life)
    check_files(life)
