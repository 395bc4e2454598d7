"""usage: python -m benchmarks [--only NAME ...] [--lines N] [--rounds N]"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from benchmarks import cpu, durability, gap, last_answer, limits, memory, rate, record, scaling, soak, takeover, upload
from benchmarks.bench import ROOT, Bench, Figure, Missing, Wrong, pin_harness

MEASUREMENTS: dict[str, Callable[[Bench], list[Figure]]] = {
    "cpu": cpu.measure,
    "rate": rate.measure,
    "memory": memory.measure,
    "upload": upload.measure,
    "gap": gap.measure,
    "limits": limits.measure,
    "last-answer": last_answer.measure,
    "durability": durability.measure,
    "scaling": scaling.measure,
    "takeover": takeover.measure,
    "soak": soak.measure_embedded,
    "soak-shared": soak.measure_shared,
}
LONG = ("soak", "soak-shared")
"""Only when they are named."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure a running BatchRouter.")
    parser.add_argument("--only", action="extend", nargs="+", choices=MEASUREMENTS, metavar="NAME")
    parser.add_argument("--lines", type=int, help="lines of a run; the figures are then not written down")
    parser.add_argument("--rounds", type=int, default=3, help="repeats of what is quoted as a median")
    options = parser.parse_args()
    bench = Bench(ROOT / "bench-out", options.lines, options.rounds)
    bench.out.mkdir(exist_ok=True)
    pin_harness()

    measured: dict[str, list[Figure]] = {}
    trouble = 0
    for name in options.only or [name for name in MEASUREMENTS if name not in LONG]:
        print(f"{name} ...", flush=True)
        began = time.monotonic()
        try:
            measured[name] = MEASUREMENTS[name](bench)
        except Missing as missing:
            print(f"  skipped: this machine lacks {missing}")
            continue
        except Wrong as wrong:
            print(f"  failed: {wrong}")
            trouble = 1
            continue
        for figure in measured[name]:
            print(f"  {figure.name}\n    {figure.measured}")
            if figure.met is not None:
                print(f"    goal: {figure.goal}: {'met' if figure.met else 'MISSED'}")
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)

    if measured and options.lines is None:
        kept = record.keep(bench.out / "figures.json", measured)
        record.write_page(f"Machine: {record.machine()}.\n\n{record.table(kept, list(MEASUREMENTS))}")
        print(f"written to {record.PAGE.relative_to(ROOT)}")
    return trouble


if __name__ == "__main__":
    sys.exit(main())
