"""Which proxy the environment asks for, by the conventions that curl, Python and Go share.

`https_proxy` and `http_proxy`, else `all_proxy`, in small letters before capitals; `no_proxy` lists hosts, domains,
addresses and networks that are reached straight. As in Go, this machine itself never goes through a proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from batchrouter.domain.origin import Origin
from batchrouter.errors import ConfigError

_NAMES = {"http": ("http_proxy", "all_proxy"), "https": ("https_proxy", "all_proxy")}


def proxy_rules(env: Mapping[str, str]) -> Callable[[Origin], str | None] | None:
    """A function from an origin to the URL of its proxy, None for a straight way; None when no proxy is asked for.

    Raises `ConfigError` for a proxy that is not http or https.
    """
    proxies = {scheme: proxy for scheme in _NAMES if (proxy := _proxy(env, scheme)) is not None}
    if not proxies:
        return None
    straight = [entry.strip().lower() for entry in _get(env, "no_proxy").split(",") if entry.strip()]

    def proxy_for(origin: Origin) -> str | None:
        if _is_here(origin.host) or any(_covers(entry, origin) for entry in straight):
            return None
        return proxies.get(origin.scheme)

    return proxy_for


def _proxy(env: Mapping[str, str], scheme: str) -> str | None:
    for name in _NAMES[scheme]:
        value = _get(env, name).strip()
        if not value:
            continue
        url = value if "://" in value else f"http://{value}"
        kind = urlsplit(url).scheme
        if kind not in ("http", "https"):
            raise ConfigError(f"{name} asks for a {kind} proxy; only http:// and https:// proxies are supported")
        return url
    return None


def _get(env: Mapping[str, str], name: str) -> str:
    return env.get(name) or env.get(name.upper()) or ""


def _is_here(host: str) -> bool:
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def _covers(entry: str, origin: Origin) -> bool:
    """Whether a `no_proxy` entry names this origin: `*`, a host, a domain, an address or a network, with a port or
    without."""
    if entry == "*":
        return True
    host = origin.host.lower()
    address = _address(host)
    if address is not None:
        try:
            if address in ipaddress.ip_network(entry.strip("[]"), strict=False):
                return True
        except ValueError:
            pass
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        if int(port) != origin.port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").removeprefix(".")
    return host == entry or (address is None and host.endswith(f".{entry}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
