"""The simulator in a process of its own, for tests that are not asynchronous or that kill things."""

from __future__ import annotations

import http.client
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from batchrouter.errors import ConfigError
from batchrouter.simulator.log import Entry
from batchrouter.simulator.script import Script

CONTROL_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0

_entry = msgspec.json.Decoder(Entry)


class SimulatorProcess:
    """A running simulator, reached over its control plane. Every call blocks."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid

    @property
    def base_url(self) -> str:
        """What a client is given."""
        return f"{self.url}/v1"

    def log(self, since: int = 0) -> list[Entry]:
        """The requests after number `since`, in order of arrival."""
        return [_entry.decode(line) for line in self._call("GET", f"/sim/log?since={since}").splitlines()]

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = msgspec.json.decode(self._call("GET", "/sim/stats"))
        return stats

    def set_script(self, script: Script) -> None:
        self._call("POST", "/sim/script", msgspec.json.encode(script))

    def reset(self) -> None:
        self._call("POST", "/sim/reset")

    def jobs(self) -> list[dict[str, Any]]:
        """All native jobs, oldest first."""
        return [msgspec.json.decode(line) for line in self._call("GET", "/sim/jobs").splitlines()]

    def steer(self, job_id: str, verb: str) -> dict[str, Any]:
        """`finish`, `stall`, `expire` or `cancel` a native job now; the job after it."""
        told: dict[str, Any] = msgspec.json.decode(self._call("POST", f"/sim/jobs/{quote(job_id, safe='')}/{verb}"))
        return told

    def _call(self, method: str, path: str, body: bytes = b"") -> bytes:
        at = urlsplit(self.url)
        connection: http.client.HTTPConnection
        if at.scheme == "https":
            # Only ever the process that we started ourselves, with a certificate that may well be made by hand.
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(at.netloc, timeout=CONTROL_TIMEOUT_S, context=context)
        else:
            connection = http.client.HTTPConnection(at.netloc, timeout=CONTROL_TIMEOUT_S)
        try:
            connection.request(method, path, body, {"connection": "close"})
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        if reply.status != 200:
            raise ConfigError(f"the simulator refused {method} {path}: {content.decode('utf-8', 'replace')}")
        return content


@contextmanager
def running_simulator(script: Script | None = None, arguments: Sequence[str] = ()) -> Iterator[SimulatorProcess]:
    """A simulator on a free port for as long as the block runs; `arguments` as on the command line.

    It ends with this process, however that ends: it watches the pipe to its standard input.
    """
    command = [sys.executable, "-m", "batchrouter.simulator", "--port", "0", "--json", "--exit-with-stdin", *arguments]
    folders = [folder for folder in sys.path if folder]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise ConfigError(f"the simulator did not start: exit code {process.wait(STOP_TIMEOUT_S)}")
        simulator = SimulatorProcess(msgspec.json.decode(line)["url"], process.pid)
        if script is not None:
            simulator.set_script(script)
        yield simulator
    finally:
        process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
