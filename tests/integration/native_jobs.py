"""What the tests of the simulator's native batches share: input files, patience, and results by custom_id."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from batchrouter.simulator import script_from
from batchrouter.simulator.process import SimulatorProcess

CHAT: Final = "/v1/chat/completions"
PATIENCE_S = 10.0

T = TypeVar("T")


def chat(text: str, **members: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **members}


def line(name: str, body: dict[str, Any], url: str = CHAT, **members: Any) -> dict[str, Any]:
    return {"custom_id": name, "method": "POST", "url": url, "body": body, **members}


def jsonl(lines: Iterable[Any]) -> bytes:
    """Compact, so that a body's bytes can be known; text goes in as it is."""
    texts = [one if isinstance(one, str) else compact(one).decode() for one in lines]
    return "".join(f"{text}\n" for text in texts).encode()


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def greetings(count: int) -> list[dict[str, Any]]:
    return [line(f"r{number}", chat(f"hello {number}")) for number in range(count)]


def until(look: Callable[[], T], fits: Callable[[T], object]) -> T:
    """Look again and again until it fits; fails when that takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = look()
        if fits(seen):
            return seen
        assert time.monotonic() < deadline, f"still {seen}"
        time.sleep(0.002)


def records(content: bytes) -> dict[str, dict[str, Any]]:
    """The lines of a result file by custom_id; none may stand in it twice."""
    values = [json.loads(one) for one in content.decode().splitlines()]
    by_id = {value["custom_id"]: value for value in values}
    assert len(by_id) == len(values)
    return by_id


def play(simulator: SimulatorProcess, **batches: Any) -> SimulatorProcess:
    """Nothing happened yet, and jobs live like this from now on."""
    simulator.set_script(script_from({"batches": batches}))
    simulator.reset()
    return simulator


class Reply:
    """A reply as it came."""

    def __init__(self, raw: http.client.HTTPResponse) -> None:
        self.status = raw.status
        self.headers = {name.lower(): value for name, value in raw.getheaders()}
        self.body = raw.read()

    def json(self) -> Any:
        return json.loads(self.body)


def call(simulator: SimulatorProcess, method: str, url: str, body: bytes, headers: dict[str, str]) -> Reply:
    """One request, no redirect followed."""
    connection = http.client.HTTPConnection(urlsplit(simulator.url).netloc, timeout=10)
    try:
        connection.request(method, url.removeprefix(simulator.url), body, headers)
        return Reply(connection.getresponse())
    finally:
        connection.close()
