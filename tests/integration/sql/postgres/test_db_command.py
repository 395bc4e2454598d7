"""`batchrouter db`, on a shared database and on a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from batchrouter.adapters.sql.schema import HEAD
from batchrouter.cli.main import app
from tests.postgres import empty_database


@pytest.fixture(params=["postgres", "folder"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    database = empty_database() if request.param == "postgres" else "sqlite"
    path = tmp_path / "batchrouter.yaml"
    path.write_text(f"storage: {{database: '{database}', blobs: '{tmp_path / 'data'}'}}\n")
    return path


def run(config: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["db", *words, "--config", str(config)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


def told(config: Path, *words: str) -> tuple[int, dict[str, Any]]:
    code, out = run(config, *words, "--json")
    return code, json.loads(out)


def test_upgrade_makes_the_schema_and_is_harmless_to_repeat(config: Path) -> None:
    """It tells from where to where; a second run finds nothing to do."""
    code, first = told(config, "upgrade")
    assert (code, first["ok"], first["from"], first["to"]) == (0, True, None, HEAD)
    code, second = told(config, "upgrade")
    assert (code, second["from"], second["to"]) == (0, HEAD, HEAD)
    assert run(config, "upgrade") == (0, f"{first['database']}: schema {HEAD}, nothing to do\n")
    code, now = told(config, "status")
    assert (code, now["ok"], now["schema"], now["needs"], now["why_not"]) == (0, True, HEAD, HEAD, None)
    assert run(config, "status")[1].endswith("which this version can use\n")


def test_status_changes_nothing_and_tells_what_to_do(config: Path) -> None:
    """An empty database is refused by processes that share it, and made by any start where it is a folder's."""
    shared = "postgresql" in config.read_text()
    for _ in range(2):
        code, now = told(config, "status")
        assert (code, now["ok"], now["schema"]) == (1 if shared else 0, not shared, None)
        assert not shared or "run batchrouter db upgrade" in now["why_not"]
    assert "postgres@" not in run(config, "status")[1] or shared
