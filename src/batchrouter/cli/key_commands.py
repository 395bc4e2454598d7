"""`batchrouter keys` and `batchrouter tenants`: their options and what they print."""

from __future__ import annotations

from typing import Annotated

import typer

from batchrouter.cli import words
from batchrouter.cli.options import Config, Data, Json, KeyRole

keys_app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)
tenants_app = typer.Typer(help="List tenants, and set their shares and quotas.", no_args_is_help=True)

Weight = Annotated[int | None, typer.Option(min=1, max=1000, help="The tenant's share against the weights of others.")]


def _quota(flag: str, words: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, metavar="N", help=f"{words}; 'none' takes the bound away.")
    return option


@keys_app.command("create")
def create_key(
    tenant: Annotated[str, typer.Option(metavar="NAME", help="Made if there is none of this name.")] = "default",
    role: Annotated[KeyRole, typer.Option(help="An admin key may manage keys too.")] = KeyRole.user,
    weight: Weight = None,
    label: Annotated[str, typer.Option(help="For you, to tell keys apart.")] = "",
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make a key and print it, this once."""
    from batchrouter.cli.keys import KeyFolder
    from batchrouter.domain.tenant import Role

    key = KeyFolder(data, config).create(tenant, Role(role), label, weight)
    if json:
        words.emit({"ok": True, "key": key})
    else:
        words.say(f"{key.id}, role {key.role}, tenant {key.tenant}. Shown this once:")
        words.tell(key.secret or "")


@keys_app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="Only this tenant's.")] = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List keys, newest first, revoked ones included."""
    from batchrouter.cli.keys import KeyFolder

    keys = KeyFolder(data, config).all(tenant)
    if json:
        words.emit({"ok": True, "keys": keys})
        return
    for key in keys:
        state = "active " if key.revoked_at is None else "revoked"
        words.tell(f"{key.id}  …{key.tail}  {state}  {key.role:<5}  {key.tenant}  {key.label}".rstrip())
    if not keys:
        words.say("There are no keys.")


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `keys list` shows it.")],
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Revoke a key; a running server refuses it within 5 seconds."""
    from batchrouter.cli.keys import KeyFolder

    key = KeyFolder(data, config).revoke(key_id)
    if json:
        words.emit({"ok": True, "key": key})
    else:
        words.tell(f"{key.id} is revoked")


@tenants_app.command("list")
def list_tenants(data: Data = None, config: Config = None, json: Json = False) -> None:
    """List tenants, with their quotas and what they have of each."""
    from batchrouter.cli.keys import KeyFolder

    tenants = KeyFolder(data, config).tenants()
    if json:
        words.emit({"ok": True, "tenants": tenants})
        return
    for tenant in tenants:
        words.tell(f"{tenant.name}  weight {tenant.weight}  {_told(tenant.quotas, tenant.usage)}".rstrip())
    if not tenants:
        words.say("There are no tenants.")


@tenants_app.command("set")
def set_tenant(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Made if there is none of this name.")],
    weight: Weight = None,
    max_in_flight: Annotated[str | None, _quota("--max-in-flight", "Calls to upstreams at once")] = None,
    max_lines: Annotated[str | None, _quota("--max-lines", "Lines of batches that have not ended")] = None,
    max_bytes: Annotated[str | None, _quota("--max-bytes", "Bytes of batches that have not ended")] = None,
    max_storage_bytes: Annotated[str | None, _quota("--max-storage-bytes", "Bytes of stored files")] = None,
    max_requests: Annotated[str | None, _quota("--max-requests", "Requests to the API in a minute")] = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Set a tenant's share and quotas; what is not given stays as it is."""
    from batchrouter.cli.keys import KeyFolder

    asked = {
        "max_in_flight": max_in_flight,
        "max_lines": max_lines,
        "max_bytes": max_bytes,
        "max_storage_bytes": max_storage_bytes,
        "max_requests": max_requests,
    }
    bounds = {quota: _bound(quota, value) for quota, value in asked.items() if value is not None}
    tenant = KeyFolder(data, config).set_tenant(name, weight, bounds)
    if json:
        words.emit({"ok": True, "tenant": tenant})
    else:
        words.tell(f"{tenant.name}  weight {tenant.weight}  {_told(tenant.quotas, {})}".rstrip())


def _bound(quota: str, value: str) -> int | None:
    if value == "none":
        return None
    if not (value.isascii() and value.isdecimal()):
        option = "--" + quota.replace("_", "-")
        raise typer.BadParameter(f"{value!r} is neither a whole number nor 'none'.", param_hint=option)
    return int(value)


def _told(quotas: dict[str, int | None], usage: dict[str, int]) -> str:
    """`lines 3/10`: what there is, and what there may be."""
    parts = []
    for quota, most in quotas.items():
        name = quota.removeprefix("max_")
        has = usage.get(name)
        if most is not None or has:
            parts.append(f"{name} {'' if has is None else has}{'' if most is None else f'/{most}'}")
    return "  ".join(parts)
