"""`webhooks` of the configuration: what is read, and what is refused with its place and its remedy."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from batchrouter import config
from batchrouter.domain.webhook import USUAL_EVENTS
from batchrouter.errors import ConfigError

SECRET = "whsec_" + "QUFB" * 10
ENDPOINT = f"{{url: 'https://example.com/hook', secret: '{SECRET}'}}"


def parsed(text: str) -> config.WebhooksConfig:
    return config.parse(f"webhooks: {text}", {"SECRET": SECRET, "SHORT": "whsec_short-and-secret"}, "x.yaml").webhooks


def test_an_endpoint_needs_a_url_and_a_secret() -> None:
    """Tenant and events have defaults; a secret may come from the environment."""
    (made,) = parsed("{endpoints: [{url: 'https://example.com', secret: '${SECRET}'}]}").endpoints
    assert (made.tenant, made.events, made.description) == ("default", USUAL_EVENTS, "")
    assert made.secret == SECRET


def test_addresses_may_be_allowed_all_or_by_network() -> None:
    """None of them by default."""
    ten = ip_address("10.1.1.1")
    assert config.url_rules(parsed("{}")).addresses.why_not(ten) is not None
    assert config.url_rules(parsed("{allow_private: true}")).addresses.why_not(ten) is None
    some = config.url_rules(parsed("{allow_private: ['10.0.0.0/8']}")).addresses
    assert (some.why_not(ten), some.why_not(ip_address("127.0.0.1"))) == (None, "loopback")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{{endpoints: [{ENDPOINT}, {ENDPOINT}]}}", r"endpoints\[1\] has the tenant and the url of .*endpoints\[0\]"),
        (
            "{endpoints: [{url: 'http://example.com', secret: '${SECRET}'}]}",
            r"endpoints\[0\].url must begin with https",
        ),
        ("{endpoints: [{url: 'https://10.0.0.1', secret: '${SECRET}'}]}", r"endpoints\[0\].url is refused.*private"),
        ("{endpoints: [{url: 'https://e.com', secret: '${SHORT}'}]}", r"endpoints\[0\].secret: a secret is whsec_"),
        ("{endpoints: [{url: 'https://e.com'}]}", "secret"),
        (f"{{endpoints: [{{url: 'https://e.com', secret: '{SECRET}', events: [batch.complete]}}]}}", "batch.completed"),
        (f"{{endpoints: [{{url: 'https://e.com', secret: '{SECRET}', events: []}}]}}", "events is empty"),
        (f"{{endpoints: [{{url: 'https://e.com', secret: '{SECRET}', tenant: 'a b'}}]}}", "tenant's name"),
        ("{endpoints: [{uri: 'https://e.com'}]}", r"unknown setting 'webhooks.endpoints\[0\].uri'.*url"),
        ("{allow_privat: true}", "allow_private"),
        ("{allow_private: ['10.0.0.1/8']}", "allow_private: 10.0.0.1/8 has host bits set"),
        ("{allow_private: [nonsense]}", "allow_private"),
        ("{proxy: 'socks5://proxy'}", "proxy must begin with http"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(text: str, words: str) -> None:
    """By number, because a URL may hold a secret; and no secret is told."""
    with pytest.raises(ConfigError, match=words) as raised:
        parsed(text)
    assert SECRET not in str(raised.value)
    assert "short-and-secret" not in str(raised.value)
