"""Webhooks as the configuration has them: its endpoints in the store, and what sends."""

from __future__ import annotations

from batchrouter.adapters.clock import RealChance
from batchrouter.adapters.http.webhook_poster import WebhookPoster
from batchrouter.bootstrap.storage import Storage
from batchrouter.config import Config, url_rules
from batchrouter.domain.webhook import Endpoint, endpoint_id
from batchrouter.engine.webhooks import WebhookSender
from batchrouter.ports.clock import Clock
from batchrouter.service.keys import Keys


async def configure_webhooks(storage: Storage, config: Config) -> None:
    """Make the configured endpoints in the store those of this configuration. A repeat changes nothing."""
    chance, now_ms = RealChance(), storage.clock.unix_ms()
    keys = Keys(storage.catalog, storage.calls, storage.clock, chance)
    wanted = [
        Endpoint(
            id=endpoint_id(chance.hex(24)),
            tenant_id=(await keys.tenant(each.tenant)).id,
            url=each.url,
            events=each.events,
            description=each.description,
            secret=each.secret,
            created_ms=now_ms,
            configured=True,
        )
        for each in config.webhooks.endpoints
    ]
    await storage.calls.write(storage.webhooks.configure, wanted, now_ms)


def webhook_poster(config: Config, clock: Clock) -> WebhookPoster:
    """Raises `ConfigError` for a `ca_file` that cannot be used."""
    webhooks = config.webhooks
    return WebhookPoster(url_rules(webhooks), clock, proxy=webhooks.proxy, ca_file=webhooks.ca_file)


def webhook_sender(storage: Storage, poster: WebhookPoster, poll_s: float) -> WebhookSender:
    return WebhookSender(
        storage.webhook_ledger,
        storage.calls,
        storage.wake,
        storage.clock,
        RealChance(),
        poster,
        storage.meters,
        alone=storage.alone,
        poll_s=poll_s,
    )
