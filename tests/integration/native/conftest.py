"""What the tests of native jobs share with those of lines."""

from __future__ import annotations

from tests.integration.http.conftest import certificate

__all__ = ["certificate"]
