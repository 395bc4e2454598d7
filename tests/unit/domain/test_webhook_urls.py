"""Which URLs and addresses webhooks may be sent to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.address_rules import AddressRules, networks_of
from batchrouter.domain.webhook_url import UrlRules

REFUSED = {
    "127.0.0.1": "loopback", "127.8.8.8": "loopback", "10.0.0.1": "private", "172.31.255.255": "private",
    "192.168.1.1": "private", "169.254.1.1": "link-local", "100.64.0.1": "shared by a carrier",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified", "224.0.0.1": "multicast", "255.255.255.255": "a broadcast address",
    "240.0.0.1": "reserved",
    "198.18.0.1": "reserved", "192.0.2.1": "reserved", "203.0.113.9": "reserved", "198.51.100.1": "reserved",
    "169.254.169.254": "a cloud's metadata service", "100.100.100.200": "a cloud's metadata service",
    "168.63.129.16": "a cloud's metadata service", "::": "unspecified", "::1": "loopback", "fe80::1": "link-local",
    "fd12::1": "private", "fd00:ec2::254": "a cloud's metadata service", "ff02::1": "multicast", "fec0::1": "private",
    "2001:db8::1": "reserved", "2001::1": "reserved", "::ffff:127.0.0.1": "loopback", "::ffff:10.0.0.1": "private",
    "::10.0.0.1": "private", "64:ff9b::10.0.0.1": "private", "64:ff9b::a9fe:a9fe": "a cloud's metadata service",
    "64:ff9b:1::1": "reserved", "2002:7f00:1::1": "loopback", "2002:a00:1::": "private", "::2": "reserved",
    "4000::1": "reserved", "100::1": "reserved", "5f00::1": "reserved",
}  # fmt: skip
ASKED = ("8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::8.8.8.8")


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_of_the_open_internet_is_refused(text: str) -> None:
    """With the kind of thing that it is; the inner address counts where one stands for another."""
    assert AddressRules().why_not(ip_address(text)) == REFUSED[text]


@pytest.mark.parametrize("text", ASKED)
def test_what_is_of_the_open_internet_is_asked(text: str) -> None:
    assert AddressRules().why_not(ip_address(text)) is None


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_nothing_is_asked_that_python_thinks_private(address: object) -> None:
    """Another's list, which knows less and must not know more."""
    found = ip_address(str(address))
    if AddressRules().why_not(found) is None and found.version == 4:
        assert found.is_global
        assert not found.is_multicast


def test_private_addresses_can_be_allowed_and_metadata_cannot() -> None:
    """All of them, or networks."""
    every, some = AddressRules(True), AddressRules(networks_of(["10.0.0.0/8", "fd00::/8"]))
    never = [text for text, kind in REFUSED.items() if every.why_not(ip_address(text)) is not None]
    assert {REFUSED[text] for text in never} == {
        "a cloud's metadata service", "unspecified", "multicast", "a broadcast address"
    }  # fmt: skip
    for text in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "8.8.8.8"):
        assert some.why_not(ip_address(text)) is None
    for text in ("192.168.1.1", "127.0.0.1", "fd00:ec2::254"):
        assert some.why_not(ip_address(text)) is not None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/", "must begin with https"), ("ftp://example.com/", "whole URL"),
        ("example.com", "whole URL"),
        ("https://", "whole URL"), ("https://user:pw@example.com/", "name or a password"), ("https://[::1", "no URL"),
        ("https://example.com/#x", "behind #"), ("https://127.0.0.1/", "loopback"), ("https://[::1]/", "loopback"),
        ("https://[::ffff:7f00:1]/", "loopback"), ("https://10.0.0.1:8443/x", "private"),
        ("https://a b/", "characters"),
        ("https://exämple.com/", "characters"), ("https://example.com:99999/", "no URL"),
        ("https://e.com/\r\nx", "char"),
        ("https://example.com/" + "x" * 2000, "longer"), ("https://example.com\\@127.0.0.1/", "characters"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_refused_in_words(url: str, words: str) -> None:
    found = UrlRules().why_not(url)
    assert found is not None
    assert words in found


def test_a_url_that_can_be_used_is_not_refused() -> None:
    """Ports, paths, queries; http where it is allowed."""
    assert UrlRules().why_not("https://example.com:8443/a/b?c=d") is None
    assert UrlRules().why_not("https://8.8.8.8/") is None
    assert UrlRules(allow_http=True).why_not("http://example.com/") is None
    assert UrlRules(AddressRules(True)).why_not("https://127.0.0.1/") is None
