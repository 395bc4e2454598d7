"""Providers whose batch APIs lie, rave, vanish and stall: every line ends once, with its own answer, in its window.

All batches run at once on one server that logs all it can, because each of them waits most of its time.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openai.types import Batch

from tests.acceptance.bad_input.hostile import SECRET, Hostile, running_hostile
from tests.lines import CHAT, FINAL, records
from tests.serving import KEY, ServerProcess, running_server

UPSTREAM_KEY = "sk-upstream-0a1b2c3d4e5f60718293"
WINDOW, WINDOW_S, MARGIN_S = "14s", 14, 6
LINES = 12
PRICE = {"input": 1, "output": 2, "batch_discount": 0.5}
PEAK_KIB = 400_000
"""Of the server's memory: it reads two results of 60 MB at once here, beside all others."""
BOTH = ("openai", "anthropic")
WAYS = [
    "html", "moved", "lost", "unlisted", "refused", "rejected", "vanishes", "flickers", "stalls", "deaf", "ponders",
    "rubbish", "twice", "missing", "truncated", "trickles", "gone", "lies", "early",
]  # fmt: skip
OF_ONE = {"rejected": "openai", "early": "openai"}
"""What only one of the dialects can say."""
CASES = [(provider, way) for provider in BOTH for way in WAYS if OF_ONE.get(way, provider) == provider]


class Scene:
    def __init__(self, server: ServerProcess, hostile: Hostile) -> None:
        self.server = server
        self.hostile = hostile
        self.batches: dict[tuple[str, str], dict[str, Any]] = {}
        self.objects: list[dict[str, Any]] = []
        self.peak_kib = 0

    def begin(self, provider: str, way: str) -> None:
        bodies = [
            {
                "model": way,
                "max_tokens": 99,
                "messages": [{"role": "user", "content": f"question {provider}-{way} {n}"}],
            }
            for n in range(LINES)
        ]
        lines = [
            {"custom_id": f"c{n}", "method": "POST", "url": CHAT, "provider": provider, "mode": "batch", "body": body}
            for n, body in enumerate(bodies)
        ]
        with self.server.client() as client:
            data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
            file = client.files.create(file=data, purpose="batch")
            body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": WINDOW}
            self.batches[provider, way] = self.server.ask("POST", "/v1/batches", body)

    def run(self) -> None:
        """Until all have ended; every object that was seen on the way is kept."""
        deadline = time.monotonic() + WINDOW_S + 25
        left = set(self.batches)
        while left:
            assert time.monotonic() < deadline, f"stuck: {[(key, self.batches[key]) for key in left]}"
            for key in list(left):
                seen = self.server.ask("GET", f"/v1/batches/{self.batches[key]['id']}")
                self.objects.append(seen)
                self.batches[key] = seen
                if seen["status"] in FINAL:
                    left.discard(key)
            time.sleep(0.3)
        status = Path(f"/proc/{self.server.pid}/status")
        if status.exists():
            self.peak_kib = int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0])

    def output(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        with self.server.client() as client:
            return records(client.files.content(batch["output_file_id"]).read())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running_hostile() as hostile:
        batch = {"enabled": True, "min_requests": 1, "min_time": 0, "poll_min": 0.3, "poll_max": 1}
        sides = {"base_url": hostile.url, "api_key": UPSTREAM_KEY, "batch": batch, "prices": {"*": PRICE}}
        config = {
            "providers": {name: {"type": name, **sides} for name in BOTH},
            "batches": {"completion_windows": ["24h", WINDOW], "overtake_margin": MARGIN_S},
        }
        folder = tmp_path_factory.mktemp("hostile-jobs")
        with running_server(folder, config, ["--log-level", "debug"]) as server:
            made = Scene(server, hostile)
            for case in CASES:
                made.begin(*case)
            made.run()
            yield made


@pytest.mark.parametrize(("provider", "way"), CASES)
def test_every_line_has_its_own_answer_in_time(scene: Scene, provider: str, way: str) -> None:
    batch = scene.batches[provider, way]
    assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", LINES)
    assert batch["completed_at"] <= batch["expires_at"]
    output = scene.output(batch)
    assert [line["custom_id"] for line in output] == [f"c{n}" for n in range(LINES)]
    for n, line in enumerate(output):
        said = line["response"]["body"]["choices"][0]["message"]["content"]
        assert said.endswith(f"question {provider}-{way} {n}")
    called = Counter({q: n for q, n in scene.hostile.called.items() if q.startswith(f"{provider}-{way} ")})
    assert max(called.values(), default=0) <= 1
    jobs = batch["batchrouter"]["jobs"]
    assert all(job["status"] == "collected" or job["maybe_paid_twice"] for job in jobs)


@pytest.mark.parametrize(("provider", "way"), CASES)
def test_nobody_is_asked_in_a_loop(scene: Scene, provider: str, way: str) -> None:
    """About each model's jobs, of both providers: a few calls in any second, and few in all."""
    times = [at for at, each, _ in scene.hostile.asked if each == way]
    for at in times:
        assert sum(at <= other < at + 1 for other in times) <= 2 * 6
    assert len(times) <= 2 * 3 * WINDOW_S


def test_creates_are_few(scene: Scene) -> None:
    """Of jobs whose creation nobody can tell of there is one; no batch has more than one and another try."""
    creates = Counter(way for _, way, what in scene.hostile.asked if what == "create")
    assert set(creates) == set(WAYS)
    assert max(creates.values()) <= 4
    assert {creates[way] for way in ("html", "lost", "unlisted")} == {2}


def test_memory_stays_small(scene: Scene) -> None:
    assert scene.peak_kib < PEAK_KIB


def test_every_object_fits_its_description_and_the_official_client(scene: Scene) -> None:
    """In all states that were seen, with the extension as `/openapi.json` tells it."""
    document = scene.server.ask("GET", "/openapi.json")
    reference = document["paths"]["/v1/batches/{batch_id}"]["get"]["responses"]["200"]["content"]["application/json"]
    validator = jsonschema.Draft202012Validator({**reference["schema"], "components": document["components"]})
    distinct = {json.dumps(each, sort_keys=True): each for each in scene.objects}
    for each in distinct.values():
        validator.validate(each)
        assert Batch.model_validate(each, strict=True).id == each["id"]
        for job in each["batchrouter"].get("jobs", ()):
            assert max(job["completed"], job["failed"]) < 2**31
    assert {each["status"] for each in distinct.values()} >= {"in_progress", "completed"}


def test_logs_and_reasons_hold_no_secrets(scene: Scene) -> None:
    """No keys, no prompts, no answers, nothing of what the provider says in its errors; nothing unforeseen befell."""
    told = json.dumps(scene.objects) + scene.server.log
    for secret in (SECRET, UPSTREAM_KEY, KEY, scene.server.admin_token, "echo ", "question "):
        assert secret not in told, secret
    assert "Traceback" not in scene.server.log
    assert " ERROR " not in scene.server.log
