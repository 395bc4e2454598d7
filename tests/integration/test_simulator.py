"""The simulator on real sockets: the official client against it, and every fault as a client gets to see it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import openai
import pytest

from batchrouter.errors import ConfigError
from batchrouter.simulator import Entry, Match, Rule, Script, Settings, Simulator, Then, answer, expected_key
from batchrouter.simulator.faults import GARBAGE, IMPOSTOR
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Capacity, Fixed

CHAT = "/v1/chat/completions"
PATIENCE_S = 10.0


def chat_body(text: str = "hi", **members: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **members}).encode()


def post(body: bytes, path: str = CHAT, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: sim\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


@pytest.fixture(scope="module")
def process() -> Iterator[SimulatorProcess]:
    with running_simulator() as simulator:
        yield simulator


@pytest.fixture
def fresh(process: SimulatorProcess) -> SimulatorProcess:
    """The shared process with an empty log and an empty script."""
    process.set_script(Script())
    process.reset()
    return process


class RawClient:
    """A socket that hides nothing."""

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        assert at.hostname is not None
        self.socket = socket.create_connection((at.hostname, at.port or 0), timeout=PATIENCE_S)
        self.kept = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> tuple[bytes, bytes]:
        """The next reply that tells its length: head and body."""
        while b"\r\n\r\n" not in self.kept:
            self._more()
        head, _, self.kept = self.kept.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(self.kept) < length:
            self._more()
        body, self.kept = self.kept[:length], self.kept[length:]
        return head, body

    def rest(self) -> bytes:
        """All until the end of the connection."""
        with contextlib.suppress(EOFError):
            while True:
                self._more()
        rest, self.kept = self.kept, b""
        return rest

    def is_silent(self) -> bool:
        """Nothing comes and the connection stays open, as far as a moment can tell."""
        self.socket.settimeout(0.05)
        try:
            return not self.kept and self.socket.recv(1) is None
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE_S)

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(self.kept)
        self.kept += data


@pytest.fixture
def raw(fresh: SimulatorProcess) -> Iterator[RawClient]:
    client = RawClient(fresh.url)
    yield client
    client.socket.close()


def faulty(simulator: SimulatorProcess, fault: Any, **then: Any) -> None:
    simulator.set_script(Script(rules=(Rule(match=Match(contains="bad"), then=Then(fault=fault, **then)),)))


def last_entry(simulator: SimulatorProcess, end: str) -> Entry:
    """The newest entry once it has ended like this; the socket may be quicker than the log."""
    until = time.monotonic() + PATIENCE_S
    while (entry := simulator.log()[-1]).end != end and time.monotonic() < until:
        pass
    assert entry.end == end
    return entry


BODY = chat_body("bad")
ANSWER = answer(CHAT, BODY)


# --- the official client --------------------------------------------------------------------------------------------


def drive(client: openai.OpenAI) -> None:
    said = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello there"}])
    assert said.choices[0].message.content is not None
    assert said.choices[0].message.content.endswith(": Hello there")
    stream = client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "Hello there"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).endswith(": Hello there")
    assert chunks[-1].usage is not None
    assert client.responses.create(model="m", input="Hello").output_text.endswith(": Hello")
    assert len(client.embeddings.create(model="m", input=["a", "b"]).data[1].embedding) == 16
    assert client.completions.create(model="m", prompt="Once").choices[0].text.endswith(": Once")
    assert client.moderations.create(input="peace").results[0].flagged is False
    assert client.images.generate(model="m", prompt="x").data
    edited = client.images.edit(model="m", image=("a.png", b"\x89PNG"), prompt="make it blue")
    assert edited.data is not None
    assert str(edited.data[0].revised_prompt).endswith(": make it blue")
    assert [model.id for model in client.models.list()] == ["sim-large", "sim-small"]
    assert client.models.retrieve("any").id == "any"


def test_the_official_client_is_answered_on_every_endpoint(fresh: SimulatorProcess) -> None:
    with openai.OpenAI(base_url=fresh.base_url, api_key="any", max_retries=0) as client:
        drive(client)
    log = fresh.log()
    assert {entry.status for entry in log} == {200}
    assert len(log) == 10
    assert fresh.stats()["prompt_tokens"] == sum(entry.prompt_tokens for entry in log)


async def test_the_official_asynchronous_client_is_answered(fresh: SimulatorProcess) -> None:
    async with openai.AsyncOpenAI(base_url=fresh.base_url, api_key="any", max_retries=0) as client:
        asked = [
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": f"number {number}"}])
            for number in range(20)
        ]
        answers = await asyncio.gather(*asked)
    for number, said in enumerate(answers):
        assert str(said.choices[0].message.content).endswith(f": number {number}")


def test_the_official_client_retries_as_it_is_told(fresh: SimulatorProcess) -> None:
    fail = Rule(match=Match(first_tries=1), then=Then(status=429, headers={"retry-after-ms": "1"}))
    fresh.set_script(Script(rules=(fail,)))
    with openai.OpenAI(base_url=fresh.base_url, api_key="any", max_retries=1) as client:
        client.embeddings.create(model="m", input="a")
    assert [entry.status for entry in fresh.log()] == [429, 200]


# --- the socket -----------------------------------------------------------------------------------------------------


def test_a_connection_is_kept_and_each_answer_is_its_own(raw: RawClient, fresh: SimulatorProcess) -> None:
    for number in range(3):
        raw.send(post(chat_body(str(number))))
        assert raw.reply()[1] == answer(CHAT, chat_body(str(number)))
    log = fresh.log()
    assert [(entry.n, entry.request, entry.status, entry.end) for entry in log] == [
        (1, 1, 200, "sent"),
        (2, 2, 200, "sent"),
        (3, 3, 200, "sent"),
    ]
    assert len({entry.connection for entry in log}) == 1
    assert [entry.key for entry in log] == [expected_key(chat_body(str(number))) for number in range(3)]
    assert log[0].sent_ms is not None
    assert log[0].ms <= log[0].sent_ms <= log[1].ms


def test_requests_sent_ahead_are_answered_in_their_order(raw: RawClient, fresh: SimulatorProcess) -> None:
    slow = Rule(match=Match(contains="slow"), then=Then(delay_s=0.05))
    fresh.set_script(Script(rules=(slow,)))
    texts = ["slow", "b", "slow c", "d"]
    raw.send(b"".join(post(chat_body(text)) for text in texts))
    assert [raw.reply()[1] for _ in texts] == [answer(CHAT, chat_body(text)) for text in texts]
    assert fresh.stats()["in_flight_max"] == 1


def test_a_request_may_come_in_pieces_and_chunks(raw: RawClient) -> None:
    body = chat_body("pieces")
    chunked = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:])
    request = f"POST {CHAT} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".encode() + chunked
    for start in range(0, len(request), 7):
        raw.send(request[start : start + 7])
    assert raw.reply()[1] == answer(CHAT, body)


def test_an_offer_of_h2c_is_passed_over_and_the_body_kept(raw: RawClient) -> None:
    body = chat_body("java")
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA\r\n"
    request = post(body, headers=offer)
    raw.send(request[:-5])
    raw.send(request[-5:] + post(chat_body("next")))
    assert raw.reply()[1] == answer(CHAT, body)
    assert raw.reply()[1] == answer(CHAT, chat_body("next"))


def test_a_client_that_asks_first_is_told_to_go_on(raw: RawClient) -> None:
    body = chat_body("big")
    head, _, _ = post(body, headers="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    raw.send(head + b"\r\n\r\n")
    assert raw.reply()[0] == b"HTTP/1.1 100 Continue"
    raw.send(body)
    assert raw.reply()[1] == answer(CHAT, body)


@pytest.mark.parametrize("last", ["HTTP/1.0", "HTTP/1.1\r\nconnection: close"])
def test_a_client_that_wants_no_second_request_gets_the_connection_closed(raw: RawClient, last: str) -> None:
    raw.send(f"GET /v1/models {last}\r\nhost: a\r\n\r\n".encode())
    head, _ = raw.reply()
    assert b"connection: close" in head
    assert raw.rest() == b""


@pytest.mark.parametrize(("garbage", "status"), [(b"\x16\x03\x01\x00", b"400"), (b"GET /" + b"a" * 70_000, b"431")])
def test_what_is_no_request_is_refused_and_the_connection_closed(raw: RawClient, garbage: bytes, status: bytes) -> None:
    raw.send(garbage)
    head, _ = raw.reply()
    assert head.startswith(b"HTTP/1.1 " + status)
    with contextlib.suppress(ConnectionResetError):
        assert raw.rest() == b""


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "status"), [("close", 0), ("close_after_head", 200), ("half_body", 200)])
def test_a_reply_can_be_cut_short(raw: RawClient, fresh: SimulatorProcess, fault: str, status: int) -> None:
    faulty(fresh, fault)
    raw.send(post(BODY))
    head, _, body = raw.rest().partition(b"\r\n\r\n")
    shown = {"close": b"", "close_after_head": b"", "half_body": ANSWER[: len(ANSWER) // 2]}[fault]
    assert body == shown
    assert (f"content-length: {len(ANSWER)}".encode() in head) is (fault != "close")
    entry = last_entry(fresh, "broken")
    assert (entry.status, entry.fault) == (status, fault)
    assert fresh.stats()["completion_tokens"] == 0


def test_a_connection_can_be_reset(raw: RawClient, fresh: SimulatorProcess) -> None:
    faulty(fresh, "reset")
    raw.send(post(BODY))
    with pytest.raises(ConnectionResetError):
        raw.rest()
    assert last_entry(fresh, "broken").status == 0


def test_a_request_can_hang_until_its_client_goes(raw: RawClient, fresh: SimulatorProcess) -> None:
    faulty(fresh, "hang")
    raw.send(post(BODY))
    assert raw.is_silent()
    assert fresh.stats()["in_flight"] == 1
    raw.socket.close()
    assert last_entry(fresh, "client_closed").status == 0
    assert fresh.stats()["in_flight"] == 0


def test_bytes_can_follow_a_reply(raw: RawClient, fresh: SimulatorProcess) -> None:
    faulty(fresh, "extra_bytes")
    raw.send(post(BODY))
    assert raw.reply()[1] == ANSWER
    while len(raw.kept) < len(GARBAGE):
        raw._more()
    assert raw.kept == GARBAGE


def test_a_second_reply_can_come_that_answers_nobody(raw: RawClient, fresh: SimulatorProcess) -> None:
    faulty(fresh, "two_replies")
    raw.send(post(BODY))
    assert [raw.reply()[1], raw.reply()[1]] == [ANSWER, answer(CHAT, IMPOSTOR)]


@pytest.mark.parametrize(("fault", "says_so"), [("early_close", False), ("connection_close", True)])
def test_a_connection_can_end_after_a_reply(raw: RawClient, fresh: SimulatorProcess, fault: str, says_so: bool) -> None:
    faulty(fresh, fault)
    raw.send(post(BODY))
    head, body = raw.reply()
    assert body == ANSWER
    assert (b"connection: close" in head) is says_so
    assert raw.rest() == b""
    assert last_entry(fresh, "sent").status == 200


def test_a_body_can_be_ended_by_the_close(raw: RawClient, fresh: SimulatorProcess) -> None:
    faulty(fresh, "no_length")
    raw.send(post(BODY))
    head, _, body = raw.rest().partition(b"\r\n\r\n")
    assert b"content-length" not in head
    assert body == ANSWER


def test_a_body_can_come_in_chunks(raw: RawClient, fresh: SimulatorProcess) -> None:
    faulty(fresh, "chunked")
    raw.send(post(BODY, headers="connection: close\r\n"))
    head, _, coded = raw.rest().partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    body = b""
    while (size := int(coded.partition(b"\r\n")[0], 16)) > 0:
        start = coded.index(b"\r\n") + 2
        body += coded[start : start + size]
        coded = coded[start + size + 2 :]
    assert body == ANSWER
    assert coded == b"0\r\n\r\n"


def test_a_body_can_come_slowly(raw: RawClient, fresh: SimulatorProcess) -> None:
    faulty(fresh, "slow_body", over_s=0.1)
    raw.send(post(BODY))
    assert raw.reply()[1] == ANSWER
    entry = last_entry(fresh, "sent")
    assert entry.sent_ms is not None
    assert entry.sent_ms - entry.ms >= 95
    raw.send(post(chat_body("next")))
    assert raw.reply()[1] == answer(CHAT, chat_body("next"))


def test_a_client_may_leave_while_the_body_comes_slowly(raw: RawClient, fresh: SimulatorProcess) -> None:
    faulty(fresh, "slow_body", over_s=5)
    raw.send(post(BODY))
    while b"\r\n\r\n" not in raw.kept:
        raw._more()
    raw.socket.close()
    last_entry(fresh, "client_closed")
    assert fresh.stats()["in_flight"] == 0


def test_informational_replies_can_come_first(raw: RawClient, fresh: SimulatorProcess) -> None:
    faulty(fresh, "informational")
    raw.send(post(BODY))
    heads = [raw.reply() for _ in range(3)]
    assert [head.split(b" ")[1] for head, _ in heads] == [b"100", b"103", b"200"]
    assert heads[2][1] == ANSWER


def test_a_request_can_be_answered_with_another_protocol(raw: RawClient, fresh: SimulatorProcess) -> None:
    faulty(fresh, "upgrade")
    raw.send(post(BODY))
    assert raw.reply()[0].startswith(b"HTTP/1.1 101 ")
    raw.send(post(chat_body("nobody listens")))
    raw.kept = b""
    assert last_entry(fresh, "broken").status == 101
    assert len(fresh.log()) == 1


@pytest.mark.parametrize("status", [204, 418, 599])
def test_any_status_can_be_scripted(raw: RawClient, fresh: SimulatorProcess, status: int) -> None:
    fresh.set_script(Script(rules=(Rule(then=Then(status=status, headers={"X-A": "b"})),)))
    for _ in range(2):
        raw.send(post(BODY))
        head, body = raw.reply()
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"x-a: b" in head
        assert bool(body) is (status != 204)


# --- control plane and settings -------------------------------------------------------------------------------------


def test_the_log_can_be_asked_for_what_is_new_and_begun_anew(raw: RawClient, fresh: SimulatorProcess) -> None:
    for number in range(4):
        raw.send(post(chat_body(str(number))))
        raw.reply()
    assert [entry.n for entry in fresh.log(since=2)] == [3, 4]
    assert fresh.log(since=9) == []
    assert fresh.stats()["by_path"] == {CHAT: {"200": 4}}
    fresh.reset()
    assert fresh.log() == []
    assert fresh.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(b'{"seeed":1}', "/sim/script"), b"400"),
        (post(b"no json", "/sim/script"), b"400"),
        (b"GET /sim/log?since=x HTTP/1.1\r\nhost: a\r\n\r\n", b"400"),
        (b"GET /sim/nowhere HTTP/1.1\r\nhost: a\r\n\r\n", b"404"),
        (b"GET /sim/script HTTP/1.1\r\nhost: a\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", b"200"),
    ],
)
def test_the_control_plane_answers_and_leaves_no_trace_in_the_log(
    raw: RawClient, fresh: SimulatorProcess, request_bytes: bytes, status: bytes
) -> None:
    raw.send(request_bytes)
    assert raw.reply()[0].split(b" ")[1] == status
    assert fresh.log() == []


@contextlib.asynccontextmanager
async def inside(script: Script | None = None, **settings: Any) -> AsyncIterator[Simulator]:
    simulator = Simulator(script, Settings(**settings))
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


async def ask(simulator: Simulator, *requests: bytes) -> list[bytes]:
    """The requests on one connection each, at once; all bytes that came back until the close or a short silence."""

    async def one(request: bytes) -> bytes:
        at = urlsplit(simulator.url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        writer.write(request.replace(b"\r\nhost", b"\r\nconnection: close\r\nhost", 1))
        try:
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    return await asyncio.gather(*map(one, requests))


async def test_with_a_key_only_its_bearer_is_let_in() -> None:
    async with inside(api_key="sk-right") as simulator:
        keys = ["Authorization: Bearer sk-right\r\n", "authorization: Bearer sk-wrong\r\n", ""]
        replies = await ask(simulator, *[post(BODY, headers=key) for key in keys])
    assert [reply.split(b" ")[1] for reply in replies] == [b"200", b"401", b"401"]
    assert b'"code":"invalid_api_key"' in replies[1]


async def test_models_that_are_no_globs_are_listed() -> None:
    async with inside(models=("gpt-*", "llama")) as simulator:
        paths = ["/v1/models", "/v1/models/gpt-4", "/v1/models/other"]
        replies = await ask(simulator, *[f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode() for path in paths])
    assert [model["id"] for model in json.loads(replies[0].partition(b"\r\n\r\n")[2])["data"]] == ["llama"]
    assert [reply.split(b" ")[1] for reply in replies] == [b"200", b"200", b"404"]


async def test_beyond_capacity_requests_at_once_are_refused() -> None:
    script = Script(latency=Fixed(0.05), capacity=Capacity(in_flight=2, reject_above=3))
    async with inside(script) as simulator:
        replies = await ask(simulator, *[post(chat_body(str(number))) for number in range(5)])
        assert simulator.stats()["in_flight_max"] == 4
    assert sorted(reply.split(b" ")[1] for reply in replies) == [b"200", b"200", b"200", b"429", b"429"]


async def test_the_log_is_bounded_and_goes_to_a_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    async with inside(log_path=path, log_limit=2, keep_bodies=True) as simulator:
        for number in range(4):
            await ask(simulator, post(chat_body(str(number)), headers="X-Who: me\r\n"))
        assert [entry.n for entry in simulator.log] == [3, 4]
        assert [entry.n for entry in simulator.log.since(1)] == [3, 4]
        assert [entry.n for entry in simulator.log.since(3)] == [4]
    written = [msgspec.json.decode(line, type=Entry) for line in path.read_bytes().splitlines()]
    assert [entry.n for entry in written] == [1, 2, 3, 4]
    assert written[3].text == chat_body("3").decode()
    assert written[3].headers is not None
    assert written[3].headers["x-who"] == "me"


async def test_the_script_can_be_replaced_while_it_runs() -> None:
    async with inside() as simulator:
        before = await ask(simulator, post(BODY))
        simulator.script = Script(rules=(Rule(then=Then(status=500)),))
        after = await ask(simulator, post(BODY))
    assert [reply.split(b" ")[1] for reply in before + after] == [b"200", b"500"]


async def test_the_standard_loop_resets_and_stops_with_clients_waiting() -> None:
    rules = (Rule(match=Match(contains="gone"), then=Then(fault="reset")), Rule(then=Then(fault="hang")))
    async with inside(Script(rules=rules)) as simulator:
        with pytest.raises(ConnectionResetError):
            await ask(simulator, post(chat_body("gone")))
        waiting = asyncio.create_task(ask(simulator, post(chat_body("wait"))))
        while simulator.in_flight == 0:  # noqa: ASYNC110 - an arrival sets no event
            await asyncio.sleep(0)
    with contextlib.suppress(ConnectionResetError):
        assert await waiting == [b""]
    assert [entry.end for entry in simulator.log] == ["broken", "client_closed"]


async def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    simulator = Simulator()
    await simulator.stop()
    await simulator.start()
    await simulator.stop()
    await simulator.stop()


def test_it_speaks_tls(need: Callable[[str, str], str], tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = [need("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subject = ["-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with running_simulator(arguments=["--certfile", str(certificate), "--keyfile", str(key)]) as simulator:
        assert simulator.url.startswith("https://")
        trust = ssl.create_default_context(cafile=certificate)
        faulty(simulator, "reset")
        for body, whole in ((chat_body("good"), True), (BODY, False)):
            raw = RawClient(simulator.url)
            raw.socket = trust.wrap_socket(raw.socket, server_hostname="127.0.0.1")
            raw.send(post(body))
            if whole:
                assert raw.reply()[1] == answer(CHAT, body)
            else:
                with pytest.raises((ConnectionResetError, EOFError, ssl.SSLError)):
                    raw.reply()
            raw.socket.close()


# --- the process ----------------------------------------------------------------------------------------------------


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "batchrouter.simulator", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0(number: int) -> None:
    with started("--port", "0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert line.startswith("simulator at http://127.0.0.1:")
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--script", "nowhere.yaml"],
        ["--latency", "fast"],
        ["--certfile", "nowhere.pem"],
        ["--log-path", "no/where"],
        [],
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(arguments: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = 0 if arguments else taken.getsockname()[1]
        with started("--port", str(port), *arguments) as process:
            output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert output == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


def test_a_script_that_does_not_fit_is_refused_with_its_place(fresh: SimulatorProcess) -> None:
    with pytest.raises(ConfigError, match="refused POST /sim/script"):
        fresh._call("POST", "/sim/script", b'{"rules":[{}]}')
