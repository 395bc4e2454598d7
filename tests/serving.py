"""A real server process for tests: on a free port, with a data folder and a configuration of its own.

It can be stopped, killed and started again on the same folder and the same port, as a person would.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import yaml

KEY = "sk-test-0123456789abcdef"
"""The user key of the default tenant, given through the environment."""

START_S = 20.0
STOP_S = 45.0
ROOT = Path(__file__).resolve().parent.parent


class ServerProcess:
    """`batchrouter serve` on `folder`/data. `start` returns when it answers; the port stays the same over restarts."""

    def __init__(self, folder: Path, config: Mapping[str, Any], arguments: Sequence[str] = ()) -> None:
        self._arguments = arguments
        self.folder = folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.base_url = f"{self.url}/v1"
        self._config = folder / "batchrouter.yaml"
        self._config.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
        self._log_path = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Spawn, and wait until it answers."""
        self.spawn()
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None:
                raise AssertionError(f"the server ended with {self._process.returncode}:\n{self.log[-4000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the server did not answer within {START_S:.0f} s:\n{self.log[-4000:]}")
            time.sleep(0.01)

    def spawn(self) -> None:
        """Begin the process and return at once."""
        self.close()
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--data", str(self.folder)]
        options += ["--config", str(self._config), "--exit-with-stdin", *self._arguments]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "batchrouter.cli", "serve", *options],
                stdin=subprocess.PIPE,  # ends with us, however we end, and then so does the server
                stdout=log,
                stderr=log,
                env=environment(),
                cwd=self.folder.parent,
            )

    def signal(self, number: int) -> None:
        """Send a signal and return at once."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Until the process has ended; returns its exit code."""
        assert self._process is not None
        return self._process.wait(STOP_S)

    def stop(self) -> None:
        """SIGTERM; fails unless the server ends with 0."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        assert code == 0, f"the server ended with {code}:\n{self.log[-4000:]}"

    def kill(self) -> None:
        """`kill -9`; returns when the process is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """End it, however it is."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.kill()
            process.wait(STOP_S)
        assert process.stdin is not None
        process.stdin.close()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server wrote to its standard output and error, over all its starts."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def admin_token(self) -> str:
        """The folder's own key of role admin, which lives as long as the process."""
        note_path = self.folder / "server.json"
        deadline = time.monotonic() + 5
        while not note_path.exists() and time.monotonic() < deadline:  # it listens an instant before it notes where
            time.sleep(0.01)
        note = json.loads(note_path.read_text(encoding="utf-8"))
        return str(note["token"])

    def client(self, key: str = KEY) -> openai.OpenAI:
        """The official client, unmodified but for its retries, which would only hide a fault."""
        return openai.OpenAI(api_key=key, base_url=self.base_url, max_retries=0)

    def key_of(self, tenant: str, weight: int = 1) -> str:
        """A new user key of that tenant, made by way of the admin's routes."""
        reply = self.ask("POST", "/admin/v1/keys", {"tenant": tenant, "weight": weight}, self.admin_token)
        return str(reply["secret"])

    def ask(self, method: str, path: str, body: object = None, key: str = KEY) -> Any:
        """One request with a JSON reply."""
        content = None if body is None else json.dumps(body)
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "connection": "close"}
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            connection.request(method, path, content, headers)
            reply = connection.getresponse()
            text = reply.read()
        finally:
            connection.close()
        assert reply.status == 200, f"{method} {path}: {reply.status} {text!r}"
        return json.loads(text)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            return bool(self.ask("GET", "/healthz") == {"status": "ok"})
        return False


@contextmanager
def running_server(folder: Path, config: Mapping[str, Any], arguments: Sequence[str] = ()) -> Iterator[ServerProcess]:
    """A started server for as long as the block runs; `arguments` as on the command line."""
    folder.mkdir(parents=True, exist_ok=True)
    server = ServerProcess(folder, config, arguments)
    try:
        server.start()
        yield server
    finally:
        server.close()
        print(server.log[-8000:])  # shown when the test failed


def config_for(base_url: str, **changes: Any) -> dict[str, Any]:
    """One provider, `sim`, for every model; `changes` are its settings."""
    return {"providers": {"sim": {"type": "openai", "base_url": base_url, **changes}}}


PORTS = range(12_000, 32_000)
"""Below those that Linux gives to outgoing connections: none of them takes the port of a server between two starts."""
BLOCK = 200


def free_port() -> int:
    """One of this process's own block of ports, so that no other process of tests takes it before it is used."""
    for _ in range(BLOCK):
        port = next(_own_ports())
        with contextlib.suppress(OSError), _bound(port, lingering=True):
            return port
    raise AssertionError(f"none of {BLOCK} ports is free")


@cache
def _own_ports() -> Iterator[int]:
    """Round and round, so that a port rests before it is used again. The block is ours while its first port is."""
    firsts = list(PORTS[::BLOCK])
    random.SystemRandom().shuffle(firsts)
    for first in firsts:
        with contextlib.suppress(OSError):
            _held.append(_bound(first, lingering=False))
            return cycle(range(first + 1, first + BLOCK))
    raise AssertionError("other processes hold every block of ports")


_held: list[socket.socket] = []


def _bound(port: int, *, lingering: bool) -> socket.socket:
    """`lingering`: also a port of which old connections linger. Two may be bound to it at once, if both say so."""
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, lingering)
        made.bind(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return made


def environment(**more: str) -> dict[str, str]:
    """What child processes see: no proxies and no vendors' keys of whoever runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG", "SYSTEMROOT") if name in os.environ}
    python_path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return {**kept, "PYTHONPATH": python_path, "BATCHROUTER_API_KEY": KEY, **more}
