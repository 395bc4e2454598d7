"""Whose request this is."""

from __future__ import annotations

import hashlib
import hmac

from starlette.requests import Request

from batchrouter.api.context import Context
from batchrouter.domain.tenant import Role
from batchrouter.errors import ApiError
from batchrouter.service.caller import Caller

CHALLENGE = {"WWW-Authenticate": "Bearer"}
SHOWN_FROM = 12
"""Shorter keys are masked whole: seven shown characters of eleven would tell too much."""
KEY_CHARS = 512
ALL_TENANTS = "*"


async def authenticate(context: Context, request: Request) -> Caller:
    """Raises `ApiError` 401 for no key and for a wrong one."""
    secret = sent_key(request)
    if not secret:
        raise ApiError(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY). `batchrouter keys create` makes one.",
            headers=CHALLENGE,
        )
    if len(secret) <= KEY_CHARS:
        caller = _static(context, secret) or await context.service.keys.caller(secret)
        if caller is not None:
            return caller
    raise ApiError(
        401,
        f"Incorrect API key provided: {masked(secret)}. You can make a key with `batchrouter keys create`.",
        code="invalid_api_key",
        headers=CHALLENGE,
    )


async def acting(context: Context, request: Request, caller: Caller) -> Caller:
    """Whom the caller acts for: an admin may name a tenant (`?tenant=`). `*`, for all, is left to the one list that
    knows it."""
    tenant = request.query_params.get("tenant")
    if not tenant or (tenant == ALL_TENANTS and caller.role is Role.ADMIN and request.url.path.endswith("/batches")):
        return caller
    return await context.service.keys.acting(caller, tenant)


def require_admin(caller: Caller) -> None:
    if caller.role is not Role.ADMIN:
        raise ApiError(
            403,
            "This key may not manage keys and tenants. Use a key of role 'admin' "
            "(`batchrouter keys create --role admin`).",
            code="insufficient_permissions",
        )


def masked(secret: str) -> str:
    """The first three and the last four characters of a key that is long enough to hide behind them."""
    if len(secret) < SHOWN_FROM:
        return "*" * len(secret)
    return f"{secret[:3]}{'*' * min(len(secret) - 7, 40)}{secret[-4:]}"


def sent_key(request: Request) -> str | None:
    scheme, _, credentials = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return request.headers.get("x-api-key", "").strip()


def _static(context: Context, secret: str) -> Caller | None:
    """Every key is compared, in constant time, so that the time tells nothing."""
    digest = hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
    found: Caller | None = None
    for known, key in context.static_keys:
        if hmac.compare_digest(known, digest):
            found = Caller(key.tenant_id, key.key_id, key.role)
    return found
