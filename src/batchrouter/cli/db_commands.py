"""`batchrouter db`: the schema of the database."""

from __future__ import annotations

import typer

from batchrouter.cli import words
from batchrouter.cli.options import Config, Data, Json

db_app = typer.Typer(help="Look at the database's schema, and bring it up to date.", no_args_is_help=True)


@db_app.command("upgrade")
def upgrade_schema(data: Data = None, config: Config = None, json: Json = False) -> None:
    """Bring the database to the schema of this version, or make it. Harmless when repeated; servers and workers of the
    version before may run on."""
    from batchrouter.bootstrap.schema import upgrade
    from batchrouter.cli.settings import data_folder, load_config

    loaded = load_config(config)
    name, before, after = upgrade(loaded.storage, data_folder(data, loaded))
    if json:
        words.emit({"ok": True, "database": name, "from": before.version, "to": after.version})
    elif before == after:
        words.tell(f"{name}: schema {after.version}, nothing to do")
    else:
        words.tell(f"{name}: schema {before.version or 'none'} -> {after.version}")


@db_app.command("status")
def schema_status(data: Data = None, config: Config = None, json: Json = False) -> None:
    """Tell the database's schema and whether this version can use it. Exit code 1 when it cannot."""
    from batchrouter.bootstrap.schema import HEAD, schema_in
    from batchrouter.cli.settings import data_folder, load_config

    loaded = load_config(config)
    name, found = schema_in(loaded.storage, data_folder(data, loaded))
    why_not = found.why_not(name)
    if json:
        told = {"database": name, "schema": found.version, "oldest": found.oldest, "needs": HEAD, "why_not": why_not}
        words.emit({"ok": why_not is None, **told})
    else:
        words.tell(why_not or f"{name}: schema {found.version or 'none yet'}, which this version can use")
    raise typer.Exit(words.OK if why_not is None else words.SOME_FAILED)
