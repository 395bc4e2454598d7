"""What a command that only talks to a server needs of this machine: quick to import, unlike the rest of bootstrap."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.adapters.folder import ServerNote, read_server

if TYPE_CHECKING:
    from batchrouter.adapters.scratch import FolderScratch

__all__ = ["ServerNote", "new_key", "now_s", "read_server", "scratch_in"]


def now_s() -> float:
    """Unix seconds."""
    return RealClock().unix_ms() / 1000


def new_key() -> str:
    """One that nobody has."""
    return RealChance().hex(32)


def scratch_in(folder: Path) -> FolderScratch:
    """Room for comparing the ids of a long input; close it."""
    from batchrouter.adapters.scratch import FolderScratch  # it comes with all that keeps bytes

    return FolderScratch(folder)
