"""Three workers and two APIs on one database and one bucket, while everything goes wrong: nothing is lost, nothing is
paid for twice without a cause, and nobody sees what is another's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.run import SECONDS, SEED, run


@pytest.mark.xdist_group("chaos")
def test_what_was_promised_is_kept_whatever_happens(tmp_path: Path) -> None:
    """`CHAOS_SEED` and `CHAOS_SECONDS` try others; `make chaos` does so without pytest."""
    seed, seconds = int(os.environ.get("CHAOS_SEED", SEED)), float(os.environ.get("CHAOS_SECONDS", SECONDS))
    assert run(tmp_path, seed, seconds).faults == []
