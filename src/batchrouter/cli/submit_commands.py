"""`batchrouter submit` and `batchrouter retry`: their options. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from batchrouter.cli.batch_commands import EXITS, Id
from batchrouter.cli.choosing import chosen, pairs
from batchrouter.cli.interrupt import sigterm_interrupts
from batchrouter.cli.options import (
    Config,
    Data,
    Delimiter,
    IdColumn,
    Json,
    Key,
    Model,
    OutputForm,
    Priority,
    Prompt,
    PromptFile,
    RowProvider,
    Schema,
    SendMode,
    Settings,
    System,
    TableForm,
    Tenant,
    Url,
    Where,
)
from batchrouter.errors import InputError

submit_app = typer.Typer()

SUBMIT_EPILOG = (
    f"{EXITS} The batch's id alone goes to standard output. The same command within a day finds the batch that it "
    "made, so it can be run again after any interruption."
)

MaxCost = Annotated[
    float | None, typer.Option("--max-cost", min=0, metavar="DOLLARS", help="Stop before it costs more than this.")
]
Metadata = Annotated[
    list[str] | None, typer.Option("--metadata", metavar="NAME=VALUE", help="Kept with the batch; repeatable.")
]
Name = Annotated[str | None, typer.Option("--name", help="Shown in lists; kept as metadata.name.")]
Window = Annotated[
    str | None, typer.Option("--window", metavar="24h", help="When it must be over. Default: the server's.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Watch it to its end, with the exit code of that.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="OUT", help="Wait, and fetch the answers: .jsonl, .csv, .tsv, .parquet, or -."
    ),
]
Errors = Annotated[
    Path | None,
    typer.Option("--errors", metavar="ERR.jsonl", help="Lines that failed, if any. Default: OUT.jsonl.errors.jsonl."),
]


@submit_app.command("submit", epilog=SUBMIT_EPILOG)
def submit(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Requests as JSONL, or a table; - is standard input.")],
    name: Name = None,
    metadata: Metadata = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="URL", help="Default: the url of the lines.")
    ] = None,
    window: Window = None,
    max_cost: MaxCost = None,
    priority: Annotated[Priority | None, typer.Option("--priority", help="Among your own batches.")] = None,
    mode: Annotated[SendMode | None, typer.Option("--mode", help="How lines are sent, if they do not say.")] = None,
    dedupe: Annotated[bool, typer.Option("--dedupe", help="Send identical lines once.")] = False,
    resume_from: Annotated[
        str | None, typer.Option("--resume-from", metavar="ID", help="Reuse answers of lines that are unchanged.")
    ] = None,
    wait: Wait = False,
    output: Output = None,
    errors: Errors = None,
    to: OutputForm = None,
    again: Annotated[bool, typer.Option("--again", help="A new batch, though the same was submitted today.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="Of your own, instead of the input's hash.")
    ] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not look for errors before it is sent.")] = False,
    prompt: Prompt = None,
    prompt_file: PromptFile = None,
    system: System = None,
    model: Model = None,
    schema: Schema = None,
    settings: Settings = None,
    provider: RowProvider = None,
    id_column: IdColumn = None,
    form: TableForm = None,
    delimiter: Delimiter = None,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Send a file to a server as a batch, and print the batch's id.

    A table needs a prompt: batchrouter submit reviews.csv --prompt "Is this praise? {text}" --model gpt-5-mini
    """
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.submitting import SubmitOptions, output_files
    from batchrouter.cli.submitting import submit as submit_batch
    from batchrouter.cli.table_options import TableOptions

    if again and idempotency_key is not None:
        raise InputError("--again and --idempotency-key contradict each other: a key finds what it made")
    files = output_files(source, output, errors, to)
    table = TableOptions(
        prompt=prompt,
        prompt_file=prompt_file,
        system=system,
        model=model,
        schema=schema,
        settings=tuple(settings or ()),
        provider=provider,
        id_column=id_column,
        form=form,
        delimiter=delimiter,
    )
    asked: dict[str, Any] = {
        "completion_window": window,
        "max_cost": max_cost,
        "priority": priority,
        "mode": mode,
        "dedupe": dedupe or None,
        "resume_from": resume_from,
    }
    options = SubmitOptions(
        server=ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config),
        source=table.source(source, endpoint),
        endpoint=endpoint,
        asked={member: value for member, value in asked.items() if value is not None},
        metadata=_metadata(metadata, name),
        key=idempotency_key,
        again=again,
        check=not no_check,
        wait=wait,
        files=files,
        json=json,
    )
    with sigterm_interrupts():
        raise typer.Exit(submit_batch(options))


@submit_app.command("retry", epilog=EXITS)
def retry(
    id: Id,
    where: Where = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Of their bodies, such as max_tokens=16384; null removes."),
    ] = None,
    name: Name = None,
    metadata: Metadata = None,
    window: Window = None,
    max_cost: MaxCost = None,
    wait: Wait = False,
    output: Output = None,
    errors: Errors = None,
    to: OutputForm = None,
    again: Annotated[bool, typer.Option("--again", help="A new batch, though the same was retried today.")] = False,
    url: Url = None,
    key: Key = None,
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Send lines of a finished batch again: those that failed, or those chosen. Prints the id of the new batch.

    The new batch's files hold every line of the old one once: batchrouter retry last --where finish_reason=length
    --set max_tokens=16384
    """
    from batchrouter.cli.place import ServerOptions
    from batchrouter.cli.retrying import RetryOptions
    from batchrouter.cli.retrying import retry as retry_batch
    from batchrouter.cli.submitting import PIPE, output_files
    from batchrouter.cli.table_options import setting

    told = {"metadata": _metadata(metadata, name) or None, "completion_window": window, "max_cost": max_cost}
    options = RetryOptions(
        server=ServerOptions(url=url, key=key, tenant=tenant, data=data, config=config),
        id=id,
        where=chosen(where or ()),
        changes=dict(map(setting, changes or ())),
        asked={member: value for member, value in told.items() if value is not None},
        again=again,
        wait=wait,
        files=output_files(PIPE, output, errors, to),
        json=json,
    )
    with sigterm_interrupts():
        raise typer.Exit(retry_batch(options))


def _metadata(told: list[str] | None, name: str | None) -> dict[str, str]:
    found = pairs(told or (), "--metadata")
    if name is not None:
        if found.get("name", name) != name:
            raise InputError("--name and --metadata name= say two different things; give one")
        found["name"] = name
    return found
