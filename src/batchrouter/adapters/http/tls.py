"""What we trust of an upstream that speaks TLS."""

from __future__ import annotations

import ssl

from batchrouter.domain.origin import Origin
from batchrouter.errors import ConfigError


def tls_context(origin: Origin) -> ssl.SSLContext | None:
    """What an origin's TLS trusts; None for a plain one. Raises `ConfigError` when it cannot be made."""
    if origin.scheme == "http":
        return None
    if origin.scheme != "https":
        raise ConfigError(f"an upstream's address begins with http:// or https://, not with {origin.scheme}://")
    try:
        context = ssl.create_default_context(cafile=origin.ca_file)
    except OSError as error:
        raise ConfigError(f"ca_file {origin.ca_file} of {origin.host} cannot be used: {error}") from error
    if not origin.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
