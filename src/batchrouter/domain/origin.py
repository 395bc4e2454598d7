"""Where an upstream is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections lead: `scheme` is `http` or `https`, `host` a name or an address without brackets.

    `ca_file` names a PEM file that replaces the system's roots; `verify_tls=False` accepts any certificate.
    """

    scheme: str
    host: str
    port: int
    verify_tls: bool = True
    ca_file: str | None = None
