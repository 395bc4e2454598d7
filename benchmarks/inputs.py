"""Batch files of real questions, written once for each size."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench import Bench, run_python


def questions(bench: Bench, lines: int, *, pad: int = 0) -> Path:
    """`lines` real questions; `pad` lengthens each body to about so many bytes."""
    path = bench.out / "inputs" / f"{lines}-{pad}.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        run_python(bench.shared("make_requests.py"), str(lines), part, "--pad", str(pad))
        part.rename(path)
    return path


def four_kib(bench: Bench, lines: int) -> Path:
    """Lines of about 4 KB; 50,000 of them are just under the 200 MiB that a batch may have."""
    return questions(bench, lines, pad=3700)
