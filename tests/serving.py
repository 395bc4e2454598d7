"""Real processes for tests: a server on a data folder, or API and worker processes on one database.

Each can be stopped, killed, frozen and started again on the same port, as a person would.
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

START_S = 60.0
STOP_S = 60.0
ROOT = Path(__file__).resolve().parent.parent


class Program:
    """One process of ours that listens: on a port that stays the same over its starts, with one log for all of them.

    `config`, `environment` (beside the usual one) and `prefix` (words before the command, such as those of prlimit)
    may be changed between two starts."""

    command = "serve"
    alive = "/readyz"
    """What answers 200 once it serves; it listens a moment earlier."""

    def __init__(self, folder: Path, name: str, config: Mapping[str, Any], arguments: Sequence[str] = ()) -> None:
        self.name = name
        self.config = dict(config)
        self.environment: dict[str, str] = {}
        self.prefix: tuple[str, ...] = ()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = tuple(arguments)
        self._folder = folder
        self.config_path = folder / f"{name}.yaml"
        self._log_path = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Spawn, and wait until it answers."""
        self.spawn()
        self.await_up()

    def spawn(self) -> None:
        """Begin the process and return at once."""
        self.close()
        self.write_config()
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--config", str(self.config_path)]
        options += ["--exit-with-stdin", *self._arguments]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "batchrouter.cli", self.command, *options],
                stdin=subprocess.PIPE,  # ends with us, however we end, and then so does the process
                stdout=log,
                stderr=log,
                env=environment(**self.environment),
                cwd=self._folder,
            )

    def write_config(self) -> None:
        self.config_path.write_text(yaml.safe_dump(self.config), encoding="utf-8")

    def await_up(self) -> None:
        """Until it answers that it is up; fails when it ends before."""
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while not self.answers():
            if self._process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self._process.returncode}:\n{self.log[-4000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} did not answer within {START_S:.0f} s:\n{self.log[-4000:]}")
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        """Send a signal and return at once."""
        assert self._process is not None
        self._process.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP: it lives and does nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def wait(self) -> int:
        """Until the process has ended; returns its exit code."""
        assert self._process is not None
        return self._process.wait(STOP_S)

    def stop(self) -> None:
        """SIGTERM; fails unless it ends with 0."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        assert code == 0, f"{self.name} ended with {code}:\n{self.log[-4000:]}"

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
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it wrote to its standard output and error, over all its starts."""
        return self._log_path.read_text(encoding="utf-8", errors="replace") if self._log_path.exists() else ""

    def ask(self, method: str, path: str, body: object = None, key: str = KEY) -> Any:
        """One request with a JSON reply of status 200."""
        status, text = self.fetch(method, path, body, key)
        assert status == 200, f"{method} {path}: {status} {text!r}"
        return json.loads(text)

    def fetch(self, method: str, path: str, body: object = None, key: str = KEY) -> tuple[int, bytes]:
        """One request: status and body of its reply. Raises OSError and HTTPException when there is none."""
        content = None if body is None else json.dumps(body)
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "connection": "close"}
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            connection.request(method, path, content, headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.fetch("GET", self.alive)[0] == 200
        return False


class ApiProgram(Program):
    """What the official client can talk to."""

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def client(self, key: str = KEY) -> openai.OpenAI:
        """The official client, unmodified but for its retries, which would only hide a fault."""
        return openai.OpenAI(api_key=key, base_url=self.base_url, max_retries=0)


class ServerProcess(ApiProgram):
    """`batchrouter serve` on `folder`/data."""

    def __init__(self, folder: Path, config: Mapping[str, Any], arguments: Sequence[str] = ()) -> None:
        self.folder = folder / "data"
        super().__init__(folder, "batchrouter", config, ("--data", str(self.folder), *arguments))

    @property
    def admin_token(self) -> str:
        """The folder's own key of role admin, which lives as long as the process."""
        note_path = self.folder / "server.json"
        deadline = time.monotonic() + 5
        while not note_path.exists() and time.monotonic() < deadline:  # it listens an instant before it notes where
            time.sleep(0.01)
        note = json.loads(note_path.read_text(encoding="utf-8"))
        return str(note["token"])

    def key_of(self, tenant: str, weight: int = 1) -> str:
        """A new user key of that tenant, made by way of the admin's routes."""
        reply = self.ask("POST", "/admin/v1/keys", {"tenant": tenant, "weight": weight}, self.admin_token)
        return str(reply["secret"])


class ApiProcess(ApiProgram):
    """`batchrouter api`."""

    command = "api"


class WorkerProcess(Program):
    """`batchrouter worker`; its port is that of its probes."""

    command = "worker"


class Cluster:
    """API and worker processes on one database and one place for bytes, none of them started; as `with` they are, and
    end with it.

    `config` is what each begins with: see `shared_config`. Each process has its own, so that one may reach the
    database by way of a proxy, or have a wrong clock in its `environment`."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *,
        apis: int = 2,
        workers: int = 2,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = ("--log-level", "info"),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.apis = [ApiProcess(folder, f"api-{number}", config, arguments) for number in range(apis)]
        self.workers = [WorkerProcess(folder, f"worker-{number}", config, arguments) for number in range(workers)]
        for each in self.all:
            each.environment |= env or {}

    @property
    def all(self) -> list[ApiProcess | WorkerProcess]:
        return [*self.apis, *self.workers]

    def start(self) -> None:
        """All at once; returns when each is ready."""
        for each in self.all:
            each.spawn()
        for each in self.all:
            each.await_up()

    def stop(self) -> None:
        """SIGTERM to those that run; fails unless each ends with 0."""
        running = [each for each in self.all if each.runs]
        for each in running:
            each.signal(signal.SIGTERM)
        for each in running:
            code = each.wait()
            assert code == 0, f"{each.name} ended with {code}:\n{each.log[-4000:]}"

    def close(self) -> None:
        """End them, however they are."""
        for each in self.all:
            each.close()

    def admin_key(self) -> str:
        """A new key of role admin, made on the database by `batchrouter keys create`."""
        command = [sys.executable, "-m", "batchrouter.cli", "keys", "create", "--role", "admin", "--json"]
        self.apis[0].write_config()
        done = subprocess.run(
            [*command, "--config", str(self.apis[0].config_path)],
            env=environment(**self.apis[0].environment),
            cwd=self._folder,
            capture_output=True,
            check=True,
        )
        return str(json.loads(done.stdout)["key"]["secret"])

    def __enter__(self) -> Cluster:
        """Started."""
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        for each in self.all:
            print(f"--- {each.name}\n{each.log[-4000:]}")  # shown when the test failed


def shared_config(database: str, blobs: str, base_url: str, **server: Any) -> dict[str, Any]:
    """One provider, `sim`, for every model, on a storage that processes share; `server` are its settings."""
    storage = {"database": database, "blobs": blobs}
    return {**config_for(base_url), "storage": storage, "server": {"lease": 5, **server}}


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
