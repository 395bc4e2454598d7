"""What a role refuses before it opens anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from batchrouter.cli.api import api
from batchrouter.cli.role import RoleOptions
from batchrouter.cli.serve import ServeOptions, serve
from batchrouter.cli.worker import worker
from batchrouter.errors import ConfigError


@pytest.mark.parametrize(
    ("role", "words"),
    [
        (lambda config: api(RoleOptions(config=config)), "`batchrouter api`"),
        (lambda config: worker(RoleOptions(config=config)), "`batchrouter worker`"),
        (lambda config: serve(ServeOptions(config=config, workers=2)), "`batchrouter serve --workers 2`"),
        (lambda config: serve(ServeOptions(config=config, workers=0)), "`batchrouter serve --workers 0`"),
    ],
)
def test_several_processes_on_sqlite_are_refused(tmp_path: Path, role: Callable[[Path], int], words: str) -> None:
    config = tmp_path / "batchrouter.yaml"
    config.write_text(f"storage: {{blobs: {tmp_path / 'data'}}}\n")
    with pytest.raises(ConfigError, match=f"{words} needs PostgreSQL"):
        role(config)
    assert not (tmp_path / "data").exists()


def test_a_folder_beside_a_bucket_is_refused(tmp_path: Path) -> None:
    """It would be left aside."""
    config = tmp_path / "batchrouter.yaml"
    config.write_text("storage: {database: 'postgresql://db/x', blobs: 's3://bucket'}\n")
    with pytest.raises(ConfigError, match="--data names a folder"):
        api(RoleOptions(config=config, data=tmp_path))
