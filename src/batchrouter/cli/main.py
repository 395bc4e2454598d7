"""The command `batchrouter`. Options are read here; what a command needs is imported when it runs, so that `--help`
is quick.

Exit codes: 0 all is well; 1 it ran, and some lines failed or have errors; 2 it could not run; 3 only a person can make
it go on: of a run, or because the server cannot be reached or takes no such key; 130 interrupted. With `--json`
standard output holds JSON alone, with a member `ok`.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from batchrouter.cli import words
from batchrouter.cli.batch_commands import batches_app
from batchrouter.cli.db_commands import db_app
from batchrouter.cli.key_commands import keys_app, tenants_app
from batchrouter.cli.logs import log_to_stderr
from batchrouter.cli.options import (
    Config,
    Data,
    Delimiter,
    Endpoint,
    IdColumn,
    Json,
    LogFormat,
    LogLevel,
    Model,
    OutputForm,
    Prompt,
    PromptFile,
    RowProvider,
    Schema,
    Settings,
    System,
    TableForm,
)
from batchrouter.cli.server_commands import servers_app
from batchrouter.cli.submit_commands import submit_app
from batchrouter.cli.webhook_commands import webhooks_app
from batchrouter.errors import ApiError, BatchRouterError, InputError, TransportError

app = typer.Typer(
    help="A batch API for language models, in front of any provider.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(servers_app)
app.add_typer(submit_app)
app.add_typer(batches_app)
app.add_typer(db_app, name="db")
app.add_typer(keys_app, name="keys")
app.add_typer(tenants_app, name="tenants")
app.add_typer(webhooks_app, name="webhooks")

NEEDS_PERSON_STATUSES = (401, 403)

RUN_EPILOG = (
    "Exit codes: 0 all lines are answered; 1 some lines failed (they are in the errors file); 2 it could not run "
    "(options, input, configuration, disk); 3 only a person can make it go on, a wrong key for example (the state is "
    "kept; --wait keeps waiting instead); 130 interrupted (the state is kept). After 3 and 130, and after any crash, "
    "the same command goes on from where it was."
)


def main() -> NoReturn:
    """Every error of ours becomes one sentence on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an old terminal's alphabet is no reason to end with a trace
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="batchrouter")
    except SystemExit as end:
        if end.code == words.REFUSED and "--json" in sys.argv:  # an option that there is not; stderr has the words
            words.emit({"ok": False, "exit_code": words.REFUSED, "error": {"message": "wrong usage", "code": "usage"}})
        raise
    except ApiError as error:
        away = error.status in NEEDS_PERSON_STATUSES or error.status >= 500
        _fail(str(error), error.code, words.NEEDS_PERSON if away else words.REFUSED)
    except TransportError as error:
        _fail(str(error), exit_code=words.NEEDS_PERSON)
    except BatchRouterError as error:
        _fail(str(error))
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not try to flush it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(words.SOME_FAILED)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(words.INTERRUPTED)
    sys.exit(words.OK)


def _fail(sentence: str, code: str | None = None, exit_code: int = words.REFUSED) -> NoReturn:
    words.say(f"error: {sentence}")
    if "--json" in sys.argv:
        words.emit({"ok": False, "exit_code": exit_code, "error": {"message": sentence, "code": code}})
    sys.exit(exit_code)


@app.command(epilog=RUN_EPILOG)
def run(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Requests as JSONL, or a table; - is standard input.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="OUT", help="Answers: .jsonl, .csv, .tsv, .parquet, or - for a pipe."),
    ],
    errors: Annotated[
        Path | None,
        typer.Option(metavar="ERR.jsonl", help="Lines that failed, if any. Default: OUT.jsonl.errors.jsonl."),
    ] = None,
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
    to: OutputForm = None,
    config: Config = None,
    endpoint: Endpoint = None,
    wait: Annotated[bool, typer.Option("--wait", help="Keep waiting when only a person can help.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the output of an earlier run.")] = False,
    log_level: Annotated[LogLevel, typer.Option(help="Of the log on stderr.")] = LogLevel.error,
    log_format: LogFormat = None,
    json: Json = False,
) -> None:
    """Run a whole file without a server, whatever its size. Run it again to continue after an interruption.

    A table needs a prompt: batchrouter run reviews.csv --prompt "Is this praise? {text}" --model gpt-5-mini -o out.csv
    """
    from batchrouter.cli.run_files import RunFiles
    from batchrouter.cli.table_options import TableOptions

    files = RunFiles.of(source, output, errors, to)
    if files.piped and json:
        raise InputError("-o - and --json both want standard output; name a file for one of them")
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
    requests = table.source(source, endpoint)
    from batchrouter.cli.run import RunOptions, run  # after the names were looked at, because it takes a while

    log_to_stderr(log_level, log_format)
    options = RunOptions(
        files=files, source=requests, config=config, endpoint=endpoint, wait=wait, force=force, json=json
    )
    raise typer.Exit(run(options))


