"""Show where the golden files of translation differ from what the code makes: `python scripts/review_goldens.py`.

With `--write NAME …` the named files are written anew, with `--write` and no name all that differ; then read the diff
before it is committed, for a golden file is a promise and not a recording. With `--rows` the rows of the tables and the
files that show them are listed.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.golden import goldens


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--rows", action="store_true")
    args = parser.parse_args()
    if args.rows:
        _print_rows()
        return 0
    differing = 0
    for name in args.names or goldens.names():
        path = goldens.FOLDER / f"{name}.json"
        old, new = path.read_text(), goldens.text(goldens.made(goldens.load(name)))
        if old == new:
            continue
        differing += 1
        print("".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"{name} (file)", "code", n=9)))
        if args.write:
            path.write_text(new)
    print(f"{differing} differ" if differing else "all as the code makes them")
    return 0 if args.write or not differing else 1


def _print_rows() -> None:
    rows: dict[str, list[str]] = {}
    for name in goldens.names():
        for row in goldens.load(name)["rows"]:
            rows.setdefault(row, []).append(name)
    for row, files in sorted(rows.items()):
        print(f"{row}: {', '.join(files)}")


if __name__ == "__main__":
    sys.exit(main())
