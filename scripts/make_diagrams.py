#!/usr/bin/env python3
"""Draw the lifecycles into `docs/architecture.md`, from the tables that the code runs on.

A diagram stands between `<!-- diagram: NAME -->` and `<!-- end of diagram -->`. What is between them is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from batchrouter.domain.lane_health import LANE, LaneState
from batchrouter.domain.lifecycle import BATCH, JOB, UPLOAD, BatchState, JobState, UploadState
from batchrouter.domain.webhook import DELIVERY, DeliveryState

PAGE = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)

_PLACE = re.compile(r"(<!-- diagram: (\w+) -->\n).*?(<!-- end of diagram -->)", re.DOTALL)


def draw(table: Mapping[State, Mapping[Event, State]], first: State) -> str:
    """A Mermaid state diagram with every move of `table`; events that make the same move share an arrow."""
    rows = [f"[*] --> {first}"]
    for state, moves in table.items():
        arrows: dict[State, list[Event]] = {}
        for event, target in moves.items():
            arrows.setdefault(target, []).append(event)
        rows += [f"{state} --> {target}: {', '.join(events)}" for target, events in arrows.items()]
        if not moves:
            rows.append(f"{state} --> [*]")
    return "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {row}" for row in rows), "```"])


DIAGRAMS = {
    "batch": draw(BATCH, BatchState.VALIDATING),
    "upload": draw(UPLOAD, UploadState.PENDING),
    "lane": draw(LANE, LaneState.OPEN),
    "job": draw(JOB, JobState.INTENDED),
    "delivery": draw(DELIVERY, DeliveryState.WAITING),
}


def drawn(page: str) -> str:
    """The page with every diagram as the tables have it. KeyError for one that no table gives."""
    return _PLACE.sub(lambda place: f"{place[1]}\n{DIAGRAMS[place[2]]}\n\n{place[3]}", page)


def main() -> None:
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
