"""Why answers of another batch cannot be kept."""

from __future__ import annotations

from enum import StrEnum


class SourceFault(StrEnum):
    MISSING = "missing"
    """The tenant has no such batch."""
    RUNNING = "running"
    """It is not final: its answers are not all there."""
    FILES_GONE = "files_gone"
    """An output or error file of it was deleted, or is past its time."""
    INPUT_GONE = "input_gone"
    """Its input file was."""
