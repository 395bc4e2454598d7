"""Webhook endpoints of a tenant, and the log of what they were told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from batchrouter.domain.webhook import (
    FORMER_MS,
    PER_TENANT,
    USUAL_EVENTS,
    Delivery,
    Endpoint,
    endpoint_id,
    key_of,
    secret_of,
    trial_delivery,
)
from batchrouter.domain.webhook_url import UrlRules
from batchrouter.errors import ApiError
from batchrouter.ports.calls import Calls
from batchrouter.ports.catalog import Page
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.wake import Wake
from batchrouter.ports.webhooks import WebhookCatalog
from batchrouter.service import asked
from batchrouter.service.caller import Caller


class Webhooks:
    """`rules`: which URLs may be asked. Only the makers of a secret get to see it."""

    def __init__(
        self, catalog: WebhookCatalog, calls: Calls, clock: Clock, chance: Chance, wake: Wake, rules: UrlRules
    ) -> None:
        self._catalog = catalog
        self._calls = calls
        self._clock = clock
        self._chance = chance
        self._wake = wake
        self._rules = rules

    async def create(
        self,
        caller: Caller,
        url: str,
        events: tuple[str, ...] = USUAL_EVENTS,
        description: str = "",
        *,
        enabled: bool = True,
        secret: str | None = None,
    ) -> Endpoint:
        """`secret` None: one is made."""
        endpoint = Endpoint(
            id=endpoint_id(self._chance.hex(24)),
            tenant_id=caller.tenant_id,
            url=self._checked(url),
            events=events,
            description=description,
            enabled=enabled,
            secret=self._secret(secret),
            created_ms=self._clock.unix_ms(),
        )
        if not await self._calls.write(self._catalog.add_endpoint, endpoint, PER_TENANT):
            raise ApiError(
                400,
                f"This tenant has {PER_TENANT} webhook endpoints, which is as many as it may have. Delete one first.",
                code="too_many_webhooks",
            )
        return endpoint

    async def all(self, caller: Caller) -> list[Endpoint]:
        """By creation."""
        return await self._calls.read(self._catalog.endpoints, caller.tenant_id)

    async def get(self, caller: Caller, endpoint_id: str) -> Endpoint:
        found = None
        if asked.is_id(endpoint_id):
            found = await self._calls.read(self._catalog.endpoint, caller.tenant_id, endpoint_id)
        if found is None:
            raise _no_such(endpoint_id)
        return found

    async def change(self, caller: Caller, endpoint_id: str, changes: Mapping[str, Any]) -> Endpoint:
        """`changes`: of `url`, `events`, `description` and `enabled` those that are to be others. Whoever enables an
        endpoint does away with the reason why it was not; what was not told meanwhile is not told now. Of a configured
        one nothing else can be changed than that it is enabled again."""
        if "url" in changes:
            self._checked(changes["url"])

        def changed(endpoint: Endpoint) -> Endpoint:
            wanted = replace(endpoint, **changes)
            return replace(wanted, disabled_reason=None) if "enabled" in changes else wanted

        return await self._change(caller, endpoint_id, changed, configured=changes == {"enabled": True})

    async def delete(self, caller: Caller, endpoint_id: str) -> None:
        """With its log; nothing is sent any more but what is under way."""
        await self._changeable(caller, endpoint_id)
        if not await self._calls.write(self._catalog.remove_endpoint, caller.tenant_id, endpoint_id):
            raise _no_such(endpoint_id)

    async def rotate(self, caller: Caller, endpoint_id: str, secret: str | None = None) -> Endpoint:
        """A new secret; the one before signs too for 24 hours, the one before that no more."""
        fresh = self._secret(secret)

        def rotated(endpoint: Endpoint) -> Endpoint:
            until_ms = self._clock.unix_ms() + FORMER_MS
            return replace(endpoint, secret=fresh, former_secret=endpoint.secret, former_until_ms=until_ms)

        return await self._change(caller, endpoint_id, rotated)

    async def test(self, caller: Caller, endpoint_id: str) -> Delivery:
        """Send an event that happened to nobody."""
        endpoint = await self.get(caller, endpoint_id)
        delivery = trial_delivery(endpoint, self._chance.hex(32), self._clock.unix_ms())
        if not await self._calls.write(self._catalog.add_test, delivery):
            raise _disabled(endpoint_id)
        self._wake.hint()
        return delivery

    async def deliveries(self, caller: Caller, endpoint_id: str, *, after: str | None, limit: int) -> Page[Delivery]:
        """Newest first."""
        await self.get(caller, endpoint_id)
        page = None
        if after is None or asked.is_id(after):
            page = await self._calls.read(self._catalog.deliveries, endpoint_id, after=after, limit=limit)
        if page is None:
            raise ApiError(400, f"No delivery found with id '{after}'.", param="after", code="invalid_value")
        return page

    async def redeliver(self, caller: Caller, endpoint_id: str, delivery_id: str) -> Delivery:
        """Send it again, under its old id, whatever became of it before."""
        endpoint = await self.get(caller, endpoint_id)
        if not endpoint.enabled:
            raise _disabled(endpoint_id)
        delivery = None
        if asked.is_id(delivery_id):
            now_ms = self._clock.unix_ms()
            delivery = await self._calls.write(self._catalog.redeliver, endpoint_id, delivery_id, now_ms)
        if delivery is None:
            raise ApiError(404, f"No delivery found with id '{delivery_id}'.")
        self._wake.hint()
        return delivery

    async def _changeable(self, caller: Caller, endpoint_id: str) -> Endpoint:
        endpoint = await self.get(caller, endpoint_id)
        if endpoint.configured:
            raise ApiError(
                409,
                f"The webhook endpoint '{endpoint_id}' stands in the server's configuration, and is changed there.",
                code="webhook_configured",
            )
        return endpoint

    async def _change(
        self, caller: Caller, endpoint_id: str, changed: Callable[[Endpoint], Endpoint], *, configured: bool = False
    ) -> Endpoint:
        """Again where somebody else changed it meanwhile, until it is as it was read or gone. `configured`: also one of
        the configuration."""
        while True:
            find = self.get if configured else self._changeable
            old = await find(caller, endpoint_id)
            new = changed(old)
            if await self._calls.write(self._catalog.change_endpoint, old, new, self._clock.unix_ms()):
                return new

    def _checked(self, url: str) -> str:
        why_not = self._rules.why_not(url)
        if why_not is not None:
            raise ApiError(400, f"Invalid 'url': it {why_not}.", param="url", code="invalid_value")
        return url

    def _secret(self, given: str | None) -> str:
        if given is None:
            return secret_of(bytes.fromhex(self._chance.hex(64)))
        try:
            key_of(given)
        except ValueError as error:
            raise ApiError(400, f"Invalid 'secret': {error}.", param="secret", code="invalid_value") from None
        return given


def _no_such(endpoint_id: str) -> ApiError:
    return ApiError(404, f"No webhook endpoint found with id '{endpoint_id}'.")


def _disabled(endpoint_id: str) -> ApiError:
    return ApiError(
        409,
        f"The webhook endpoint '{endpoint_id}' is disabled: enable it first.",
        code="webhook_disabled",
    )
