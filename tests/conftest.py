"""What every test gets: its tier, no network but loopback, and the words for what is missing on this machine.

Fixtures for everybody: `need` (a tool, or a skip that names the package; in CI a failure), `shared` (the folder of real
data beside the checkout) and `no_blocking` (fails a test whose code under test blocks the event loop).
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests.tiers import Tier, folder_of, tiers

ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if IN_CI else "local")


# --- tiers ----------------------------------------------------------------------------------------------------------


class TierClock:
    """Orders the tests by tier, adds up what each took, and prints the table before the closing line.

    Where several processes share the tests (pytest-xdist), each orders them; the one that prints only hears reports.
    """

    def __init__(self, *, shared: bool) -> None:
        self.tiers = tiers()
        self.by_folder: dict[str, Tier] = {folder: tier for tier in self.tiers for folder in tier.folders}
        self.rank = {folder: place for place, folder in enumerate(self.by_folder)}
        self.shared = shared

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            folder = folder_of(item.path)
            if folder not in self.by_folder:
                raise pytest.UsageError(f"{item.nodeid} is in no tier: put it under one of {', '.join(self.by_folder)}")
            item.add_marker(folder)
        # Alone: what fails fastest runs first. Shared: what takes longest, so that all processes end together.
        items.sort(key=lambda item: self.rank[folder_of(item.path)], reverse=self.shared)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        tier = self.by_folder[folder_of(ROOT / report.nodeid.partition("::")[0])]
        tier.spent_s += report.duration
        tier.tests += report.when == "setup"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        ran = [tier for tier in self.tiers if tier.tests]
        if ran:
            terminalreporter.section("seconds per tier")
            for tier in ran:
                terminalreporter.write_line(tier.row())


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(TierClock(shared=hasattr(config, "workerinput")), "tier-clock")


# --- no network but loopback ----------------------------------------------------------------------------------------


class NetworkForbidden(BaseException):
    """A test reached for a machine other than this one. Not an Exception, so that no code under test can swallow it."""


def _is_local(host: object) -> bool:
    if host is None or host in ("", "localhost"):
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name.endswith(".invalid"):  # reserved: never the name of a machine (RFC 6761)
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse(host: object) -> NoReturn:
    raise NetworkForbidden(f"a test may only connect to loopback, not to {host!r}")


_guard_on = False


def _audit(event: str, args: tuple[Any, ...]) -> None:
    """CPython tells of every connect; an address that is not a tuple is a Unix socket's path."""
    if _guard_on and event in ("socket.connect", "socket.sendto"):
        address = args[1]
        if isinstance(address, tuple) and not _is_local(address[0]):
            _refuse(address[0])


sys.addaudithook(_audit)


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Guards asyncio and threads through the audit hook, and uvloop, which connects in C, at its one verb."""
    global _guard_on
    uvloop = sys.modules.get("uvloop")
    if uvloop is not None:
        connect = uvloop.Loop.create_connection

        async def guarded(self: Any, factory: Any, host: Any = None, *args: Any, **options: Any) -> Any:
            if not _is_local(host):
                _refuse(host)
            return await connect(self, factory, host, *args, **options)

        monkeypatch.setattr(uvloop.Loop, "create_connection", guarded)
    _guard_on = True
    yield
    _guard_on = False


# --- what a test may need -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def need() -> Callable[[str, str], str]:
    """`need("go", "golang-go")`: the tool's path; without it the test skips and names the package, in CI it fails."""

    def find(tool: str, package: str) -> str:
        path = shutil.which(tool)
        if path is not None:
            return path
        words = f"needs '{tool}', which this machine does not have: apt-get install {package}"
        if IN_CI:
            pytest.fail(f"{words} (tests/apt.txt must name it)")
        pytest.skip(words)

    return find


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the checkout: questions, upstreams to measure; skips where it is absent."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir() or not (folder / "bench").is_dir():
        pytest.skip("needs the folder 'shared' with 'data' and 'bench' beside the checkout, which is not there")
    return folder


@pytest.fixture
def no_blocking() -> Iterator[BlockBuster]:
    """Code of BatchRouter that blocks the running event loop raises BlockingError in this test."""
    with blockbuster_ctx("batchrouter") as guard:
        yield guard
