"""`batchrouter webhooks`: its options. What they do is imported when they run."""

from __future__ import annotations

from typing import Annotated

import typer

from batchrouter.cli.options import Config, Data, Json, Key, Tenant, Url
from batchrouter.domain.webhook import EVENTS

webhooks_app = typer.Typer(help="Have a URL told what becomes of batches.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="As `webhooks ls` shows it, or its beginning.")]


@webhooks_app.command("ls")
def ls(
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List endpoints."""
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.webhooks import Webhooks

    Webhooks(ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config), json=json).ls()


@webhooks_app.command("add")
def add(
    to: Annotated[str, typer.Argument(metavar="URL", help="Where to send: https://…")],
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="NAME",
            help=f"Repeatable. Default: all of {', '.join(EVENTS)} but the last.",
            autocompletion=lambda: EVENTS,
        ),
    ] = None,
    description: Annotated[str, typer.Option(metavar="TEXT", help="For people.")] = "",
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Add an endpoint and print its secret, this once."""
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.webhooks import Webhooks

    at = Webhooks(ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config), json=json)
    at.add(to, event, description)


@webhooks_app.command("rm")
def rm(
    id: Id,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Remove an endpoint and its log."""
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.webhooks import Webhooks

    Webhooks(ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config), json=json).rm(id)


@webhooks_app.command("enable")
def enable(
    id: Id,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Enable an endpoint that was disabled."""
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.webhooks import Webhooks

    Webhooks(ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config), json=json).enable(id)


@webhooks_app.command("rotate")
def rotate(
    id: Id,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Give an endpoint a new secret and print it, this once; the old one signs too for 24 hours."""
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.webhooks import Webhooks

    Webhooks(ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config), json=json).rotate(id)


@webhooks_app.command("test")
def try_it(
    id: Id,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Send an endpoint a test, and say what it answered. Exit code 1: it did not take it."""
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.webhooks import Webhooks

    at = Webhooks(ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config), json=json)
    raise typer.Exit(at.test(id))


@webhooks_app.command("log")
def log(
    id: Id,
    limit: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="The newest so many.")] = 20,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show what an endpoint was told and is to be told, newest first."""
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.webhooks import Webhooks

    Webhooks(ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config), json=json).log(id, limit)
