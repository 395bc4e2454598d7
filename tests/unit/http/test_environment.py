"""Which proxy an environment means."""

from __future__ import annotations

import pytest

from batchrouter.adapters.http.direct import DirectTransport
from batchrouter.adapters.http.environment import proxy_rules
from batchrouter.adapters.http.proxied import ProxiedTransport, transport_for
from batchrouter.domain.origin import Origin
from batchrouter.errors import ConfigError

SECURE = Origin("https", "api.example.com", 443)
PLAIN = Origin("http", "gpu-7.cluster.local", 8000)


def test_no_proxy_is_the_usual_case() -> None:
    """Then lines take our own transport, and aiohttp is not even imported."""
    assert proxy_rules({"PATH": "/bin", "NO_PROXY": "x"}) is None
    assert isinstance(transport_for({"http_proxy": ""}), DirectTransport)
    assert isinstance(transport_for({"HTTPS_PROXY": "http://p:1"}), ProxiedTransport)


@pytest.mark.parametrize(
    ("env", "secure", "plain"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1", None),
        ({"http_proxy": "p:1"}, None, "http://p:1"),
        ({"ALL_PROXY": "http://all:1", "http_proxy": "http://p:1"}, "http://all:1", "http://p:1"),
        ({"https_proxy": "http://small:1", "HTTPS_PROXY": "http://big:1"}, "http://small:1", None),
        ({"ALL_PROXY": "https://u:pw@p:1", "NO_PROXY": "api.example.com"}, None, "https://u:pw@p:1"),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "example.com, .cluster.local"}, None, None),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "*"}, None, None),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "*.example.com,ample.com,local"}, None, None),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "ample.com,ocal"}, "http://p:1", "http://p:1"),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "api.example.com:8443,gpu-7.cluster.local:8000"}, "http://p:1", None),
    ],
)
def test_names(env: dict[str, str], secure: str | None, plain: str | None) -> None:
    """Scheme before `all_proxy`, small before capital letters, domains with everything below them, ports."""
    rules = proxy_rules(env)
    assert rules is not None
    assert (rules(SECURE), rules(PLAIN)) == (secure, plain)


@pytest.mark.parametrize(
    ("host", "entry", "straight"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:8000", True),
        ("10.1.2.3", "10.1.2.3:9000", False),
        ("10.1.2.3", "2.3", False),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "[fd00::1]", True),
        ("fd00::1", "[fd00::1]:8000", True),
        ("localhost", "", True),
        ("127.0.0.9", "", True),
        ("::1", "", True),
    ],
)
def test_addresses(host: str, entry: str, straight: bool) -> None:
    """Addresses, networks, and this machine itself, which never takes a proxy."""
    rules = proxy_rules({"ALL_PROXY": "p:1", "NO_PROXY": entry})
    assert rules is not None
    assert (rules(Origin("http", host, 8000)) is None) is straight


def test_a_proxy_of_another_kind_is_refused_by_name() -> None:
    """Rather than silently going straight."""
    with pytest.raises(ConfigError, match="all_proxy asks for a socks5 proxy"):
        transport_for({"ALL_PROXY": "socks5://p:1"})
