"""Every dialect of native jobs, against the simulator, which the vendors' own clients have judged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from batchrouter.simulator import Script
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.conformance.native.places import DIALECTS, KEY, Dialect, Place, open_api


@pytest.fixture(scope="session")
def simulators() -> Iterator[dict[str, SimulatorProcess]]:
    """One for each dialect that stands alone under `/v1`; each knows the key."""
    with ExitStack() as stack:
        yield {
            own: stack.enter_context(
                running_simulator(arguments=["--api-key", KEY, "--batch-dialect", own, "--keep-bodies"])
            )
            for own in sorted({dialect.own for dialect in DIALECTS.values()})
        }


@pytest.fixture(params=sorted(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each of them, unless a test names those that it is about."""
    return DIALECTS[request.param]


@pytest.fixture
async def place(dialect: Dialect, simulators: dict[str, SimulatorProcess]) -> AsyncIterator[Place]:
    simulator = simulators[dialect.own]
    simulator.set_script(Script())
    simulator.reset()
    api = open_api(dialect, simulator.url)
    yield Place(dialect, simulator, api)
    await api.aclose()
