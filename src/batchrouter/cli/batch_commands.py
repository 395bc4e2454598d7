"""`batchrouter ls show wait tail fetch cancel pause resume`: their options. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batchrouter.cli.choosing import chosen, pairs
from batchrouter.cli.completion import batch_ids
from batchrouter.cli.interrupt import sigterm_interrupts
from batchrouter.cli.options import Config, Data, Json, Key, OutputForm, Tenant, Url, Where
from batchrouter.errors import InputError

batches_app = typer.Typer()

EXITS = (
    "Exit codes: 0 every line is answered; 1 some lines failed, or the batch failed, expired or was cancelled; 2 wrong "
    "usage, or refused; 3 the server cannot be reached or does not take the key; 130 interrupted."
)
STATES = ("validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled")

Id = Annotated[
    str,
    typer.Argument(metavar="ID", help="An id, its beginning, or `last`.", autocompletion=batch_ids, show_default=False),
]
Ids = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...", help="Ids, their beginnings, or `last`.", autocompletion=batch_ids, show_default=False
    ),
]
State = Annotated[
    list[str] | None,
    typer.Option(
        "--state", metavar="STATE", help="Only these: in_progress,failed; repeatable.", autocompletion=lambda: STATES
    ),
]


@batches_app.command("ls")
def ls(
    state: State = None,
    model: Annotated[str | None, typer.Option(help="Only with this model; * stands for anything.")] = None,
    search: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only with this in id, model, input file or metadata.")
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", metavar="NAME=VALUE", help="Only with this; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest so many.")] = 20,
    all_of_them: Annotated[bool, typer.Option("--all", help="However many there are.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List batches, newest first. --tenant '*' lists those of all tenants."""
    from batchrouter.cli.listing import ListOptions, list_batches
    from batchrouter.cli.place import ServerOptions

    states = tuple(word.strip() for each in state or () for word in each.split(","))
    for word in states:
        if word not in STATES:
            raise InputError(f"there is no state '{word}'; there are {', '.join(STATES)}")
    options = ListOptions(
        server=ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config),
        states=states,
        model=model,
        search=search,
        metadata=tuple(pairs(metadata or (), "--metadata").items()),
        limit=None if all_of_them else limit,
        watch=watch,
        json=json,
    )
    with sigterm_interrupts():
        raise typer.Exit(list_batches(options))


@batches_app.command("show")
def show(
    id: Id,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show one batch: its states, lanes and why they wait, cost, latencies, finish reasons and failures."""
    from batchrouter.cli.page import ShowOptions
    from batchrouter.cli.page import show as show_batch
    from batchrouter.cli.place import ServerOptions

    server = ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config)
    raise typer.Exit(show_batch(ShowOptions(server=server, id=id, json=json)))


@batches_app.command("wait", epilog=EXITS)
def wait(
    ids: Ids,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Give up watching, with exit code 1.")
    ] = None,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Watch batches until they are over. Interrupting it changes nothing; the same command watches again."""
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.waiting import WaitOptions, wait_for_batches

    server = ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config)
    with sigterm_interrupts():
        raise typer.Exit(wait_for_batches(WaitOptions(server=server, ids=tuple(ids), timeout_s=timeout, json=json)))


@batches_app.command("tail")
def tail(
    id: Id,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the batch is over.")] = False,
    lines: Annotated[
        str, typer.Option("--lines", "-n", metavar="N", help="So many that are finished; +1 is all from the first on.")
    ] = "10",
    failed: Annotated[bool, typer.Option("--failed", help="Only failed, expired and cancelled lines.")] = False,
    where: Where = None,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show lines as they finish, while the batch runs and after. With --json each is an object, with its answer."""
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.tailing import TailOptions, how_many
    from batchrouter.cli.tailing import tail as tail_batch

    last, from_line = how_many(lines)
    options = TailOptions(
        server=ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config),
        id=id,
        follow=follow,
        last=last,
        from_line=from_line,
        where=chosen(where or ()),
        failed=failed,
        json=json,
    )
    with sigterm_interrupts():
        raise typer.Exit(tail_batch(options))


@batches_app.command("fetch", epilog=EXITS)
def fetch(
    id: Id,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Answers: .jsonl, .csv, .tsv, .parquet, or -. Default: ID.jsonl."
        ),
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option(metavar="ERR.jsonl", help="Lines that failed, if any. Default: OUT.jsonl.errors.jsonl."),
    ] = None,
    merged: Annotated[bool, typer.Option("--merged", help="Failed lines too, in one file.")] = False,
    to: OutputForm = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of another batch.")] = False,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Fetch the answers of a finished batch, in the order of its input. Run again, it goes on; repeats are harmless."""
    from batchrouter.cli.fetching import FetchOptions
    from batchrouter.cli.fetching import fetch as fetch_batch
    from batchrouter.cli.place import ServerOptions

    options = FetchOptions(
        server=ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config),
        id=id,
        output=output,
        errors=errors,
        to=to,
        merged=merged,
        force=force,
        json=json,
    )
    with sigterm_interrupts():
        raise typer.Exit(fetch_batch(options))


@batches_app.command("cancel")
def cancel(
    ids: Ids,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Cancel batches. What is done is kept and can be fetched. A repeat is harmless."""
    _steer("cancel", ids, url, key, tenant, data, config, json)


@batches_app.command("pause")
def pause(
    ids: Ids,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Pause batches: nothing more of them is sent. The deadline does not move. A repeat is harmless."""
    _steer("pause", ids, url, key, tenant, data, config, json)


@batches_app.command("resume")
def resume(
    ids: Ids,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Let paused batches go on. A repeat is harmless."""
    _steer("resume", ids, url, key, tenant, data, config, json)


def _steer(
    verb: str,
    ids: list[str],
    url: str | None,
    key: str | None,
    tenant: str | None,
    data: Path | None,
    config: Path | None,
    json: bool,
) -> None:
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.steering import SteerOptions, steer

    server = ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config)
    raise typer.Exit(steer(SteerOptions(server=server, verb=verb, ids=tuple(ids), json=json)))
