"""`make chaos ARGS="--seconds 3600 --seed 7"`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos ARGS=...", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="of troubles; quiet and the verdict come on top")
    parser.add_argument("--seed", type=int, default=None, help="another each time, unless given")
    parser.add_argument("--runs", type=int, default=1, help="one after another, with seeds that follow each other")
    options = parser.parse_args()
    first = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    failed = []
    for seed in range(first, first + options.runs):
        folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
        if run(folder, seed, options.seconds, lambda words: print(words, flush=True)).faults:
            failed.append(f"{seed} (logs in {folder})")
    print(f"failed: {', '.join(failed)}" if failed else "all kept")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
