"""Tenants and API keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchrouter.domain.tenant import ApiKey, Quotas, Role, Tenant
from batchrouter.errors import StoreError
from tests.conformance.scene import START_MS, TENANT, Scene


def a_key(key_id: str, tenant: str = TENANT, created_ms: int = START_MS) -> ApiKey:
    return ApiKey(id=key_id, tenant_id=tenant, role=Role.USER, label="", tail="abcd", created_ms=created_ms)


def test_a_tenant_added_again_gets_the_new_weight_and_keeps_its_id(scene: Scene) -> None:
    """A tenant is known by its name: adding it again changes its weight and nothing else."""
    again = scene.catalog.add_tenant(Tenant(id="tenant_z", name=TENANT, weight=7, created_ms=START_MS + 5))
    assert again == Tenant(id=TENANT, name=TENANT, weight=7, created_ms=START_MS)
    assert scene.catalog.tenants() == [again]


def test_a_tenants_quotas_are_those_it_was_added_with_last(scene: Scene) -> None:
    """Each bound by itself, and none where none is named."""
    bound = Quotas(max_in_flight=1, max_lines=2, max_bytes=3, max_storage_bytes=2**53, max_requests=5)
    home = Tenant(id="tenant_z", name="z", weight=1, created_ms=START_MS, quotas=bound)
    assert scene.catalog.add_tenant(home) == home
    assert scene.catalog.tenants()[-1] == home
    free = scene.catalog.add_tenant(replace(home, quotas=Quotas()))
    assert free.quotas == Quotas()
    assert scene.catalog.tenants()[-1] == free


def test_a_key_is_found_by_its_digest(scene: Scene) -> None:
    """The digest leads to the key, whatever its role; an unknown digest leads nowhere."""
    scene.catalog.add_key(a_key("k1"), "d1")
    assert scene.catalog.key_by_digest("d1") == a_key("k1")
    assert scene.catalog.key_by_digest("d2") is None


def test_a_first_key_is_added_only_where_none_is_valid(scene: Scene) -> None:
    """Whose tenant the others are does not matter; revoked ones do not count."""
    assert scene.catalog.add_key(a_key("k1"), "d1", first=True)
    scene.catalog.add_tenant(Tenant(id="tenant_z", name="z", weight=1, created_ms=START_MS))
    assert not scene.catalog.add_key(a_key("k2", tenant="tenant_z"), "d2", first=True)
    assert scene.catalog.key_by_digest("d2") is None
    scene.catalog.revoke_key("k1", START_MS)
    assert scene.catalog.add_key(a_key("k3"), "d3", first=True)
    assert scene.catalog.add_key(a_key("k4"), "d4"), "one that is not asked for as the first"


def test_a_key_needs_its_tenant(scene: Scene) -> None:
    """A key of a tenant that does not exist is refused, and is not there afterwards."""
    with pytest.raises(StoreError):
        scene.catalog.add_key(a_key("k1", tenant="nobody"), "d1")
    assert scene.catalog.keys(None) == []


def test_a_revoked_key_is_listed_but_not_found(scene: Scene) -> None:
    """Revoking takes a key out of use, not out of the list; a repeat keeps the first time."""
    scene.catalog.add_key(a_key("k1"), "d1")
    revoked = scene.catalog.revoke_key("k1", START_MS + 9)
    assert revoked is not None
    assert revoked.revoked_ms == START_MS + 9
    assert scene.catalog.revoke_key("k1", START_MS + 99) == revoked
    assert scene.catalog.key_by_digest("d1") is None
    assert scene.catalog.keys(TENANT) == [revoked]
    assert scene.catalog.revoke_key("k2", START_MS) is None


def test_keys_are_listed_newest_first_by_tenant(scene: Scene) -> None:
    """Newest first, those of one millisecond too; without a tenant, of all."""
    scene.tenant("tenant_b")
    scene.catalog.add_key(a_key("k1"), "d1")
    scene.catalog.add_key(a_key("k2", "tenant_b", START_MS + 1), "d2")
    scene.catalog.add_key(a_key("k3", created_ms=START_MS + 2), "d3")
    scene.catalog.add_key(a_key("k4", created_ms=START_MS + 2), "d4")
    assert [key.id for key in scene.catalog.keys(TENANT)] == ["k4", "k3", "k1"]
    assert [key.id for key in scene.catalog.keys(None)] == ["k4", "k3", "k2", "k1"]
