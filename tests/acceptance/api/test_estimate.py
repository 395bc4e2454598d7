"""What a file would cost, asked over HTTP; and the limit of what a batch may cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import requests

from batchrouter.domain.cost import RateCard, Tier
from batchrouter.domain.shard import LaneKey, LaneMode
from tests.acceptance.api.rig import USER_KEY, Rig

AUTH = {"Authorization": f"Bearer {USER_KEY}"}
FULL = RateCard((Tier(input=2_000_000, cached=1_000_000, written=2_000_000, output=8_000_000),), "test")
HALF = RateCard((Tier(input=1_000_000, cached=500_000, written=1_000_000, output=4_000_000),), "test")


class Known:
    """Prices of the provider `sim`, and of no other."""

    async def cards(self, keys: Sequence[LaneKey]) -> list[RateCard | None]:
        full_or_half = {LaneMode.REALTIME: FULL, LaneMode.BATCH: HALF}
        return [full_or_half[key.mode] if key.provider == "sim" else None for key in keys]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig(prices=Known()) as rig:
        yield rig


def line(number: int, *, words: int = 10, **more: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": "word " * words}], **more.pop("body", {})}
    return {"custom_id": f"c{number}", "method": "POST", "url": "/v1/chat/completions", "body": body, **more}


def upload(rig: Rig, lines: Sequence[dict[str, Any]]) -> str:
    data = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    reply = requests.post(
        f"{rig.url}/v1/files", headers=AUTH, files={"file": ("f.jsonl", data)}, data={"purpose": "batch"}
    )
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def estimate(rig: Rig, file_id: str) -> dict[str, Any]:
    reply = requests.get(f"{rig.url}/v1/files/{file_id}/estimate", headers=AUTH)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def create(rig: Rig, file_id: str, metadata: dict[str, str] | None) -> requests.Response:
    body = {
        "input_file_id": file_id,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": metadata,
    }
    return requests.post(f"{rig.url}/v1/batches", headers=AUTH, json=body)


def test_tokens_and_costs_of_each_lane(rig: Rig) -> None:
    lines = [line(n, body={"max_tokens": 100}) for n in range(90)]
    lines += [line(100 + n, words=1000, body={"max_tokens": 100}) for n in range(10)]
    lines += [line(200 + n, provider="other") for n in range(5)]
    told = estimate(rig, upload(rig, lines))
    assert (told["object"], told["lines"], told["faulty"]) == ("file.estimate", 105, 0)
    sim, other = told["lanes"]
    assert (sim["provider"], sim["model"], sim["lines"]) == ("sim", "m", 100)
    tokens = sim["tokens"]["input"]
    # A body is "word " ten times and about 80 bytes of JSON; four bytes a token.
    assert 20 <= tokens["p50"] <= 50
    assert tokens["p50"] == tokens["p90"] < tokens["p99"]
    assert 1250 <= tokens["p99"] <= 1320
    assert abs(tokens["max"] - tokens["p99"]) <= tokens["p99"] / 100
    assert abs(tokens["total"] - (90 * tokens["p50"] + 10 * tokens["max"])) <= 100
    assert sim["tokens"]["output"]["most"] == 100 * 100
    assert (sim["chosen"], other["chosen"]) == ("batch", "realtime")  # 5 lines are not worth a job
    full, half = sim["modes"]
    assert (full["mode"], half["mode"], full["prices"]) == ("realtime", "batch", "test")
    assert full["cost_of_inputs"] == pytest.approx(tokens["total"] * 2e-6, rel=0.02)
    assert full["cost_most"] == pytest.approx(full["cost_of_inputs"] + 10_000 * 8e-6, rel=0.02)
    assert half["cost_most"] == pytest.approx(full["cost_most"] / 2, rel=0.001)
    assert full["seconds"] > 0
    assert half["seconds"] is None
    # No price and no bound: unknown, and not nothing.
    assert other["modes"][0]["cost_of_inputs"] is None
    assert other["tokens"]["output"]["most"] is None
    assert told["tokens"]["output"]["most"] is None


def test_lines_that_could_not_run_are_counted_apart(rig: Rig) -> None:
    told = estimate(rig, upload(rig, [line(1), line(2, provider="nobody"), line(1)]))
    assert (told["lines"], told["faulty"], told["lanes"][0]["lines"]) == (3, 2, 1)


def test_what_is_no_batch_input_has_no_estimate(rig: Rig) -> None:
    reply = requests.post(
        f"{rig.url}/v1/files", headers=AUTH, files={"file": ("f.txt", b"hello")}, data={"purpose": "user_data"}
    )
    refused = requests.get(f"{rig.url}/v1/files/{reply.json()['id']}/estimate", headers=AUTH)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "file_id")
    unknown = requests.get(f"{rig.url}/v1/files/file-unknown/estimate", headers=AUTH)
    assert unknown.status_code == 404


def test_a_limit_of_cost_is_kept_with_the_batch(rig: Rig) -> None:
    file_id = upload(rig, [line(1)])
    made = create(rig, file_id, {"max_cost": "$2.50", "job": "nightly"})
    assert made.status_code == 200
    assert made.json()["batchrouter"]["max_cost"] == 2.5
    assert made.json()["metadata"] == {"max_cost": "$2.50", "job": "nightly"}
    assert made.json()["usage"]["cost"] is None
    assert create(rig, file_id, None).json()["batchrouter"]["max_cost"] is None


@pytest.mark.parametrize("told", ["", "-1", "1e3", "five", "1,5", "nan", "99999999", "1.0000000001"])
def test_what_is_no_sum_of_dollars_is_refused(rig: Rig, told: str) -> None:
    refused = create(rig, upload(rig, [line(1)]), {"max_cost": told})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid_max_cost"
    assert refused.json()["error"]["param"] == "metadata.max_cost"


def test_a_limit_without_a_price_is_refused_at_create(rig: Rig) -> None:
    file_id = upload(rig, [line(1), line(2, provider="other")])
    refused = create(rig, file_id, {"max_cost": "5"})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "price_unknown"
    assert "other/m" in refused.json()["error"]["message"]
    assert create(rig, file_id, None).status_code == 200


def test_a_priority_is_kept_with_the_batch(rig: Rig) -> None:
    file_id = upload(rig, [line(1)])
    for word in ("high", "normal", "low"):
        assert create(rig, file_id, {"priority": word}).json()["batchrouter"]["priority"] == word
    assert create(rig, file_id, None).json()["batchrouter"]["priority"] == "normal"
    for told in ("", "urgent", "1", "HIGH"):
        refused = create(rig, file_id, {"priority": told})
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (400, "invalid_priority", "metadata.priority")
