"""What the URL of a webhook endpoint may be, as far as it can be told without asking for the address of its name."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from batchrouter.domain.address_rules import OPEN_INTERNET, AddressRules, address_of
from batchrouter.domain.webhook import URL_CHARS

_SCHEMES = ("https", "http")


@dataclass(frozen=True, slots=True)
class UrlRules:
    """`allow_http`: also http://, which anybody on the way can read."""

    addresses: AddressRules = OPEN_INTERNET
    allow_http: bool = False

    def why_not(self, url: str) -> str | None:
        """The rest of a sentence that begins with the URL's name; None: it may be used."""
        if len(url) > URL_CHARS:
            return f"is longer than {URL_CHARS} characters"
        if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            return "has characters that no URL has: write them as %XX, and foreign names as xn--"
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            return "is no URL"
        if parts.scheme not in _SCHEMES or not host:
            return "must be a whole URL, such as https://example.com/hooks"
        if parts.scheme == "http" and not self.allow_http:
            return "must begin with https:// (webhooks.allow_http in the configuration allows http://)"
        if "@" in parts.netloc:
            return "must not hold a name or a password: the signature tells who sends"
        if parts.fragment:
            return "must not have a part behind #"
        address = address_of(host)
        kind = None if address is None else self.addresses.why_not(address)
        return None if kind is None else refused(host, kind)


OPEN_URLS = UrlRules()


def refused(what: str, kind: str) -> str:
    """The rest of a sentence: `what` (a host, an address) is of a kind that may not be asked."""
    words = kind if kind.startswith(("a ", "no ")) else f"an address that is {kind}"
    return f"is refused: {what} is {words} (webhooks.allow_private in the configuration says which may be asked)"
