"""What must not be told of a configuration, wherever in it somebody has put it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from batchrouter.config.storage import passwords_in

_SETTINGS = frozenset(("api_key", "api_keys", "headers", "options", "secret", "proxy"))
_DATABASE = "database"
_LEAST = 8
"""Characters of a secret; a shorter one would black out half of a message, and guards nothing."""
# As the vendors' keys begin; what follows has neither spaces nor slashes.
_LIKE_A_KEY = re.compile(r"\b(?:sk|pk|rk|gsk|xai|csk|nvapi|tgp|hf|fw)[-_][A-Za-z0-9_-]{12,}|\bAIza[A-Za-z0-9_-]{12,}")
_SHOWN = "[secret]"


def secrets_in(data: Any) -> set[str]:
    """Keys and headers, at whatever place settings of these names stand, and the passwords of databases."""
    return set(_found(data, secret=False))


def masked(text: str, secrets: set[str]) -> str:
    """`text` without these secrets, and without what looks like a vendor's key."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _LEAST:
            text = text.replace(secret, _SHOWN)
    return _LIKE_A_KEY.sub(_SHOWN, text)


def _found(value: Any, *, secret: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == _DATABASE and isinstance(each, str):
                yield from passwords_in(each)
            yield from _found(each, secret=secret or key in _SETTINGS)
    elif isinstance(value, list):
        for each in value:
            yield from _found(each, secret=secret)
    elif secret and isinstance(value, str):
        yield value
