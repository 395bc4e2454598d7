"""One server for the tests of a module, and the official client pointed at it."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
import requests

from tests.acceptance.api.rig import USER_KEY, Rig


@pytest.fixture(scope="module", params=["memory", "folder"])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Over both kinds of stores, so that neither the double nor the real one hides a fault of the other."""
    with Rig(folder=tmp_path_factory.mktemp("data") if request.param == "folder" else None) as running:
        yield running


@pytest.fixture
def tenant_key(rig: Rig) -> str:
    """A key of a tenant of this test's own."""
    return rig.key(f"tenant-{rig.chance.hex(8)}")


@pytest.fixture
def client(rig: Rig, tenant_key: str) -> Iterator[openai.OpenAI]:
    """Unmodified but for its retries, which would only hide a fault."""
    with openai.OpenAI(api_key=tenant_key, base_url=f"{rig.url}/v1", max_retries=0) as made:
        yield made


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {USER_KEY}"
        yield session
