"""Webhooks over real sockets: receivers that misbehave, and addresses that must not be reached."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any, ClassVar

import pytest

from batchrouter.adapters.clock import RealClock
from batchrouter.adapters.http.webhook_poster import REPLY_BYTES, WebhookPoster
from batchrouter.domain.address_rules import Address, AddressRules, networks_of
from batchrouter.domain.webhook import Answer
from batchrouter.domain.webhook_url import UrlRules
from tests.integration.http.conftest import Certificate, Play

HERE = UrlRules(AddressRules(True), allow_http=True)
STRICT = UrlRules(AddressRules(), allow_http=True)
HEADERS = {"webhook-id": "wh_1", "webhook-timestamp": "5", "webhook-signature": "v1,x"}
BODY = b'{"id":"evt_1"}'
SOON_S = 0.3
"""For receivers that never answer."""

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """Reads each request whole, then behaves. `host`: one of this machine's own addresses."""

    def __init__(self, behave: Behaviour, host: str = "127.0.0.1", port: int = 0, tls: Any = None) -> None:
        self._behave = behave
        self._host, self._port, self._tls = host, port, tls
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.visits = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}/hook?token=t"

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, self._host, self._port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            self.heads.append(head)
            self.bodies.append(await reader.readexactly(length))
            await self._behave(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def says(data: bytes) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return behave


def answers(status: str, *fields: str) -> Behaviour:
    return says("\r\n".join([f"HTTP/1.1 {status}", *fields, "Content-Length: 2", "", "ok"]).encode())


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A head that never ends, a field at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A body that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A body that is announced and never comes."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    await reader.read()


async def redirect_loop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 301 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")


@asynccontextmanager
async def posting(rules: UrlRules = HERE, **options: Any) -> AsyncIterator[WebhookPoster]:
    poster = WebhookPoster(rules, RealClock(), **options)
    try:
        yield poster
    finally:
        await poster.aclose()


async def told(behave: Behaviour, **options: Any) -> Answer:
    async with Receiver(behave) as receiver, posting(**options) as poster:
        return await poster.post(receiver.url, HEADERS, BODY)


# --- receivers ------------------------------------------------------------------------------------------------------


def test_a_message_arrives_as_it_was_signed(play: Play) -> None:
    """Bytes and headers; who sends; one connection for each."""

    async def scene() -> None:
        async with Receiver(answers("200 OK")) as receiver, posting() as poster:
            for _ in range(2):
                assert await poster.post(receiver.url, HEADERS, BODY) == Answer(status=200, error=None)
        assert receiver.bodies == [BODY] * 2
        assert receiver.visits == 2
        head = receiver.heads[0].decode().lower()
        assert head.startswith("post /hook?token=t http/1.1")
        for line in ("webhook-id: wh_1", "webhook-timestamp: 5", "webhook-signature: v1,x", "application/json"):
            assert line in head
        assert "user-agent: batchrouter/" in head

    play(scene)


BEHAVIOURS: dict[str, tuple[Behaviour, int | None, str | None]] = {
    "an error": (answers("500 Oh"), 500, None),
    "gone": (answers("410 Gone"), 410, None),
    "nothing to say": (says(b"HTTP/1.1 204 Nothing\r\n\r\n"), 204, None),
    "an endless body": (endless, 200, None),
    "a body that never comes": (stalling, 200, None),
    "a redirect to itself": (redirect_loop, 301, None),
    "no answer": (never, None, "no reply came within"),
    "a head that trickles": (trickle, None, "no reply came within"),
    "a close": (says(b""), None, "the connection ended before a reply came"),
    "a close in the middle": (says(b"HTTP/1.1 200 OK\r\nContent-Le"), None, "ended before a reply came"),
    "garbage": (says(b"garbage\r\n\r\n"), None, "no HTTP reply"),
    "a huge head": (says(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n"), None, "no HTTP reply"),
}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_whatever_a_receiver_does_is_told_in_words(play: Play, name: str) -> None:
    """Ours, in bounded time."""
    behave, status, words = BEHAVIOURS[name]

    async def scene() -> None:
        answer = await told(behave, timeout_s=SOON_S)
        assert answer.status == status
        assert (answer.error is None) == (words is None)
        assert words is None or words in str(answer.error)

    play(scene)


def test_no_more_of_a_reply_is_read_than_a_little(play: Play) -> None:
    """A receiver that sends megabytes fills nobody's memory: its writes are cut off."""
    sent = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(10_000):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async def scene() -> None:
        assert (await told(counting)).status == 200
        assert sent < 100 * 1024 * 1024
        assert REPLY_BYTES < 65536

    play(scene)


def test_a_redirect_is_not_followed(play: Play) -> None:
    """Neither to another receiver nor to an address that may not be asked."""

    async def scene() -> None:
        async with Receiver(answers("200 OK")) as other:
            for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
                answer = await told(answers(status, f"Location: {other.url}"))
                assert answer.status == int(status[:3])
            assert other.visits == 0

    play(scene)


def test_when_to_come_again_is_read_as_seconds_and_as_a_date(play: Play) -> None:
    """And nothing else is."""

    async def scene() -> None:
        date = formatdate(RealClock().unix_ms() / 1000 + 3600, usegmt=True)
        for value, low, high in (("120", 120, 120), (date, 3500, 3600), ("soon", None, None), ("-5", None, None)):
            found = (await told(answers("429 Slow", f"Retry-After: {value}"))).retry_after_s
            assert (found is None) if low is None else (found is not None and low <= found <= (high or 0))
        assert (await told(answers("503 Away", "Retry-After: " + "9" * 100))).retry_after_s is None

    play(scene)


def test_a_receiver_that_nobody_plays_is_told(play: Play) -> None:
    async def scene() -> None:
        async with Receiver(never) as receiver:
            url = receiver.url
        async with posting() as poster:
            answer = await poster.post(url, HEADERS, BODY)
        assert answer.status is None
        assert "no connection could be made" in str(answer.error)

    play(scene)


def test_certificates_are_verified(play: Play, certificate: Certificate) -> None:
    """Against the system's authorities, or those of a file."""

    async def scene() -> None:
        async with Receiver(answers("200 OK"), tls=certificate.context()) as receiver:
            async with posting() as poster:
                answer = await poster.post(receiver.url, HEADERS, BODY)
                assert answer == Answer(status=None, error="its TLS certificate cannot be verified")
            async with posting(ca_file=str(certificate.file)) as poster:
                assert (await poster.post(receiver.url, HEADERS, BODY)).status == 200
                assert receiver.bodies == [BODY]

    play(scene)


# --- addresses ------------------------------------------------------------------------------------------------------


def names(*turns: Sequence[str]) -> tuple[Callable[[str, int], Awaitable[Sequence[str]]], list[str]]:
    """A resolver that gives these addresses in turn, the last from then on; and what it was asked."""
    asked: list[str] = []

    async def lookup(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return turns[min(len(asked), len(turns)) - 1]

    return lookup, asked


@asynccontextmanager
async def neighbours() -> AsyncIterator[tuple[Receiver, Receiver]]:
    """On 127.0.0.2 and on 127.0.0.3, at the same port."""
    async with (
        Receiver(answers("200 OK"), "127.0.0.2") as one,
        Receiver(answers("200 OK"), "127.0.0.3", one.port) as other,
    ):
        yield one, other


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "localhost",
        "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.0.0.1.", "%31%32%37.0.0.1", "①②⑦.0.0.1", "0", "0.0.0.0",
        "[::]", "127.0.0.1%00.example.com", "LOCALHOST",
    ],
)  # fmt: skip
def test_no_spelling_of_an_address_reaches_this_machine(play: Play, host: str) -> None:
    """By the system's own resolver: whoever listens here hears nothing, and the log says why."""

    async def scene() -> None:
        async with Receiver(answers("200 OK")) as receiver, posting(STRICT) as poster:
            answer = await poster.post(f"http://{host}:{receiver.port}/", HEADERS, BODY)
            assert answer.status is None
            assert answer.error
            assert receiver.visits == 0

    play(scene)


def test_a_name_with_a_private_address_is_refused_in_words(play: Play) -> None:
    """Name and address are told."""

    async def scene() -> None:
        for address, kind in (("10.0.0.7", "private"), ("169.254.169.254", "metadata"), ("::ffff:10.1.1.1", "private")):
            lookup, _ = names([address])
            async with posting(STRICT, lookup=lookup) as poster:
                answer = await poster.post("http://inside.example/", HEADERS, BODY)
            assert answer.status is None
            assert answer.error is not None
            assert f"inside.example ({address})" in answer.error
            assert kind in answer.error

    play(scene)


def test_a_name_that_means_another_address_a_moment_later_reaches_nothing_else(play: Play) -> None:
    """It is asked for once an attempt, and connected to what was checked: one network is allowed here, and the resolver
    then names a neighbour."""
    rules = UrlRules(AddressRules(networks_of(["127.0.0.2/32"])), allow_http=True)

    async def scene() -> None:
        async with neighbours() as (allowed, secret):
            lookup, asked = names(["127.0.0.2"], ["127.0.0.3"])
            async with posting(rules, lookup=lookup) as poster:
                url = f"http://rebound.example:{allowed.port}/"
                assert (await poster.post(url, HEADERS, BODY)).status == 200
                assert asked == ["rebound.example"]
                refused = await poster.post(url, HEADERS, BODY)
                assert refused.status is None
                assert "127.0.0.3" in str(refused.error)
            assert (allowed.visits, secret.visits) == (1, 0)

    play(scene)


def test_of_several_addresses_only_those_that_may_be_asked_are(play: Play) -> None:
    """Whatever their order, and also when the first does not answer."""
    rules = UrlRules(AddressRules(networks_of(["127.0.0.2/32", "127.0.0.4/32"])), allow_http=True)

    async def scene() -> None:
        async with neighbours() as (allowed, secret):
            for order in (["127.0.0.3", "127.0.0.2"], ["127.0.0.4", "127.0.0.3", "127.0.0.2"]):
                lookup, _ = names(order)
                async with posting(rules, lookup=lookup) as poster:
                    answer = await poster.post(f"http://many.example:{allowed.port}/", HEADERS, BODY)
                    assert answer.status == 200
            assert (allowed.visits, secret.visits) == (2, 0)

    play(scene)


class Forgetful(AddressRules):
    """Finds nothing wrong with an address the first time it is asked."""

    asked: ClassVar[list[Address]] = []

    def why_not(self, address: Address) -> str | None:
        self.asked.append(address)
        return None if len(self.asked) == 1 else super().why_not(address)


def test_the_socket_is_the_last_place_where_an_address_is_looked_at(play: Play) -> None:
    """Whatever was overlooked before: nothing is connected to unchecked."""

    async def scene() -> None:
        lookup, _ = names(["127.0.0.1"])
        Forgetful.asked.clear()
        async with Receiver(answers("200 OK")) as receiver:
            async with posting(UrlRules(Forgetful(), allow_http=True), lookup=lookup) as poster:
                answer = await poster.post(f"http://overlooked.example:{receiver.port}/", HEADERS, BODY)
            assert "127.0.0.1 is an address that is loopback" in str(answer.error)
            assert receiver.visits == 0

    play(scene)


def test_http_and_odd_urls_are_refused_at_each_attempt(play: Play) -> None:
    """The settings may have changed since the endpoint was made."""

    async def scene() -> None:
        async with Receiver(answers("200 OK")) as receiver, posting(UrlRules(AddressRules(True))) as poster:
            answer = await poster.post(receiver.url, HEADERS, BODY)
            assert "allow_http" in str(answer.error)
            assert receiver.visits == 0

    play(scene)


def test_proxies_of_the_environment_are_left_aside(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the one that is configured is used; addresses in the URL are checked with it too."""

    async def scene() -> None:
        async with Receiver(answers("200 OK")) as proxy, Receiver(answers("202 Fine")) as receiver:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url)
            async with posting() as poster:
                assert (await poster.post(receiver.url, HEADERS, BODY)).status == 202
            assert proxy.visits == 0
            async with posting(STRICT, proxy=f"http://127.0.0.1:{proxy.port}") as poster:
                assert (await poster.post("http://example.com/x", HEADERS, BODY)).status == 200
                assert proxy.heads[-1].startswith(b"POST http://example.com/x ")
                assert "loopback" in str((await poster.post("http://127.0.0.1/", HEADERS, BODY)).error)
            assert (proxy.visits, receiver.visits) == (1, 1)

    play(scene)


def test_nothing_of_the_url_but_its_host_and_no_header_is_told(play: Play) -> None:
    """What fails is shown to people and logged."""

    async def scene() -> None:
        for behave in (never, says(b"garbage\r\n\r\n"), says(b"")):
            answer = await told(behave, timeout_s=SOON_S)
            shown = json.dumps(answer.error)
            assert "token" not in shown
            assert "v1,x" not in shown
            assert "garbage" not in shown

    play(scene)
