"""`batchrouter serve` as a user starts it, on the core under test, with what /proc says of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from benchmarks.bench import Bench, Wrong, last_words, pinned
from benchmarks.client import Client
from benchmarks.upstreams import cpu_s, free_port

KEY = "sk-bench-0123456789abcdef0123456789abcdef"
PROGRAM = Path(sys.executable).parent / "batchrouter"
START_SECONDS_MAX = 120
STOP_SECONDS_MAX = 45


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and a client that holds a key of it."""

    process: subprocess.Popen[bytes]
    client: Client
    log: Path
    start_cpu_s: float  # from nothing to its first good answer

    def cpu_s(self) -> float:
        """User and system time of the process, all its threads and its ended children; steps of 10 ms."""
        return cpu_s(self.process.pid)

    def peak_mib(self) -> float:
        """The most memory that was ever resident."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise Wrong(f"the server has ended: {last_words(self.log)}")


def configuration(base_url: str, pace: Mapping[str, int], sections: Mapping[str, Any]) -> str:
    """One provider for all, and other sections of the configuration."""
    provider = {"type": "openai", "base_url": base_url, "api_key": "sk-x", **pace}
    whole = {"providers": {"bench": provider}, "default_provider": "bench", **sections}
    return yaml.safe_dump(whole, sort_keys=False)


@contextlib.contextmanager
def server(
    bench: Bench,
    name: str,
    base_url: str,
    env: Mapping[str, str] | None = None,
    sections: Mapping[str, Any] = MappingProxyType({}),
    /,
    **pace: int,
) -> Iterator[Server]:
    """A server on a new folder whose only provider is `base_url`; `pace` are settings of that provider, `sections`
    others of the configuration."""
    folder, port = bench.folder(name), free_port()
    config, log, data = folder / "batchrouter.yaml", folder / "server.log", folder / "data"
    config.write_text(configuration(base_url, pace, sections))
    command = [*pinned("test"), str(PROGRAM), "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--data", str(data), "--config", str(config)]
    with open(log, "wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=folder,
            env={**os.environ, "BATCHROUTER_API_KEY": KEY, **(env or {})},
        )
    try:
        client = Client(port, KEY)
        wait_until_healthy(process, client, log)
        yield Server(process, client, log, cpu_s(process.pid))
        if process.poll() is not None:
            raise Wrong(f"the server ended by itself with {process.returncode}: {last_words(log)}")
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_healthy(process: subprocess.Popen[bytes], client: Client, log: Path) -> None:
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end and process.poll() is None:
        if client.healthy():
            return
        time.sleep(0.05)
    raise Wrong(f"the server did not start: {last_words(log)}")
