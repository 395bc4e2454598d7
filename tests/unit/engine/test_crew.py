"""Several workers: fair between tenants and batches, within everybody's limits, and with one voice for each lane."""

from __future__ import annotations

from collections import Counter

import pytest

from batchrouter.domain.lifecycle import BATCH_FINAL
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.priority import Priority
from batchrouter.domain.sharing import EVERYTHING, Demand
from tests.unit.engine.crew import Crew
from tests.unit.engine.house import Answer, chat, cut_ranges, echo, model_of, refuse
from tests.unit.engine.test_fairness import mark_of, marked


async def test_shares_of_tenants_hold_over_several_workers() -> None:
    """Weights 1 and 3, three workers: lines are served one to three."""
    crew = Crew(lambda body: echo(body, delay_s=0.5), pacing=Pacing(fixed_in_flight=8))
    crew.add_tenant("heavy", 3)
    crew.add_tenant("light", 1)
    await crew.create(marked(3000, "light"), tenant="light")
    await crew.create(marked(3000, "heavy"), tenant="heavy")
    await crew.start(3)
    await crew.run_until(lambda: len(crew.log) >= 1700)
    count = Counter(map(mark_of, crew.sent[100:1700]))
    assert 2.7 <= count["heavy"] / count["light"] <= 3.3


@pytest.mark.parametrize("tenant", ["default", "other"])
async def test_ten_lines_do_not_wait_for_fifty_thousand(tenant: str) -> None:
    """All workers' hands are full of the large batch when the small one comes, of the same tenant or of another."""
    crew = Crew(lambda body: echo(body, delay_s=1.0), pacing=Pacing(fixed_in_flight=8))
    crew.add_tenant("other")
    await crew.start(3)
    await crew.create(marked(50_000, "large"))
    await crew.run_for(6)
    at_s = crew.clock.mono_s()
    small = await crew.create(marked(10, "small"), tenant=tenant)
    await crew.run_until(lambda: crew.batch(small, tenant).state in BATCH_FINAL)
    assert crew.clock.mono_s() - at_s < 8
    await crew.check_whole(small, tenant)


async def test_a_high_priority_goes_eight_to_one_over_all_workers() -> None:
    crew = Crew(lambda body: echo(body, delay_s=0.5), pacing=Pacing(fixed_in_flight=8))
    await crew.create(marked(3000, "normal"))
    await crew.create(marked(3000, "high"), priority=Priority.HIGH)
    await crew.start(2)
    await crew.run_until(lambda: len(crew.log) >= 1100)
    count = Counter(map(mark_of, crew.sent[100:1100]))
    assert 6.5 <= count["high"] / count["normal"] <= 9.5


async def test_a_limit_that_is_configured_is_kept_by_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten calls a second: three workers send as many, no more, and each of them its part."""
    cut_ranges(monkeypatch, 50)
    crew = Crew(lambda body: echo(body, delay_s=0.3), pacing=Pacing(rpm=600))
    await crew.start(3)
    start_s = crew.clock.mono_s()
    await crew.create(chat(900))
    await crew.run_for(60)
    for second in range(5, 55):
        assert len(crew.sent_between(start_s + second, start_s + second + 5)) <= 5 * 10 + 12
    late = crew.sent_between(start_s + 15, start_s + 60)
    assert len(late) >= 0.95 * 10 * 45
    parts = Counter(id(call._link) for call in late)
    assert len(parts) == 3
    assert max(parts.values()) <= 1.1 * min(parts.values())


async def test_a_tenants_quota_of_calls_in_flight_holds_over_lanes_and_workers() -> None:
    """Five for one tenant, who has two lanes; the other has all the rest, and people are told why lines wait."""
    crew = Crew(lambda body: echo(body, delay_s=1.0), pacing=Pacing(fixed_in_flight=8))
    crew.quota("small", 5)
    crew.add_tenant("free")
    await crew.start(2)
    lines = [line for i in range(500) for line in chat(1, model="m" if i % 2 else "n", start=i, user="small")]
    small = await crew.create(lines, tenant="small")
    await crew.create(chat(2000, model="x", user="free"), tenant="free")
    most = 0
    for _ in range(60):
        await crew.step()
        most = max(most, sum(mark_of(call.body) == "small" for call in crew.flying))
    assert most == 5
    shares = crew.store.catalog.lane_shares(small)
    assert ("waiting", "tenant_quota", None) in {(share.state, share.reason, share.until_ms) for share in shares}
    start_s = crew.clock.mono_s()
    await crew.run_for(10)
    mine = crew.sent_between(start_s, start_s + 10, lambda body: mark_of(body) == "small")
    assert len(mine) >= 0.8 * 50
    lanes = Counter(model_of(call.body) for call in mine)
    assert min(lanes.values()) >= 0.3 * len(mine)
    assert len(crew.sent_between(start_s, start_s + 10)) >= 100
    crew.quota("small", 12)
    changed_s = crew.clock.mono_s()
    await crew.run_until(lambda: sum(mark_of(call.body) == "small" for call in crew.flying) == 12)
    assert crew.clock.mono_s() - changed_s < 8
    crew.quota("small", None)
    await crew.run_until(lambda: crew.batch(small, "small").state in BATCH_FINAL)
    await crew.check_whole(small, "small")


async def test_a_dead_key_is_asked_by_one_worker_and_all_go_on_when_it_works_again() -> None:
    """Three workers find out for themselves; after that one probe at a time goes out, at one worker's interval."""
    mended = False

    def upstream(body: bytes) -> Answer:
        return echo(body, delay_s=0.2) if mended else refuse(401, "invalid_api_key", delay_s=0.05)

    crew = Crew(upstream, pacing=Pacing(fixed_in_flight=4))
    await crew.start(3)
    batch_id = await crew.create(chat(3000))
    await crew.run_for(20)
    burst = len(crew.log)
    assert crew.share(batch_id, "m").state == "paused"
    start_s = crew.clock.mono_s()
    await crew.run_for(700)
    probes = [call.at_s - start_s for call in crew.log[burst:]]
    assert 3 <= len(probes) <= 7
    mended = True
    await crew.run_until(lambda: len({id(call._link) for call in crew.log[burst + len(probes) :]}) == 3)
    first_s = next(call.ended_s for call in crew.log[burst + len(probes) :] if call.ended_s is not None)
    at_work: dict[int, float] = {}
    for call in crew.log[burst + len(probes) :]:
        at_work.setdefault(id(call._link), call.at_s)
    assert max(at_work.values()) - first_s <= 5
    await crew.run_for(3)
    assert crew.share(batch_id, "m").state == "open"
    await crew.run(batch_id)
    assert crew.batch(batch_id).completed == 3000


