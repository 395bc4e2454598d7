"""Which addresses a webhook may be sent to: who names a URL must not reach through us what only we can reach.

Facts: IANA's special-purpose registries for IPv4 and IPv6, RFC 6890, RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380
(Teredo), RFC 6598 (shared address space).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def _table(*rows: tuple[str, str]) -> tuple[tuple[Network, str], ...]:
    return tuple((ip_network(network), kind) for network, kind in rows)


# Where clouds give keys to whoever asks from inside.
_METADATA = _table(
    ("169.254.169.254/32", "a cloud's metadata service"),
    ("169.254.170.2/32", "a cloud's metadata service"),  # tasks on Amazon ECS
    ("169.254.170.23/32", "a cloud's metadata service"),  # pods on Amazon EKS
    ("100.100.100.200/32", "a cloud's metadata service"),  # Alibaba
    ("168.63.129.16/32", "a cloud's metadata service"),  # Azure
    ("192.0.0.192/32", "a cloud's metadata service"),  # Oracle
    ("fd00:ec2::/32", "a cloud's metadata service"),  # Amazon
    ("fd20:ce::254/128", "a cloud's metadata service"),  # Google
)
_NO_HOST = _table(
    ("0.0.0.0/8", "unspecified"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "a broadcast address"),
    ("::/128", "unspecified"),
    ("ff00::/8", "multicast"),
)
_PRIVATE = _table(
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a carrier"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "reserved"),
    ("192.88.99.0/24", "reserved"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "reserved"),
    ("198.51.100.0/24", "reserved"),
    ("203.0.113.0/24", "reserved"),
    ("240.0.0.0/4", "reserved"),
    ("::1/128", "loopback"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "reserved"),
    ("3fff::/20", "reserved"),
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_WITH_V4_AT_END = tuple(IPv6Network(each) for each in ("::ffff:0:0/96", "64:ff9b::/96", "::/96"))
_SIX_TO_FOUR = IPv6Network("2002::/16")


@dataclass(frozen=True, slots=True)
class AddressRules:
    """`private`: also addresses that are not of the open internet, all or those of some networks. Those of metadata
    services, and those of no host, are refused all the same."""

    private: bool | tuple[Network, ...] = False

    def why_not(self, address: Address) -> str | None:
        """In words, what it is that is refused; None: it may be asked."""
        inner = inner_address(address)
        for network, kind in (*_METADATA, *_NO_HOST):
            if inner in network:
                return kind
        kind_found = _kind(inner)
        if kind_found is None or self.private is True:
            return None
        if isinstance(self.private, tuple) and any(
            each in network for network in self.private for each in (inner, address)
        ):
            return None
        return kind_found


OPEN_INTERNET = AddressRules()


def inner_address(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, compatible, NAT64, 6to4); else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    number = int(address)
    if number > 0xFFFF and any(address in network for network in _WITH_V4_AT_END):  # not :: and ::1
        return IPv4Address(number & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address((number >> 80) & 0xFFFFFFFF)
    return address


def address_of(text: str) -> Address | None:
    """Of an address as it is written, with or without brackets and zone; None where it is none."""
    bare = text.strip("[]").partition("%")[0]
    try:
        return ip_address(bare)
    except ValueError:
        return None


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """Raises ValueError, whose words name the one that is none."""
    return tuple(ip_network(text) for text in texts)


def _kind(address: Address) -> str | None:
    for network, kind in _PRIVATE:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return "reserved"
    return None
