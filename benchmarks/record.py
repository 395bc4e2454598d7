"""The table: on the terminal, and in `docs/performance.md` between two markers.

Figures are kept beside the runs (`bench-out/figures.json`), each with its commit and day, so that one measurement can
be repeated without the others.
"""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.bench import CORES, ROOT, Figure

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
VERDICT = {True: "yes", False: "**no**", None: ""}


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", "src") else "")


def machine() -> str:
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return (
        f"{len(CORES)} × {model}, {memory_kib / 2**20:.0f} GiB, Linux {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}"
    )


def keep(file: Path, measured: dict[str, list[Figure]]) -> dict[str, Any]:
    """Put these measurements over the earlier ones; all that are kept."""
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    stamp = {"commit": commit(), "day": datetime.datetime.now(datetime.UTC).date().isoformat()}
    for name, figures in measured.items():
        kept[name] = [asdict(figure) | stamp for figure in figures]
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False))
    return kept


def table(kept: dict[str, Any], order: list[str]) -> str:
    rows = ["| figure | goal | measured | met | commit, day |", "|---|---|---|---|---|"]
    for name in order:
        for f in kept.get(name, []):
            cells = (f["name"], f["goal"], f["measured"], VERDICT[f["met"]], f"{f['commit']}, {f['day']}")
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def write_page(text: str) -> None:
    """Replace what stands between the markers; a page without them gets them at its end."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Speed and memory\n"
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
