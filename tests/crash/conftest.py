"""The seed of every random moment: printed, and set anew by `CRASH_SEED` to see the same moments again."""

from __future__ import annotations

import os
import random

import pytest


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"{request.node.name}: CRASH_SEED={seed}")
    return random.Random(seed)
