"""The head of an HTTP/1.1 request, made once for each lane and path."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from batchrouter.domain.origin import Origin
from batchrouter.errors import ConfigError


class RequestHead:
    """Where a provider is, and the fields that every request to it carries.

    `fields` are the wire's own (its key among them); `headers` come from the configuration and win over all.
    ConfigError for what cannot work: no URL, or characters that would split a request.
    """

    def __init__(
        self,
        base_url: str,
        fields: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        *,
        verify_tls: bool = True,
        ca_file: str | None = None,
    ) -> None:
        self.origin, self._path = _split(base_url, verify_tls, ca_file)
        default_port = 443 if self.origin.scheme == "https" else 80
        host = f"[{self.origin.host}]" if ":" in self.origin.host else self.origin.host
        all_fields = {
            "host": host if self.origin.port == default_port else f"{host}:{self.origin.port}",
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "batchrouter",
            **fields,
            **{name.lower(): value for name, value in (headers or {}).items()},
        }
        for name, value in all_fields.items():
            if not _is_field(name, value):
                raise ConfigError(f"header '{name}' of {base_url} has characters that HTTP does not allow")
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in all_fields.items()).encode("latin-1")

    def post(self, path: str) -> bytes:
        """The head of a POST to `path` behind the base URL's own, up to and including `content-length: `."""
        return f"POST {self._path}{path} HTTP/1.1\r\n".encode("ascii") + self._fields + b"content-length: "


def _split(base_url: str, verify_tls: bool, ca_file: str | None) -> tuple[Origin, str]:
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"base_url '{base_url}' is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"base_url '{base_url}' must be http:// or https:// with a host and at most a path")
    path = parts.path.rstrip("/")
    if not path.isascii() or any(c <= " " for c in path):
        raise ConfigError(f"base_url '{base_url}' has a path with characters that must be percent-encoded")
    return (
        Origin(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), verify_tls, ca_file),
        path,
    )


def _is_field(name: str, value: str) -> bool:
    token = name.replace("-", "").replace("_", "")
    return token.isascii() and token.isalnum() and not any(c in value for c in "\r\n\0") and _is_latin(value)


def _is_latin(value: str) -> bool:
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
