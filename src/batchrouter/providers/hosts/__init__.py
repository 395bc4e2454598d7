"""The hosts that need no settings, a row of facts each.

host     what a row says
vendors  companies that serve their own models or those of others
servers  programs that people run themselves
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from batchrouter.providers.hosts.host import ALL_ENDPOINTS, Host
from batchrouter.providers.hosts.servers import SERVERS
from batchrouter.providers.hosts.vendors import OPENAI, VENDORS

__all__ = ["ALIASES", "ALL_ENDPOINTS", "COMPATIBLE", "HOSTS", "Host", "at_home", "host_at", "host_named"]

HOSTS: Mapping[str, Host] = {host.name: host for host in (*VENDORS, *SERVERS)}
ALIASES: Mapping[str, str] = {alias: host.name for host in HOSTS.values() for alias in host.aliases}
"""Names under which other gateways and model hubs know a host."""

COMPATIBLE = Host(name="openai-compatible", flex=("*",))
"""Whoever speaks OpenAI's dialect: nothing else is known, so every endpoint and every parameter passes, and
a discounted tier is there if the configuration says so."""


def host_named(name: str) -> Host | None:
    """By its name or an alias."""
    return HOSTS.get(ALIASES.get(name, name))


def host_at(name: str, base_url: str | None) -> Host:
    """The facts that hold for a provider of type `name` at that address: OpenAI's own only at OpenAI's own, because
    its name stands for everybody who speaks its dialect. KeyError: there is no such type."""
    if name == COMPATIBLE.name:
        return COMPATIBLE
    host = host_named(name)
    if host is None:
        raise KeyError(name)
    return COMPATIBLE if host is OPENAI and base_url is not None and not at_home(host, base_url) else host


def at_home(host: Host, base_url: str) -> bool:
    """Whether that address is the vendor's own."""
    name = urlsplit(base_url).hostname or ""
    return any(name == domain or name.endswith("." + domain) for domain in host.domains)
