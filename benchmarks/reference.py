"""The floor: the shared reference client on the core under test."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.bench import Bench, Wrong, run_python


def cpu_per_10k(bench: Bench, path: Path, port: int, in_flight: int) -> float:
    """CPU seconds for 10,000 requests."""
    said = run_python(bench.shared("reference_client.py"), path, str(port), str(in_flight), role="test")
    found = re.search(r"([\d.]+) CPU-s per 10k", said)
    if found is None:
        raise Wrong(f"the reference client said: {said.strip()}")
    return float(found.group(1))
