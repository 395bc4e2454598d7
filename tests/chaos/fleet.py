"""The machines of a run: a database, a bucket, upstreams, workers and APIs, each behind wires that can be broken.

`Fleet.suffer` lets a trouble happen, from its begin to its end, and returns how it went.
"""

from __future__ import annotations

import glob
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from batchrouter.adapters.sql import SqlStore
from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.jobscript import Batches
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Limits, Uniform
from tests.chaos.evidence import POISON, Incident
from tests.chaos.http_link import CLEAR, Fault, HttpLink, Weather
from tests.chaos.proxies import Proxies, running_proxies
from tests.chaos.schedule import ALL, Kind, Trouble
from tests.chaos.tcp_link import TcpLink, Wire
from tests.chaos.tenants import SHORT
from tests.conftest import IN_CI
from tests.postgres import PostgresServer
from tests.s3 import BUCKET, S3Server, require_moto
from tests.serving import ROOT, ApiProcess, Cluster, WorkerProcess

LEASE_S = 5.0
GRACE_S = 8.0
LANES = {"fast": 16, "slow": 16, "flaky": 8, "limited": 8, "claude": 8, "native": 8}
"""Providers, and how many calls of each a worker may have in flight."""
RPM = 900
SLOW_S = 1.5
LOST_CREATE_S = 12.0
"""Longer than the longest freeze, after which a create may still be sent."""
STARTS_MAX = 3
SITE = Path(__file__).with_name("site")

REFUSED = Rule(match=Match(contains=POISON), then=Then(status=400, code="refused"))
UPSTREAM = Script(
    latency=Uniform(low=0.1, high=0.4),
    rules=(
        REFUSED,
        Rule(match=Match(model="slow-*"), then=Then(delay_s=SLOW_S)),
        Rule(match=Match(model="flaky-*", every=5), then=Then(status=503)),
        Rule(match=Match(model="flaky-*", every=7), then=Then(fault="reset")),
        Rule(match=Match(model="flaky-*", every=11), then=Then(fault="half_body")),
    ),
    batches=Batches(validate_s=0.3, work_s=1.5),
)
LIMITED = Script(rules=(REFUSED,), latency=Uniform(low=0.1, high=0.3), limits=Limits(rpm=RPM, burst_s=4))
WEATHERS = {
    Kind.BLOBS_SLOW: Weather((Fault.SLOW,), 0.8, 1.0),
    Kind.BLOBS_BUSY: Weather((Fault.BUSY,), 0.7),
    Kind.BLOBS_TORN: Weather((Fault.TORN_REQUEST, Fault.TORN_REPLY, Fault.LOST_REPLY), 0.5),
    Kind.BLOBS_HANG: Weather((Fault.HANG,), 0.6),
}
WIRES = {
    Kind.CUT: Wire.CUT,
    Kind.CUT_API: Wire.CUT,
    Kind.BLACKHOLE: Wire.BLACKHOLE,
    Kind.DEAF: Wire.DEAF,
}


class Slot:
    """A place for a process, which lives there one life after another."""

    def __init__(self, program: ApiProcess | WorkerProcess, database: TcpLink, blobs: HttpLink, clock: Path) -> None:
        self.program = program
        self.name = program.name
        self.database = database
        self.blobs = blobs
        self.clock = clock
        self.lives = 0
        self.busy = threading.Lock()
        """Held by whoever ends or starts the process."""

    @property
    def life(self) -> str:
        return f"{self.name}.{self.lives}"

    def spawn(self) -> None:
        self.lives += 1
        for provider in self.program.config["providers"].values():
            provider["headers"] = {"x-worker": self.life}
        self.program.spawn()

    def await_up(self) -> None:
        """To be called while `busy` is held. A start that was given up (its disk was full) is tried again."""
        for left in reversed(range(STARTS_MAX)):
            try:
                self.program.await_up()
                return
            except AssertionError as error:
                if self.program.runs or not left:
                    raise AssertionError(f"{self.life}: {error}\n{self.autopsy()}") from error
                self.spawn()

    def autopsy(self) -> str:
        """What each thread of a process that lives and does nothing is at; it ends by that."""
        if not self.program.runs:
            return "it is gone"
        states = [
            f"{path.parent.name} {(path.parent / 'comm').read_text().strip()}: {path.read_text().split()[2]}"
            for path in Path(f"/proc/{self.program.pid}/task").glob("*/stat")
        ]
        self.program.resume()
        self.program.signal(signal.SIGABRT)  # its fault handler writes down every thread's calls
        self.program.wait()
        return f"threads {states}\n{self.program.log[-6000:]}"

    def revive(self) -> tuple[str, int] | None:
        """Start the process anew if it ended by itself; which life it was, and its exit code."""
        if not self.busy.acquire(blocking=False):
            return None
        try:
            if not self.lives or self.program.runs:
                return None
            ended = self.life, self.program.wait()
            self.spawn()
            return ended
        finally:
            self.busy.release()

    def step_clock(self, seconds: float) -> None:
        new = self.clock.with_suffix(".new")
        new.write_text(f"{seconds:+.0f}\n")
        new.rename(self.clock)


