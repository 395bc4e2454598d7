"""One Chromium, one simulator and one server for a module; an error in a console fails the test."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Fixed
from tests.browser.rig import Desk
from tests.serving import ROOT, ServerProcess, config_for, running_server

POISON = Rule(match=Match(contains="poison"), then=Then(status=400, code="too_bad", message="This prompt is poison."))
SOUND = Script(latency=Fixed(seconds=0.08))
POISONED = Script(latency=SOUND.latency, rules=(POISON,))
IN_FLIGHT = 4
"""So few that a batch of some dozen lines takes some seconds, and can be watched."""


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """The dashboard as it is in this checkout."""
    sys.path.insert(0, str(ROOT))
    try:
        import hatch_build
    finally:
        sys.path.remove(str(ROOT))
    hatch_build.build(ROOT)


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(POISONED) as running:
        yield running


@pytest.fixture(scope="module")
def server(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    config = config_for(
        simulator.base_url,
        max_in_flight=IN_FLIGHT,
        prices={"*": {"input": 1.0, "output": 4.0}},
    )
    with running_server(tmp_path_factory.mktemp("server"), config) as running:
        yield running


@pytest.fixture(scope="module")
def browser(need: Callable[[str, str], str]) -> Iterator[Browser]:
    """Not for the session: as long as Playwright lives its event loop runs, and no other can in this process."""
    chromium = need("chromium", "chromium")
    with sync_playwright() as playwright:
        options = ["--disable-dev-shm-usage"]
        opened = playwright.chromium.launch(
            executable_path=chromium, args=options, chromium_sandbox=os.getuid() != 0, timeout=60_000
        )
        yield opened
        opened.close()


@pytest.fixture
def desk(browser: Browser, server: ServerProcess, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(browser, server, tmp_path)
    yield made
    made.close()


@pytest.fixture
def page(desk: Desk) -> Page:
    """On a desktop, with nobody signed in."""
    return desk.page()