@app.command()
def check(
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl")],
    config: Config = None,
    endpoint: Endpoint = None,
    json: Json = False,
) -> None:
    """List every error of an input file, and count its lines, offline. Exit code 1 when there are errors."""
    from batchrouter.cli.check import CheckOptions, check

    raise typer.Exit(check(CheckOptions(source=source, config=config, endpoint=endpoint, json=json)))


@app.command()
def migrate(
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Default: ./batchrouter-data.")] = None,
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be copied.")] = False,
    json: Json = False,
) -> None:
    """Copy a data folder to the PostgreSQL and the bucket of the configuration. Run it again after an interruption."""
    from batchrouter.cli.migrate import MigrateOptions, run_migration

    raise typer.Exit(run_migration(MigrateOptions(data=data, config=config, dry_run=dry_run, json=json)))


@app.command()
def simulate(
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for a free one.")] = 8100,
    script: Annotated[str | None, typer.Option(metavar="FILE", help="YAML or JSON; options win over it.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed gives every body another latency.")] = None,
    latency: Annotated[
        str | None, typer.Option(help="Seconds: 0.3, 0.2..0.4 or lognormal:MEDIAN[:SIGMA[:MAX]].")
    ] = None,
    in_flight: Annotated[int | None, typer.Option(help="Answered at full speed up to this many at once.")] = None,
    reject_above: Annotated[int | None, typer.Option(help="Refused beyond this many; needs --in-flight.")] = None,
    reject_status: Annotated[int | None, typer.Option(help="Of those refusals: 429 or 503.")] = None,
    retry_after_s: Annotated[float | None, typer.Option(help="Retry-After of those refusals.")] = None,
    rpm: Annotated[float | None, typer.Option(help="Enforced limit of requests per minute.")] = None,
    tpm: Annotated[float | None, typer.Option(help="Enforced limit of tokens per minute.")] = None,
    api_key: Annotated[str | None, typer.Option(help="The only key that is let in; else any.")] = None,
    models: Annotated[list[str] | None, typer.Option(help="Glob, repeatable; other models get 404.")] = None,
    log_path: Annotated[str | None, typer.Option(metavar="FILE", help="Append the request log here.")] = None,
    log_limit: Annotated[int, typer.Option(help="Requests kept in memory.")] = 1_000_000,
    keep_bodies: Annotated[bool, typer.Option("--keep-bodies", help="Headers and bodies in the log too.")] = False,
    certfile: Annotated[str | None, typer.Option(metavar="FILE", help="Serve TLS with this certificate.")] = None,
    keyfile: Annotated[str | None, typer.Option(metavar="FILE")] = None,
    batch_dialect: Annotated[
        str, typer.Option(help="Whose files and batches stand under /v1: openai, groq, mistral, together, ...")
    ] = "openai",
    exit_with_stdin: Annotated[bool, typer.Option("--exit-with-stdin", help="Stop when standard input ends.")] = False,
    json: Json = False,
) -> None:
    """Play a model provider, well or badly, to test batch code against. See docs/simulator.md."""
    from batchrouter.simulator.command import ServeOptions, serve

    serve(
        ServeOptions(
            host=host,
            port=port,
            script=script,
            seed=seed,
            latency=latency,
            in_flight=in_flight,
            reject_above=reject_above,
            reject_status=reject_status,
            retry_after_s=retry_after_s,
            rpm=rpm,
            tpm=tpm,
            api_key=api_key,
            models=tuple(models or ()),
            log_path=log_path,
            log_limit=log_limit,
            keep_bodies=keep_bodies,
            certfile=certfile,
            keyfile=keyfile,
            batch_dialect=batch_dialect,
            exit_with_stdin=exit_with_stdin,
            json=json,
        )
    )


@app.command()
def demo(
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: examples/requests.jsonl.")] = None,
    json: Json = False,
) -> None:
    """Run a batch from upload to download against the simulator; nothing is left running or behind."""
    from batchrouter.cli.demo import DemoOptions, demo

    raise typer.Exit(demo(DemoOptions(file=file, json=json)))


@app.command()
def doctor(
    data: Data = None,
    config: Config = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no provider.")] = False,
    json: Json = False,
) -> None:
    """Look at everything that a server needs here, and say what to do. Exit code 1 when something is at fault."""
    from batchrouter.cli.doctor import DoctorOptions, doctor

    raise typer.Exit(doctor(DoctorOptions(data=data, config=config, offline=offline, json=json)))


@app.command()
def version(json: Json = False) -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        number = version_of("batchrouter")
    except PackageNotFoundError:
        number = "unknown: it runs from a folder that is not installed"
    if json:
        words.emit({"ok": True, "version": number})
    else:
        words.tell(f"batchrouter {number}")