class Fleet:
    """`start` before anything else."""

    def __init__(self, folder: Path, opened: ExitStack, *, workers: int = 3, apis: int = 2) -> None:
        require_moto()
        self.folder = folder
        self.log_paths = [folder / "upstream.jsonl", folder / "limited.jsonl"]
        self.postgres = PostgresServer()
        opened.callback(self.postgres.remove)
        self.postgres.start()
        SqlStore.open_postgres(self.postgres.url(), make=True).close()
        self.s3 = opened.enter_context(S3Server())
        self.upstreams = [
            opened.enter_context(
                running_simulator(script, ["--keep-bodies", "--log-path", str(path), "--log-limit", "10"])
            )
            for script, path in zip((UPSTREAM, LIMITED), self.log_paths, strict=True)
        ]
        self.begun_s = [_begun_s(upstream) for upstream in self.upstreams]
        proxies = opened.enter_context(running_proxies())
        self.cluster = Cluster(folder, self._config(), workers=workers, apis=apis)
        opened.callback(self.cluster.close)
        self.slots = {program.name: self._slot(program, proxies) for program in self.cluster.all}
        self._database = threading.Lock()

    def start(self) -> None:
        for slot in self.slots.values():
            slot.spawn()
        for slot in self.slots.values():
            slot.program.await_up()

    @property
    def lives(self) -> list[str]:
        """Of workers: all processes that there were."""
        return [
            f"{slot.name}.{life}"
            for slot in self.slots.values()
            if isinstance(slot.program, WorkerProcess)
            for life in range(1, slot.lives + 1)
        ]

    def config_of(self, name: str) -> dict[str, Any]:
        return self.slots[name].program.config

    def _config(self) -> dict[str, Any]:
        main, limited = self.upstreams
        quick = {"enabled": True, "min_requests": 3, "poll_min": 0.5, "poll_max": 1}

        def at(upstream: SimulatorProcess, name: str, **more: Any) -> dict[str, Any]:
            most = LANES[name]
            paces = {"max_in_flight": most, "start_in_flight": most, "mode": "realtime"}
            return {
                "type": "openai", "base_url": upstream.base_url, "api_key": "sk-test", "models": [f"{name}-*"], **paces,
            } | more  # fmt: skip

        return {
            "providers": {
                "fast": at(main, "fast"),
                "slow": at(main, "slow"),
                "flaky": at(main, "flaky"),
                "limited": at(limited, "limited", rpm=RPM),
                "claude": at(main, "claude", type="anthropic"),
                "native": at(main, "native", mode="batch", batch=quick),
            },
            "batches": {"completion_windows": ["24h", *SHORT]},
            "server": {"lease": LEASE_S, "shutdown_grace_s": GRACE_S},
            "storage": {},
        }

    def _slot(self, program: ApiProcess | WorkerProcess, proxies: Proxies) -> Slot:
        database, blobs = TcpLink(proxies, self.postgres.port), HttpLink(proxies, self.s3.port)
        config = program.config = {name: dict(part) for name, part in self._config().items()}
        config["storage"] = {
            "database": f"postgresql://postgres@127.0.0.1:{database.port}/postgres",
            "blobs": f"s3://{BUCKET}/chaos",
            "options": {**self.s3.options, "endpoint": f"http://127.0.0.1:{blobs.port}"},
            "spill": str(self.folder / f"spill-{program.name}"),
        }
        program.environment["PYTHONFAULTHANDLER"] = "1"
        slot = Slot(program, database, blobs, self.folder / f"{program.name}.clock")
        slot.step_clock(0)
        if isinstance(program, WorkerProcess):
            program.environment |= {
                "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), str(SITE)]),
                "CHAOS_LOST_CREATE_S": str(LOST_CREATE_S),
                "LD_PRELOAD": faketime(),
                "FAKETIME_TIMESTAMP_FILE": str(slot.clock),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DISABLE_SHM": "1",
                "NO_FAKE_STAT": "1",
            }
        return slot

    # --- troubles ---------------------------------------------------------------------------------------------------

    def suffer(self, trouble: Trouble) -> list[Incident]:
        """Returns when the trouble is over."""
        if trouble.kind is Kind.ROLLING:
            return [self._roll(slot) for slot in self.slots.values()]
        if trouble.slot == ALL:
            return [self._suffer_all(trouble)]
        slot = self.slots[trouble.slot]
        with slot.busy:
            return [self._suffer_one(trouble, slot)]

    def _suffer_all(self, trouble: Trouble) -> Incident:
        begun_s = time.monotonic()
        if trouble.kind in WEATHERS:
            for slot in self.slots.values():
                slot.blobs.set(WEATHERS[trouble.kind])
            time.sleep(trouble.for_s)
            self._clear_up()
        else:
            with self._database:
                self.postgres.stop("immediate" if trouble.kind is Kind.CRASH else "fast")
                time.sleep(trouble.for_s)
                self.postgres.start()
        return Incident(trouble.kind, "", begun_s, time.monotonic())

    def _suffer_one(self, trouble: Trouble, slot: Slot) -> Incident:
        life, begun_s, program = slot.life, time.monotonic(), slot.program
        died = False
        match trouble.kind:
            case Kind.KILL | Kind.KILL_API:
                program.kill()
                died = True
                time.sleep(trouble.for_s)
                slot.spawn()
            case Kind.FREEZE | Kind.NAP | Kind.FREEZE_API:
                program.pause()
                time.sleep(trouble.for_s)
                program.resume()
            case Kind.CLOCK:
                slot.step_clock(trouble.amount)
                time.sleep(trouble.for_s)
                slot.step_clock(0)
            case Kind.FULL:
                with suppress(ProcessLookupError):  # it may give up
                    _limit_files(program.pid, 0)
                    time.sleep(trouble.for_s)
                    _limit_files(program.pid, resource.RLIM_INFINITY)
            case _:
                slot.database.set(WIRES[trouble.kind])
                time.sleep(trouble.for_s)
                slot.database.set(Wire.THROUGH)
        return Incident(trouble.kind, life, begun_s, time.monotonic(), died=died)

    def _roll(self, slot: Slot) -> Incident:
        with slot.busy:
            program = slot.program
            slot.await_up()  # before that the signal is the system's, and no stop of ours
            life, begun_s = slot.life, time.monotonic()
            program.signal(signal.SIGTERM)
            code = program.wait()
            ended_s = time.monotonic()
            slot.spawn()
            slot.await_up()
        return Incident(Kind.ROLLING, life, begun_s, ended_s, died=True, clean=code == 0)

    def heal(self) -> None:
        """All troubles end; returns when every process is up."""
        self._clear_up()
        for slot in self.slots.values():
            slot.database.set(Wire.THROUGH)
            slot.step_clock(0)
        for slot in self.slots.values():
            with slot.busy:
                slot.await_up()

    def _clear_up(self) -> None:
        for slot in self.slots.values():
            slot.blobs.set(CLEAR)


@contextmanager
def running_fleet(folder: Path) -> Iterator[Fleet]:
    with ExitStack() as opened:
        fleet = Fleet(folder, opened)
        fleet.start()
        yield fleet


def faketime() -> str:
    """The library that lies about the wall clock alone. Skips, in CI fails, where it is not installed."""
    found = [
        path
        for place in ("/usr/lib/*/faketime", "/usr/lib/faketime")
        for path in glob.glob(f"{place}/libfaketime.so.1")
    ]
    if not found:
        words = "needs libfaketime: apt-get install faketime"
        if IN_CI:
            pytest.fail(words)
        pytest.skip(words)
    return found[0]


def _limit_files(pid: int, size: int) -> None:
    """No file of the process may grow beyond `size` bytes: its disk is full."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def _begun_s(upstream: SimulatorProcess) -> float:
    """Our clock at the first millisecond of its log, some milliseconds more or less."""
    upstream._call("GET", "/v1/models")
    now_s = time.monotonic()
    return now_s - upstream.log()[-1].ms / 1000
