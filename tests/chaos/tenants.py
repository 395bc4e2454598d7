"""Tenants at work: each a thread that uploads, creates, polls, downloads, cancels and deletes by way of any API that
answers, and notes whatever no trouble excuses."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.chaos.evidence import FOREVER, POISON, Case, Line
from tests.lines import CHAT, FINAL, Asked, jsonl

ASK_S = 12.0
"""For one try: longer than an API waits for its database."""
RETRY_S = 0.3
OPEN_MAX = 5
MODELS = {"fast-1": 55, "fast-2": 8, "slow-1": 8, "flaky-1": 8, "limited-1": 6, "claude-haiku-4-5": 8, "native-1": 7}
SHORT = ("5s", "12s")
BOUNDARY = b"----chaos"


class Unreachable(Exception):
    """No API gave an answer in time."""


@dataclass
class Tenant:
    """`urls` are those of the APIs. `stop` ends the making of batches, `join` waits for the last of them."""

    name: str
    number: int
    key: str
    urls: Sequence[str]
    seed: int
    settle_s: float
    cases: list[Case] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    tries: int = 0
    failed_tries: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.seed} {self.name}")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._done: dict[str, int] = {}
        self._seen: dict[str, str] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self, within_s: float) -> None:
        self._thread.join(within_s)
        if self._thread.is_alive():
            self.faults.append(f"{self.name} is stuck")

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._work()
            self._settle()
        except Exception as error:  # told by the verdict
            self.faults.append(f"{self.name}: {type(error).__name__}: {error}")

    def _work(self) -> None:
        while not self._stopping.is_set():
            unfinished = [case for case in self.cases if not self._final(case)]
            if len(unfinished) < OPEN_MAX:
                self._create()
            for case in unfinished:
                self._look(case)
            self._stopping.wait(self._chance.uniform(0.1, 0.8))

    def _settle(self) -> None:
        deadline_s = time.monotonic() + self.settle_s
        while (left := [case for case in self.cases if not self._final(case)]) and time.monotonic() < deadline_s:
            for case in left:
                self._look(case)
            time.sleep(0.2)

    def _create(self) -> None:
        case = self._new_case()
        file_id = self._upload(jsonl(line.asked for line in case.lines))
        body = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": case.window}
        key = {"idempotency-key": f"{self.name}-{case.number}-{self.seed}"}
        self.cases.append(case)
        case.batch_id = self._json("POST", "/v1/batches", body, key)["id"]
        if self._chance.random() < 0.3:  # a client that never saw the reply
            again = self._json("POST", "/v1/batches", body, key)["id"]
            if again != case.batch_id:
                self.faults.append(f"{self.name}: one key made {case.batch_id} and {again}")
        if self._chance.random() < 0.25:
            self._ask("DELETE", f"/v1/files/{file_id}", accept=(200, 404))  # 404: the first try went through
        if self._chance.random() < 0.08:
            self._cancel(case)

    def _new_case(self) -> Case:
        number = len(self.cases)
        window = self._chance.choice(SHORT) if self._chance.random() < 0.25 else FOREVER
        case = Case(self.name, number, [], window)
        fat = self._chance.random() < 0.15
        for place in range(self._chance.choice((1, 20, 60, 120, 250))):
            model = self._chance.choices(list(MODELS), list(MODELS.values()))[0]
            case.lines.append(self._line(case, place, model, fat))
        return case

    def _line(self, case: Case, place: int, model: str, fat: bool) -> Line:
        marker = f"q{self.number}x{case.number}x{place}"
        poison = self._chance.random() < 0.03 and not model.startswith("native")
        words = f"{marker} {POISON if poison else 'well'} " + "word " * self._chance.randrange(40)
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": 300}
        if fat and model.startswith("fast"):
            body["n"] = 40  # an answer of ten KiB: its segment goes to the bucket
        return Line(Asked(f"id {place}", json.dumps(body).encode()), marker, model, poison)

    def _look(self, case: Case) -> None:
        batch = self._json("GET", f"/v1/batches/{case.batch_id}")
        counts = batch["request_counts"]
        done = counts["completed"] + counts["failed"]
        if done < self._done.get(case.batch_id, 0):
            self.faults.append(f"{case.batch_id}: {self._done[case.batch_id]} lines were done, now {done}")
        self._done[case.batch_id] = done
        case.batch = batch
        if batch["status"] in FINAL:
            self._download(case)
            self._look_around(case)
        elif self._chance.random() < 0.012:
            self._cancel(case)

    def _cancel(self, case: Case) -> None:
        case.cancel_asked = True
        status, text = self._ask("POST", f"/v1/batches/{case.batch_id}/cancel", accept=(200, 400, 409))
        if status != 200 and b"batch" not in text:
            self.faults.append(f"{case.batch_id}: cancel gave {status} {text[:200]!r}")

    def _download(self, case: Case) -> None:
        assert case.batch is not None
        case.output = self._content(case.batch.get("output_file_id"))
        case.errors = self._content(case.batch.get("error_file_id"))
        self._seen[case.batch_id] = _print_of(case.batch, case.output, case.errors)

    def _content(self, file_id: str | None, url: str | None = None) -> bytes:
        return self._ask("GET", f"/v1/files/{file_id}/content", url=url)[1] if file_id else b""

    def _look_around(self, case: Case) -> None:
        """Lists tell what is one's own, and nothing else."""
        own = {each.batch_id for each in self.cases}
        for batch in self._json("GET", "/v1/batches?limit=20")["data"]:
            if batch["id"] not in own:
                self.faults.append(f"{self.name} was shown {batch['id']}")

    def spy(self, other: Tenant) -> None:
        """Nothing of another tenant is there. To be called when all is quiet."""
        for case in other.cases[-3:]:
            assert case.batch is not None
            paths = [f"/v1/batches/{case.batch_id}"]
            paths += [f"/v1/files/{case.batch[name]}/content" for name in ("output_file_id",) if case.batch.get(name)]
            for path in paths:
                status, _ = self._ask("GET", path, accept=(404,))
                if status != 404:
                    self.faults.append(f"{self.name} may see {path} of {other.name}")

    def see_again(self) -> None:
        """Every API tells the same of every batch, and the same as before."""
        for case in self.cases:
            if case.batch is None or not self._final(case):
                continue
            for url in self.urls:
                batch = json.loads(self._ask("GET", f"/v1/batches/{case.batch_id}", url=url)[1])
                output = self._content(batch.get("output_file_id"), url)
                errors = self._content(batch.get("error_file_id"), url)
                if _print_of(batch, output, errors) != self._seen.get(case.batch_id):
                    self.faults.append(f"{case.batch_id} is final and has changed: {json.dumps(batch)[:300]}")

    def _final(self, case: Case) -> bool:
        return case.batch_id in self._seen

    # --- asking -----------------------------------------------------------------------------------------------------

    def _upload(self, content: bytes) -> str:
        head = b'--%b\r\ncontent-disposition: form-data; name="%b"'
        form = b"\r\n".join(
            [
                head % (BOUNDARY, b"purpose") + b"\r\n\r\nbatch",
                head % (BOUNDARY, b"file") + b'; filename="in.jsonl"\r\n\r\n' + content,
                b"--%b--\r\n" % BOUNDARY,
            ]
        )
        kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
        return str(json.loads(self._ask("POST", "/v1/files", form, kind)[1])["id"])

    def _json(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        kind = {"content-type": "application/json"} if body is not None else {}
        return json.loads(self._ask(method, path, content, {**kind, **(headers or {})})[1])

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        accept: tuple[int, ...] = (200,),
        url: str | None = None,
    ) -> tuple[int, bytes]:
        """Until an API gives an answer that is no excuse. Raises `Unreachable`, and AssertionError for a refusal."""
        deadline_s = time.monotonic() + self.settle_s
        while True:
            self.tries += 1
            try:
                status, text = self._once(method, path, body, headers or {}, url or self._chance.choice(self.urls))
            except (OSError, http.client.HTTPException) as error:
                status, text = 0, repr(error).encode()
            if status in accept:
                return status, text
            if 0 < status < 500 and status != 429:
                raise AssertionError(f"{method} {path}: {status} {text[:300]!r}")
            self.failed_tries += 1
            if time.monotonic() > deadline_s:
                raise Unreachable(f"{method} {path}: {status} {text[:300]!r} after {self.settle_s:.0f} s")
            time.sleep(RETRY_S)

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str], url: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ASK_S)
        try:
            connection.request(method, path, body, {"authorization": f"Bearer {self.key}", **headers})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()


def _print_of(batch: dict[str, Any], output: bytes, errors: bytes) -> str:
    told = {name: batch.get(name) for name in ("status", "request_counts", "usage", "output_file_id", "error_file_id")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode() + output + b"|" + errors).hexdigest()
