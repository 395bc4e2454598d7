"""Lists of batches that hold only what was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from batchrouter.domain.batch_filter import BatchFilter
from batchrouter.domain.lifecycle import BatchEvent, BatchState
from tests.conformance.scene import FAST, SLOW, TENANT, Scene

VALIDATING, RUNNING, CANCELLING = BatchState.VALIDATING, BatchState.IN_PROGRESS, BatchState.CANCELLING


@pytest.fixture
def listed(scene: Scene) -> Scene:
    """Five batches, a second apart; the last is another tenant's."""
    worker = scene.worker()
    scene.running("b1", (2, 2), (FAST, SLOW), worker)
    scene.now += 1000
    scene.create("b2", metadata={"name": "Nightly Søk", "50%": "a_b"})
    scene.now += 1000
    scene.create("b3", metadata={"name": 'says "name":"x"', "team": "blue"}, endpoint="/v1/embeddings")
    scene.now += 1000
    scene.end(worker, "b3", BatchEvent.CANCEL)
    scene.create("b4", retry_of="b3")
    scene.catalog.cancel_batch(TENANT, "b4", scene.now)
    scene.now += 1000
    scene.tenant("tenant_b")
    scene.create("b5", tenant_id="tenant_b", metadata={"team": "blue"})
    return scene


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "b4 b3 b2 b1"),
        ({"states": frozenset({RUNNING})}, "b1"),
        ({"states": frozenset({VALIDATING, CANCELLING})}, "b4 b2"),
        ({"endpoint": "/v1/embeddings"}, "b3"),
        ({"retry_of": "b3"}, "b4"),
        ({"model": "FAST"}, "b1"),
        ({"model": "s*w"}, "b1"),
        ({"model": "s%w"}, ""),
        ({"model": "slo_"}, ""),
        ({"model": "*"}, "b4 b3 b2 b1"),
        ({"metadata": {"team": "blue"}}, "b3"),
        ({"metadata": {"team": "BLUE"}}, ""),
        ({"metadata": {"name": "x"}}, ""),
        ({"metadata": {"name": "Nightly Søk"}}, "b2"),
        ({"metadata": {"50%": "a_b", "name": "Nightly Søk"}}, "b2"),
        ({"metadata": {"50%": "aXb"}}, ""),
        ({"search": "B2"}, "b2"),
        ({"search": "nightly søk"}, "b2"),
        ({"search": "NIGHTLY SØK"}, ""),  # ASCII letters only
        ({"search": 'says "name"'}, "b3"),
        ({"search": '","'}, ""),
        ({"search": "a_b"}, "b2"),
        ({"search": "%"}, "b2"),
        ({"search": "\\"}, ""),
        ({"search": "b3.in"}, "b3"),
        ({"created_from_ms": 1_000}, "b4 b3 b2"),
        ({"created_until_ms": 1_000}, "b1"),
        ({"created_from_ms": 1_000, "created_until_ms": 3_000}, "b3 b2"),
        ({"created_from_ms": 1_000, "states": frozenset({RUNNING})}, ""),
    ],
)
def test_a_list_holds_what_is_wanted(listed: Scene, wanted: dict[str, Any], found: str) -> None:
    """Newest first, of the one tenant. Times are given from the first batch on."""
    wanted = {
        key: listed.now - 4_000 + value if key in ("created_from_ms", "created_until_ms") else value
        for key, value in wanted.items()
    }
    page = listed.catalog.batches(TENANT, after=None, limit=100, wanted=BatchFilter(**wanted))
    assert page is not None
    assert [batch.id for batch in page.rows] == found.split()
    assert not page.more


def test_pages_of_what_is_wanted_follow_each_other(listed: Scene) -> None:
    """`more` speaks of what is wanted, and `after` may name what is not."""
    listed.create("b6")
    wanted = BatchFilter(states=frozenset({VALIDATING}))
    page = listed.catalog.batches(TENANT, after=None, limit=1, wanted=wanted)
    assert page is not None
    assert ([batch.id for batch in page.rows], page.more) == (["b6"], True)
    page = listed.catalog.batches(TENANT, after="b4", limit=2, wanted=wanted)
    assert page is not None
    assert ([batch.id for batch in page.rows], page.more) == (["b2"], False)


def test_all_tenants_can_be_listed_at_once(listed: Scene) -> None:
    """For whoever may see them."""
    page = listed.catalog.batches(None, after=None, limit=100, wanted=BatchFilter(metadata={"team": "blue"}))
    assert page is not None
    assert [batch.id for batch in page.rows] == ["b5", "b3"]
    page = listed.catalog.batches(None, after="b5", limit=1)
    assert page is not None
    assert [batch.id for batch in page.rows] == ["b4"]