async def test_the_rows_of_lanes_are_not_written_over_and_over_by_several_workers() -> None:
    """One speaks for a lane that all work at; its limit is that of all together."""
    crew = Crew(lambda body: echo(body, delay_s=0.5), pacing=Pacing(fixed_in_flight=8))
    await crew.start(3)
    batch_id = await crew.create(chat(2000))
    await crew.run_for(20)
    noted = [crew.processes[worker.id].tally["note_lanes"] for worker in crew.workers]
    assert crew.share(batch_id, "m").limit == 24
    await crew.run_for(10)
    assert noted == [crew.processes[worker.id].tally["note_lanes"] for worker in crew.workers]
    await crew.run(batch_id)


async def test_a_lane_that_answers_fast_does_not_keep_a_quota_from_a_slow_one() -> None:
    """Calls of 50 ms and of a second: the lanes take turns, one call each."""
    crew = Crew(lambda body: echo(body, delay_s=0.05 if model_of(body) == "m" else 1.0))
    crew.quota("small", 4)
    await crew.start(1)
    lines = [line for i in range(400) for line in chat(1, model="m" if i % 2 else "n", start=i)]
    batch_id = await crew.create(lines, tenant="small")
    await crew.run_until(lambda: len(crew.log) >= 40)
    lanes = Counter(model_of(call.body) for call in crew.log[8:40])
    assert min(lanes.values()) >= 12
    crew.quota("small", None)
    await crew.run_until(lambda: crew.batch(batch_id, "small").state in BATCH_FINAL)


async def test_a_batch_that_is_cancelled_while_it_waits_for_a_quota_gives_its_turn_back() -> None:
    """Or its lane, which has nothing to send, would be asked first for ever, and the tenant's others never."""
    crew = Crew()
    crew.quota("small", 0)
    await crew.start(1)
    waiting = [await crew.create(chat(20, model="m"), tenant="small") for _ in range(2)]
    await crew.run_for(5)
    assert {crew.share(batch_id, "m").reason for batch_id in waiting} == {"tenant_quota"}
    first, second = waiting
    crew.cancel(first, "small")
    await crew.run_until(lambda: crew.batch(first, "small").state in BATCH_FINAL)
    tenants = crew.worker.dispatcher.sharing.tenants
    assert set(tenants.tell().values()) == {Demand(EVERYTHING)}, "the other one still waits"
    crew.cancel(second, "small")
    await crew.run_until(lambda: crew.batch(second, "small").state in BATCH_FINAL)
    tenants.tell()
    assert set(tenants.tell().values()) == {Demand(0)}
    crew.quota("small", 2)
    await crew.run(await crew.create(chat(20, model="n"), tenant="small"), limit=200)
