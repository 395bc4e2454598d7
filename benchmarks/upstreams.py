"""The upstreams to measure against: nginx with the shared configurations, and one of ours that times gaps."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import ROOT, Bench, Missing, last_words, pinned, tool

BRIEF = """
daemon off; worker_processes 1; worker_rlimit_nofile 65535; pid @DIR@/nginx.pid;
events { worker_connections 16384; use epoll; multi_accept on; }
http {
  access_log off; default_type application/json; keepalive_requests 100000000; keepalive_timeout 3600s; tcp_nodelay on;
  client_body_temp_path @DIR@/body;
  server {
    listen 127.0.0.1:@PORT@ backlog=4096;
    location = /v1/chat/completions { return 200 '{"id":"c-$connection-$connection_requests",\
"object":"chat.completion","created":1763660000,"model":"fake-model","choices":[{"index":0,"message":\
{"role":"assistant","content":"18"},"finish_reason":"stop"}],\
"usage":{"prompt_tokens":60,"completion_tokens":1,"total_tokens":61}}'; }
    location = /stat { stub_status; }
  }
}
"""
TICKS = os.sysconf("SC_CLK_TCK")
LUA = Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")


def cpu_s(pid: int) -> float:
    """User and system time of a process, all its threads and its ended children; steps of 10 ms."""
    # The second field is a name in brackets that may hold spaces; utime is the 12th after it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def family_cpu_s(pid: int) -> float:
    """The same with its children."""
    total = cpu_s(pid)
    for child_pid in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += cpu_s(int(child_pid))
    return total


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise Missing(f"something that listens on port {port}: {last_words(log)}")


@contextlib.contextmanager
def child(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the harness: told to end at the end, and killed when it does not."""
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx and what it has seen."""

    port: int
    stat_port: int
    pid: int
    cert: Path | None = None

    @property
    def base_url(self) -> str:
        return f"{'https' if self.cert else 'http'}://127.0.0.1:{self.port}/v1"

    def cpu_s(self) -> float:
        return family_cpu_s(self.pid)

    def stat(self) -> tuple[int, int]:
        """Requests that arrived so far, and how many are being answered now; each call is one of both itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.stat_port}/stat", timeout=5) as reply:
            words = reply.read().decode()
        requests = int(words.splitlines()[2].split()[2])
        writing = re.search(r"Writing: (\d+)", words)
        return requests, int(writing.group(1)) - 1 if writing else 0


@contextlib.contextmanager
def nginx(bench: Bench, kind: str, *, tls: bool = False) -> Iterator[Nginx]:
    """`kind` is 'instant' or '300ms'. With `tls` the port speaks TLS with a certificate of its own."""
    program = tool("nginx", "nginx-light")
    template = bench.shared("upstream.conf.in" if kind == "instant" else "upstream_300ms.conf.in")
    if kind != "instant" and not LUA.exists():
        raise Missing("nginx's Lua module: apt-get install libnginx-mod-http-lua")
    folder = bench.folder(f"nginx-{kind}{'-tls' if tls else ''}")
    port, stat_port, cert = free_port(), 0, None
    conf = template.read_text()
    listen = "listen 127.0.0.1:@PORT@ backlog=4096;"
    assert listen in conf, "the shared configuration has changed"
    if tls:
        cert = self_signed(folder)
        stat_port = free_port()
        conf = conf.replace(
            listen,
            f"{listen.replace(' backlog', ' ssl backlog')} listen 127.0.0.1:{stat_port}; "
            f"ssl_certificate {cert}; ssl_certificate_key {folder}/key.pem;",
        )
    conf = conf.replace("daemon on;", "daemon off;").replace("@DIR@", str(folder)).replace("@PORT@", str(port))
    (folder / "nginx.conf").write_text(conf)
    command = [*pinned("other"), program, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    with child(command, folder / "nginx.log") as process:
        wait_for_port(port, process, folder / "nginx.log")
        yield Nginx(port, stat_port or port, process.pid, cert)


@contextlib.contextmanager
def brief_nginx(bench: Bench) -> Iterator[Nginx]:
    """Answers at once, in 300 bytes."""
    program = tool("nginx", "nginx-light")
    folder, port = bench.folder("nginx-brief"), free_port()
    (folder / "nginx.conf").write_text(BRIEF.replace("@DIR@", str(folder)).replace("@PORT@", str(port)))
    command = [*pinned("other"), program, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    with child(command, folder / "nginx.log") as process:
        wait_for_port(port, process, folder / "nginx.log")
        yield Nginx(port, port, process.pid)


def self_signed(folder: Path) -> Path:
    cert = folder / "cert.pem"
    command = [tool("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert


@dataclass(frozen=True, slots=True)
class GapUpstream:
    """`benchmarks.gap_upstream` in a process of its own."""

    port: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def report(self) -> dict[str, Any]:
        """What it saw since the last report, see `gap_upstream.Record.report`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/report", timeout=10) as reply:
            seen: dict[str, Any] = json.load(reply)
        return seen


@contextlib.contextmanager
def gap_upstream(bench: Bench) -> Iterator[GapUpstream]:
    port, log = free_port(), bench.folder("gap-upstream") / "log"
    with child([*pinned("other"), sys.executable, "-m", "benchmarks.gap_upstream", str(port)], log) as process:
        wait_for_port(port, process, log)
        yield GapUpstream(port)
