"""Handlers of models, keys and tenants."""

from __future__ import annotations

from dataclasses import fields

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from batchrouter.api.asking import json_body
from batchrouter.api.context import Context
from batchrouter.api.objects import (
    CallerObject,
    KeyList,
    ModelList,
    TenantList,
    key_object,
    model_object,
    tenant_object,
)
from batchrouter.api.provider_objects import ProviderList, provider_object
from batchrouter.api.replies import json_reply
from batchrouter.domain.tenant import DEFAULT_TENANT, Quotas, Role
from batchrouter.errors import ApiError
from batchrouter.service import asked
from batchrouter.service.caller import Caller
from batchrouter.service.keys import WEIGHT_MAX

LABEL_CHARS = 200
QUOTA_NAMES = tuple(field.name for field in fields(Quotas))
QUOTA_MAX = 2**53
"""Beyond it, JavaScript reads another number."""


async def list_models(context: Context, request: Request, caller: Caller) -> Response:
    return json_reply(ModelList("list", [model_object(model) for model in await context.models()]))


async def retrieve_model(context: Context, request: Request, caller: Caller) -> Response:
    wanted: str = request.path_params["model"]
    for model in await context.models():
        if model.id == wanted:
            return json_reply(model_object(model))
    raise ApiError(404, f"The model '{wanted}' does not exist.", param="model", code="model_not_found")


async def retrieve_caller(context: Context, request: Request, caller: Caller) -> Response:
    keys = context.service.keys
    return json_reply(
        CallerObject(
            id=caller.key_id,
            object="caller",
            role=caller.role.value,
            tenant=await keys.tenant_name(caller.tenant_id),
            label=await keys.label(caller),
            version=context.settings.version,
        )
    )


async def list_providers(context: Context, request: Request, caller: Caller) -> Response:
    return json_reply(ProviderList("list", [provider_object(each) for each in await context.service.providers.all()]))


async def create_key(context: Context, request: Request, caller: Caller) -> Response:
    body, _ = await json_body(request, context.settings.max_json_bytes)
    role = asked.one_of(asked.text_or_none(body, "role") or Role.USER, tuple(Role), "role")
    tenant = _tenant_name(body, "tenant") if body.get("tenant") is not None else DEFAULT_TENANT
    label = (asked.text_or_none(body, "label") or "")[:LABEL_CHARS]
    key, secret = await context.service.keys.create(tenant, Role(role), label, _weight(body))
    return json_reply(key_object(key, tenant, secret))


async def list_keys(context: Context, request: Request, caller: Caller) -> Response:
    keys = await context.service.keys.all(request.query_params.get("tenant") or None)
    return json_reply(KeyList("list", [key_object(key, tenant, UNSET) for key, tenant in keys]))


async def revoke_key(context: Context, request: Request, caller: Caller) -> Response:
    key = await context.service.keys.revoke(request.path_params["key_id"])
    return json_reply(key_object(key, await context.service.keys.tenant_name(key.tenant_id)))


async def put_tenant(context: Context, request: Request, caller: Caller) -> Response:
    body, _ = await json_body(request, context.settings.max_json_bytes)
    name = _tenant_name(body, "name")
    tenant = await context.service.keys.tenant(name, _weight(body), _bounds(body))
    context.service.request_quotas.forget(tenant.id)
    return json_reply(tenant_object(tenant))


async def list_tenants(context: Context, request: Request, caller: Caller) -> Response:
    told = [tenant_object(home, usage) for home, usage in await context.service.keys.tenants_and_usage()]
    return json_reply(TenantList("list", told))


def _tenant_name(body: asked.Body, name: str) -> str:
    value = asked.text(body, name)
    if not asked.is_id(value):
        raise ApiError(
            400,
            f"Invalid '{name}': a tenant's name has 1 to 200 letters, digits, dots, dashes and underscores.",
            param=name,
            code="invalid_value",
        )
    return value


def _weight(body: asked.Body) -> int | None:
    return None if body.get("weight") is None else asked.whole_number(body, "weight", 1, WEIGHT_MAX)


def _bounds(body: asked.Body) -> dict[str, int | None]:
    """The quotas that are to be changed. Unknown ones are refused: a misspelt bound would bind nobody."""
    value = body.get("quotas")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise asked.wrong_type("quotas", "an object", value)
    bounds: dict[str, int | None] = {}
    for name in value:
        asked.one_of(name, QUOTA_NAMES, "quotas")
        bounds[name] = None if value[name] is None else asked.whole_number(value, name, 0, QUOTA_MAX)
    return bounds
