"""A create that is sent again makes one batch."""

from __future__ import annotations

from typing import Any

import pytest

from batchrouter.ports.catalog import Created
from tests.conformance.scene import TENANT, Scene

DAY_MS = 24 * 3600 * 1000
QUARTER_MS = 15 * 60 * 1000


def send(scene: Scene, batch_id: str, **changes: Any) -> Created:
    changes.setdefault("body_hash", "same")
    return scene.catalog.create_batch(scene.new_batch(batch_id, **changes), now_ms=scene.now)


def made(scene: Scene) -> int:
    page = scene.catalog.batches(TENANT, after=None, limit=100)
    assert page is not None
    return len(page.rows)


def test_the_same_key_and_body_give_the_same_batch(scene: Scene) -> None:
    """The repeat is told what the first made, as it is now."""
    first = send(scene, "b1", idempotency_key="k")
    assert first.fresh
    scene.catalog.cancel_batch(TENANT, "b1", scene.now)
    again = send(scene, "b2", idempotency_key="k")
    assert (again.fresh, again.conflict) == (False, False)
    assert again.batch == scene.batch("b1")
    assert made(scene) == 1


def test_the_same_key_with_another_body_is_a_conflict(scene: Scene) -> None:
    """Nothing is made, and no batch is told."""
    send(scene, "b1", idempotency_key="k")
    assert send(scene, "b2", idempotency_key="k", body_hash="other") == Created(None, fresh=False, conflict=True)
    assert made(scene) == 1


@pytest.mark.parametrize("change", [{"tenant_id": "tenant_b"}, {"route": "/v1/other"}, {"idempotency_key": "l"}])
def test_a_key_holds_for_its_tenant_and_route(scene: Scene, change: dict[str, str]) -> None:
    """Another tenant, another route or another key: another batch, whatever the body."""
    scene.tenant("tenant_b")
    send(scene, "b1", idempotency_key="k")
    assert send(scene, "b2", **{"idempotency_key": "k", "body_hash": "other", **change}).fresh


@pytest.mark.parametrize(("age_ms", "fresh"), [(0, False), (DAY_MS - 1, False), (DAY_MS + 1, True)])
def test_a_key_holds_for_a_day(scene: Scene, age_ms: int, fresh: bool) -> None:
    """24 hours after the create it may be used anew, with another body too."""
    send(scene, "b1", idempotency_key="k")
    scene.now += age_ms
    assert send(scene, "b2", idempotency_key="k").fresh is fresh
    if fresh:
        assert send(scene, "b3", idempotency_key="k", body_hash="other").conflict


@pytest.mark.parametrize(("age_ms", "fresh"), [(0, False), (QUARTER_MS - 1, False), (QUARTER_MS + 1, True)])
def test_a_resent_body_without_key_holds_for_a_quarter(scene: Scene, age_ms: int, fresh: bool) -> None:
    """A client that says that it repeats itself gets the batch already made, for 15 minutes."""
    send(scene, "b1")
    scene.now += age_ms
    assert send(scene, "b2", resent=True).fresh is fresh
    assert made(scene) == (2 if fresh else 1)


@pytest.mark.parametrize("change", [{"resent": False}, {"api_key_id": "key_2"}, {"body_hash": "other"}])
def test_without_key_only_the_very_same_sender_and_body_match(scene: Scene, change: dict[str, Any]) -> None:
    """Two equal creates that do not say that they repeat are two batches; so are those of two keys."""
    send(scene, "b1")
    assert send(scene, "b2", **{"resent": True, **change}).fresh


def test_a_resent_body_that_never_arrived_makes_the_batch(scene: Scene) -> None:
    """The first sending may have been lost."""
    assert send(scene, "b1", resent=True).fresh


def test_a_repeat_finds_the_newest_of_equal_batches(scene: Scene) -> None:
    """Two were made on purpose; the repeat can only be of the second."""
    send(scene, "b1")
    scene.now += 1000
    send(scene, "b2")
    again = send(scene, "b3", resent=True)
    assert again.batch is not None
    assert again.batch.id == "b2"
