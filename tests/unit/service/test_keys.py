"""A key is believed for a while, a revoked one not for long, and its secret is kept nowhere."""

from __future__ import annotations

import pytest

from batchrouter.adapters.memory import FixedChance, MemoryStore, StepClock
from batchrouter.adapters.threads import InlineCalls
from batchrouter.domain.tenant import DEFAULT_TENANT, Role
from batchrouter.errors import ApiError
from batchrouter.ports.catalog import Catalog
from batchrouter.service.keys import CACHE_MS, Keys, digest_of


@pytest.fixture
def catalog() -> Catalog:
    return MemoryStore().catalog


def keys_on(catalog: Catalog, clock: StepClock) -> Keys:
    return Keys(catalog, InlineCalls(), clock, FixedChance())


async def test_only_the_hash_of_a_new_key_is_stored(catalog: Catalog) -> None:
    keys = keys_on(catalog, StepClock())
    key, secret = await keys.create("team", Role.ADMIN, "ci")
    assert secret.startswith("sk-br-")
    assert len(secret) == 54
    assert key.tail == secret[-4:]
    assert catalog.key_by_digest(digest_of(secret)) == key
    caller = await keys.caller(secret)
    assert caller is not None
    assert (caller.tenant_id, caller.key_id, caller.role) == (key.tenant_id, key.id, Role.ADMIN)
    assert await keys.caller(secret + "x") is None


async def test_a_key_revoked_elsewhere_works_for_five_seconds_at_most(catalog: Catalog) -> None:
    clock = StepClock()
    here, elsewhere = keys_on(catalog, clock), keys_on(catalog, clock)
    key, secret = await elsewhere.create()
    assert await here.caller(secret) is not None
    await elsewhere.revoke(key.id)
    assert await elsewhere.caller(secret) is None
    assert await here.caller(secret) is not None
    clock.advance(CACHE_MS / 1000)
    assert await here.caller(secret) is None


async def test_a_key_that_was_not_found_is_looked_up_again(catalog: Catalog) -> None:
    """Whoever tries a key before it is made must not be locked out."""
    clock = StepClock()
    here, elsewhere = keys_on(catalog, clock), Keys(catalog, InlineCalls(), clock, FixedChance())
    _, secret = await elsewhere.create()
    other = Keys(MemoryStore().catalog, InlineCalls(), clock, FixedChance())
    assert await other.caller(secret) is None
    assert await here.caller(secret) is not None


async def test_the_default_tenant_has_a_fixed_id_and_others_are_made_once(catalog: Catalog) -> None:
    keys = keys_on(catalog, StepClock())
    assert (await keys.tenant()).id == DEFAULT_TENANT
    first = await keys.tenant("team", 4)
    assert (await keys.tenant("team")) == first
    assert (await keys.tenant("team", 2)).weight == 2
    assert [home.name for home in await keys.tenants()] == [DEFAULT_TENANT, "team"]


async def test_unknown_names_and_ids_are_told(catalog: Catalog) -> None:
    keys = keys_on(catalog, StepClock())
    for work in (keys.all("nobody"), keys.revoke("key_x"), keys.revoke("../x")):
        with pytest.raises(ApiError) as caught:
            await work
        assert caught.value.status == 404
