"""Native jobs that stall, expire, fail, are lost or refused: their batches complete before their windows all the same,
and no line is paid for twice that need not be.

All batches run at once, on one server, because each of them waits most of its time. Every test looks at its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from openai.types import Batch

from batchrouter.simulator import Entry, Script
from batchrouter.simulator.jobscript import Batches, FailJob, JobMatch, JobRule, Life
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.acceptance.flows.two_upstreams import anthropic_at, calls, file_of, line, number_of, openai_at, paid
from tests.lines import counts, errors_of, finished, output_of, records, until, upload
from tests.serving import ServerProcess, running_server

WINDOW, WINDOW_S, MARGIN_S = "15s", 15, 7
EACH = 12
"""Lines of a batch; real time is taken to need a second for three of them, so jobs are cancelled after 4 s, and lines
are sent by force after 9.6 s."""
STALLED = 5
PRICES = {"*": {"input": 1, "output": 2, "batch_discount": 0.5}}


def of_model(glob: str, first: int | None = None, **life: Any) -> JobRule:
    return JobRule(match=JobMatch(model=glob, first=first), then=Life(**life))


JOBS = Script(
    batches=Batches(
        jobs=(
            of_model("stalls", stall_after=STALLED, cancel_s=0.5),
            of_model("hardly-cancelled", stall_after=STALLED, cancel_s=60),
            of_model("expires", first=1, stall_after=STALLED, expire_after_s=1.0),
            of_model("expires-always", stall_after=STALLED, expire_after_s=0.5),
            of_model("fails", fail_job=FailJob()),
            of_model("cancelled", lines_per_s=4, cancel_s=0.5),
        )
    )
)
LOST = Script(batches=Batches(lost_create=1, list_delay_s=1.0, work_s=0.5))
TIGHT = Script(batches=Batches(enqueued_tokens=1200, work_s=2.0))
"""Room for one job of 30 lines, not for two."""


@dataclass(frozen=True)
class Scene:
    """What was begun: a batch, the lines that it has, and where they run."""

    id: str
    numbers: range
    simulator: SimulatorProcess

    def log(self) -> list[Entry]:
        return [entry for entry in calls(self.simulator) if number_of(entry) in self.numbers]


@dataclass(frozen=True)
class House:
    server: ServerProcess
    client: openai.OpenAI
    simulators: dict[str, SimulatorProcess]
    scenes: dict[tuple[str, str], Scene]

    def begin(self, provider: str, model: str, window: str = "24h", count: int = EACH) -> Scene:
        begin = sum(len(scene.numbers) for scene in self.scenes.values())
        numbers = range(begin, begin + count)
        lines = [line(number, model, provider=provider) for number in numbers]
        batch = upload(self.client, file_of(lines), window=window)
        name = model if (provider, model) not in self.scenes else f"{model}-again"
        scene = self.scenes[provider, name] = Scene(batch.id, numbers, self.simulators[provider])
        return scene

    def completed(self, scene: Scene) -> Batch:
        """The batch at its end; each line has its own answer, once, in the output."""
        batch = finished(self.client, scene.id, 40)
        assert (batch.status, counts(batch)) == ("completed", (len(scene.numbers), len(scene.numbers), 0))
        assert batch.completed_at is not None
        assert batch.expires_at is not None
        assert batch.completed_at <= batch.expires_at
        output = records(output_of(self.client, batch))
        assert [int(each["custom_id"].split()[1]) for each in output] == list(scene.numbers)
        for each, number in zip(output, scene.numbers, strict=True):
            assert each["response"]["body"]["choices"][0]["message"]["content"].endswith(f": question {number}")
        return batch

    def jobs(self, scene: Scene) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = self.server.ask("GET", f"/v1/batches/{scene.id}")["batchrouter"]["jobs"]
        return jobs

    def lanes(self, scene: Scene) -> dict[str, dict[str, Any]]:
        """By mode."""
        told = self.server.ask("GET", f"/v1/batches/{scene.id}")["batchrouter"]["lanes"]
        return {lane["mode"]: lane for lane in told}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    scripts = {
        "openai": JOBS,
        "anthropic": JOBS,
        "openai-lost": LOST,
        "anthropic-lost": LOST,
        "tight": TIGHT,
    }
    with ExitStack() as stack:
        simulators = {
            name: stack.enter_context(running_simulator(script, ["--keep-bodies"])) for name, script in scripts.items()
        }
        config = {
            "providers": {
                name: (anthropic_at if "anthropic" in name else openai_at)(each, prices=PRICES)
                for name, each in simulators.items()
            },
            "batches": {"completion_windows": ["24h", WINDOW], "overtake_margin": MARGIN_S, "mode": "batch"},
        }
        server = stack.enter_context(running_server(tmp_path_factory.mktemp("overtaking"), config))
        house = House(server, stack.enter_context(server.client()), simulators, {})
        for provider in ("openai", "anthropic"):
            house.begin(provider, "stalls", WINDOW)
            house.begin(provider, "hardly-cancelled", WINDOW)
            house.begin(provider, "cancelled", count=40)
            house.begin(provider, "expires")
            house.begin(provider, "expires-always")
            house.begin(provider, "fails")
            house.begin(f"{provider}-lost", "lost")
        house.begin("tight", "tight", count=30)
        house.begin("tight", "tight", count=30)
        yield house


both = pytest.mark.parametrize("provider", ["openai", "anthropic"])


@both
def test_a_cancelled_batch_keeps_what_its_job_had_finished(house: House, provider: str) -> None:
    scene = house.scenes[provider, "cancelled"]
    deadline = 15.0
    until(house.client, scene.id, lambda _: len(scene.log()) >= 3, deadline)
    house.client.batches.cancel(scene.id)
    batch = finished(house.client, scene.id)
    log = scene.log()
    total, completed, failed = counts(batch)
    assert (batch.status, total, failed) == ("cancelled", 40, 0)
    assert 3 <= completed < 40
    assert completed == len(log)
    assert {entry.end for entry in log} == {"native"}
    output = {int(each["custom_id"].split()[1]) for each in records(output_of(house.client, batch))}
    assert output == {number_of(entry) for entry in log}
    left = records(errors_of(house.client, batch))
    assert {each["error"]["code"] for each in left} == {"batch_cancelled"}
    assert len(left) == 40 - completed


@both
def test_a_job_that_stalls_is_overtaken_in_time_and_each_line_is_paid_once(house: House, provider: str) -> None:
    scene = house.scenes[provider, "stalls"]
    batch = house.completed(scene)
    log = scene.log()
    assert Counter((entry.end, entry.status) for entry in log) == {
        ("native", 200): STALLED,
        ("sent", 200): EACH - STALLED,
    }
    assert set(paid(log).values()) == {1}
    (job,) = house.jobs(scene)
    assert (job["status"], job["lines"], job["maybe_paid_twice"]) == ("collected", EACH, 0)
    assert job["reason"].startswith("overtaken")
    assert job["cancelling_at"] - batch.created_at <= WINDOW_S - EACH / 3 - MARGIN_S + 2
    # Nothing of it was sent in real time before the job had ended.
    cancels = [entry for entry in scene.simulator.log() if entry.path.endswith(f"{job['provider_job_id']}/cancel")]
    first_sent_ms = min(entry.ms for entry in log if entry.end == "sent")
    assert len(cancels) == 1
    assert first_sent_ms >= cancels[0].ms + 500
    # Paid as a batch for what the job did, and in full for the rest.
    lanes = house.lanes(scene)
    assert (lanes["batch"]["done"], lanes["realtime"]["done"]) == (STALLED, EACH - STALLED)
    for mode, end, share in (("batch", "native", 0.5), ("realtime", "sent", 1.0)):
        tokens = [(entry.prompt_tokens, entry.completion_tokens) for entry in log if entry.end == end]
        dollars = sum(prompt + 2 * completion for prompt, completion in tokens) * share / 1e6
        assert lanes[mode]["cost"] == pytest.approx(dollars, abs=1e-12)


@both
def test_a_job_that_ends_too_late_is_overtaken_by_force_and_told_as_maybe_paid_twice(
    house: House, provider: str
) -> None:
    scene = house.scenes[provider, "hardly-cancelled"]
    house.completed(scene)
    log = scene.log()
    (job,) = house.jobs(scene)
    twice = sum(times - 1 for times in paid(log).values())
    assert set(paid(log).values()) == {1, 2}
    assert twice == STALLED
    assert twice <= job["maybe_paid_twice"] <= EACH
    assert sum(1 for entry in log if entry.end == "sent") == job["maybe_paid_twice"]


@both
def test_what_an_expired_job_leaves_is_given_to_one_more_and_then_to_real_time(house: House, provider: str) -> None:
    for model, jobs, native in (("expires", 2, EACH), ("expires-always", 2, 2 * STALLED)):
        scene = house.scenes[provider, model]
        house.completed(scene)
        log = scene.log()
        assert set(paid(log).values()) == {1}
        assert sum(1 for entry in log if entry.end == "native") == native
        assert len({entry.job for entry in log if entry.job}) == jobs
        assert [job["maybe_paid_twice"] for job in house.jobs(scene)] == [0] * jobs


@both
def test_a_job_that_fails_as_a_whole_leaves_its_lines_to_real_time(house: House, provider: str) -> None:
    scene = house.scenes[provider, "fails"]
    house.completed(scene)
    log = scene.log()
    assert Counter(entry.end for entry in log if entry.status == 200) == {"sent": EACH}
    assert 1 <= len(house.jobs(scene)) <= 2


@both
def test_a_create_whose_reply_was_lost_makes_no_second_job(house: House, provider: str) -> None:
    scene = house.scenes[f"{provider}-lost", "lost"]
    house.completed(scene)
    log = scene.log()
    assert Counter((entry.end, entry.status) for entry in log) == {("native", 200): EACH}
    assert len({entry.job for entry in log}) == 1
    (job,) = house.jobs(scene)
    assert job["provider_job_id"] == log[0].job
    made = "/v1/messages/batches" if provider == "anthropic" else "/v1/batches"
    # Those without a reply have status 0; lists are asked by GET under the same path.
    assert sum(1 for entry in scene.simulator.log() if entry.path == made and entry.end == "broken") == 1


def test_where_too_much_is_enqueued_jobs_wait_and_no_line_fails(house: House) -> None:
    first, second = house.scenes["tight", "tight"], house.scenes["tight", "tight-again"]
    for scene in (first, second):
        house.completed(scene)
        assert Counter((entry.end, entry.status) for entry in scene.log()) == {("native", 200): 30}
    reasons = [job["reason"] or "" for scene in (first, second) for job in house.jobs(scene)]
    assert len([reason for reason in reasons if reason.startswith("limit")]) == 1
