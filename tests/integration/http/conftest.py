"""Both transports on both event loops, and a certificate made for the day."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from batchrouter.adapters.http.direct import DirectTransport
from batchrouter.adapters.http.proxied import ProxiedTransport
from batchrouter.domain.origin import Origin
from batchrouter.ports.transport import Link, LinkSettings, Transport
from tests.integration.http.upstream import Upstream

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}

REQUEST = (
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
    "-addext subjectAltName=DNS:localhost,IP:127.0.0.1"
)

Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=sorted(LOOPS))
def play(request: pytest.FixtureRequest) -> Play:
    """Runs a scene on the standard loop, and on uvloop."""

    def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(20):
                await scene()

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(bounded())

    return run


@dataclass(frozen=True, slots=True)
class Way:
    """How lines reach the scripted upstream: straight, or because it poses as the proxy of another host."""

    name: str

    @property
    def reuses(self) -> bool:
        """Whether a connection serves more than one call."""
        return self.name == "direct"

    def transport(self, upstream: Upstream, max_connections: int = sys.maxsize) -> Transport:
        if self.name == "direct":
            return DirectTransport(max_connections)
        return ProxiedTransport(lambda origin: f"http://127.0.0.1:{upstream.port}", max_connections)

    def link(self, transport: Transport, upstream: Upstream, settings: LinkSettings) -> Link:
        if self.name == "direct":
            return transport.link(Origin("http", "127.0.0.1", upstream.port), settings)
        return transport.link(Origin("http", "upstream.invalid", 80), settings)


@pytest.fixture(params=["direct", "proxied"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate for localhost."""

    file: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


@pytest.fixture(scope="session")
def certificate(need: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder = tmp_path_factory.mktemp("tls")
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    subprocess.run(
        [need("openssl", "openssl"), *REQUEST.split(), "-keyout", str(made.key), "-out", str(made.file)],
        check=True,
        capture_output=True,
    )
    return made
