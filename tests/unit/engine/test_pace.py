"""A lane keeps the pace that its upstream asks for: by the headers of good replies, by the body of a refusal."""

from __future__ import annotations

import json

import pytest

from batchrouter.domain.pacing import Pacing
from tests.unit.engine.house import Answer, House, chat, echo, refuse

MINUTE_S = 60.0


class Metered:
    """So many requests a minute, the first minute's at once. Either good replies tell what is left and refusals tell
    nothing; or (`as_google`) good replies tell nothing, and the body of a refusal when to come back."""

    def __init__(self, rpm: int, *, as_google: bool = False) -> None:
        self.rpm = rpm
        self.as_google = as_google
        self.left = float(rpm)
        self.at_s = 0.0
        self.refused = 0
        self.house: House | None = None

    def __call__(self, body: bytes) -> Answer:
        assert self.house is not None
        now_s = self.house.clock.mono_s()
        self.left = min(self.rpm, self.left + (now_s - self.at_s) * self.rpm / MINUTE_S)
        self.at_s = now_s
        if self.left < 1:
            self.refused += 1
            if self.as_google:
                return _google_refuses(f"{(1 - self.left) * MINUTE_S / self.rpm:.3f}s", wrapped=True)
            return refuse(429, delay_s=0.05)
        self.left -= 1
        if self.as_google:
            return echo(body, delay_s=0.5)
        told = {
            b"x-ratelimit-limit-requests": b"%d" % self.rpm,
            b"x-ratelimit-remaining-requests": b"%d" % self.left,
            b"x-ratelimit-reset-requests": b"%.3fs" % ((self.rpm - self.left) * MINUTE_S / self.rpm),
        }
        return echo(body, delay_s=0.5, headers=tuple(told.items()))


@pytest.mark.parametrize("rpm", [60, 300])
async def test_limits_that_good_replies_publish_are_used_up_and_never_run_into(rpm: int) -> None:
    """Two and a half minutes: what the bucket holds at once, then as fast as it fills, and nothing is refused."""
    upstream = Metered(rpm)
    house = upstream.house = House(upstream)
    await house.new_worker()
    lines = rpm * 5 // 2
    batch_id = await house.create(chat(lines))
    start_s = house.clock.mono_s()
    await house.run(batch_id)
    assert house.batch(batch_id).completed == lines
    assert (len(house.sent), upstream.refused) == (lines, 0)
    last_s = house.log[-1].at_s - start_s
    assert 0.99 * 1.5 * MINUTE_S <= last_s <= 1.05 * 1.5 * MINUTE_S
    in_a_minute = sum(call.at_s - start_s <= MINUTE_S for call in house.log)
    assert 0.95 * 2 * rpm <= in_a_minute <= 2 * rpm


def _google_refuses(delay: str, wrapped: bool) -> Answer:
    """As Gemini does: the wait is in the body alone, which its OpenAI-compatible face wraps in an array."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    body = {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED", "details": [info]}}
    return Answer(429, json.dumps([body] if wrapped else body).encode(), 0.05)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_wait_that_the_body_of_a_refusal_names_holds_the_whole_lane(wrapped: bool) -> None:
    """Two of twelve lines are refused: neither they nor the ten that were never sent go out before its time."""
    open_s = float("inf")

    def upstream(body: bytes) -> Answer:
        nonlocal open_s
        open_s = min(open_s, house.clock.mono_s() + 17.0)
        return echo(body) if house.clock.mono_s() >= open_s else _google_refuses("17s", wrapped)

    house = House(upstream, pacing=Pacing(fixed_in_flight=2))
    await house.new_worker()
    batch_id = await house.create(chat(12))
    await house.run_until(lambda: len(house.log) == 2)
    first_s = house.log[0].at_s
    await house.run_for(16.9)
    assert len(house.log) == 2
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 12
    assert len(house.log) == 14
    assert all(first_s + 17.05 <= call.at_s < first_s + 18.0 for call in house.log[2:12])
    await house.check_whole(batch_id)


async def test_a_rate_that_only_the_bodies_of_refusals_tell_of_is_found() -> None:
    """Ten a second, once the first minute's are used up: the lane soon sends as many, and hardly one is refused."""
    upstream = Metered(600, as_google=True)
    house = upstream.house = House(upstream)
    await house.new_worker()
    batch_id = await house.create(chat(1500))
    start_s = house.clock.mono_s()
    await house.run(batch_id, limit=20_000)
    assert house.batch(batch_id).completed == 1500
    assert 0.99 * 90 <= house.log[-1].at_s - start_s <= 1.05 * 90
    late = [call for call in house.log if call.at_s - start_s >= 40]
    assert len(late) <= 1.05 * 10 * (90 - 40)
