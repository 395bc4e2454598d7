"""Webhooks of the configuration: what cannot be used is refused before the first event."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from batchrouter.config.bounds import near
from batchrouter.config.settings import WebhooksConfig
from batchrouter.domain.address_rules import AddressRules, networks_of
from batchrouter.domain.webhook import DESCRIPTION_CHARS, EVENTS, key_of
from batchrouter.domain.webhook_url import UrlRules
from batchrouter.errors import ConfigError

_TENANT = re.compile(r"[A-Za-z0-9._-]{1,200}")


def url_rules(webhooks: WebhooksConfig) -> UrlRules:
    """Raises ValueError for a network that is none."""
    private = webhooks.allow_private
    return UrlRules(
        AddressRules(private if isinstance(private, bool) else networks_of(private)), allow_http=webhooks.allow_http
    )


def check_webhooks(webhooks: WebhooksConfig, where: str) -> None:
    """Raises `ConfigError`. An endpoint is named by its place in the list: what its URL holds may be secret."""
    try:
        rules = url_rules(webhooks)
    except ValueError as error:
        raise ConfigError(
            f"{where}.allow_private: {error}; write true, false, or a list of networks such as 10.0.0.0/8"
        ) from None
    if webhooks.proxy is not None and urlsplit(webhooks.proxy).scheme not in ("http", "https"):
        raise ConfigError(f"{where}.proxy must begin with http:// or https://")
    seen: dict[tuple[str, str], int] = {}
    for number, endpoint in enumerate(webhooks.endpoints):
        place = f"{where}.endpoints[{number}]"
        why_not = rules.why_not(endpoint.url)
        if why_not is not None:
            raise ConfigError(f"{place}.url {why_not}")
        try:
            key_of(endpoint.secret)
        except ValueError as error:
            raise ConfigError(f"{place}.secret: {error}") from None
        if not endpoint.events:
            raise ConfigError(f"{place}.events is empty; leave it out for the usual ones")
        for event in endpoint.events:
            if event not in EVENTS:
                raise ConfigError(f"{place}.events: unknown event '{event}'{near(event, dict.fromkeys(EVENTS))}")
        if not _TENANT.fullmatch(endpoint.tenant):
            raise ConfigError(f"{place}.tenant: a tenant's name has letters, digits, dots, dashes and underscores")
        if len(endpoint.description) > DESCRIPTION_CHARS:
            raise ConfigError(f"{place}.description has more than {DESCRIPTION_CHARS} characters")
        first = seen.setdefault((endpoint.tenant, endpoint.url), number)
        if first != number:
            raise ConfigError(f"{place} has the tenant and the url of {where}.endpoints[{first}]")
