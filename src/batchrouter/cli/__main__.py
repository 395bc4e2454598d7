"""`python -m batchrouter.cli`: the command where it is not on the path."""

from __future__ import annotations

from batchrouter.cli.main import main

if __name__ == "__main__":
    main()
