"""`docs/observability.md`: kind and labels of each metric are the code's, what it tells is the page's."""

from __future__ import annotations

from batchrouter.adapters.metric_table import LANE, METRICS
from scripts.reference.places import Row, with_tables


def renewed(page: str) -> str:
    """The page with the facts of the code; new metrics, without words yet, at the end of the last table."""
    facts = {f"`{metric.told}`": [metric.kind, _labels(metric.labels)] for metric in METRICS}
    told: dict[str, int] = {}

    def look(number: int, rows: list[Row]) -> list[Row]:
        told.update({row[0]: number for row in rows})
        return rows

    with_tables(page, "metric", look)

    def fill(number: int, rows: list[Row]) -> list[Row]:
        kept = [[row[0], *facts[row[0]], row[3]] for row in rows if row[0] in facts]
        new = [name for name in facts if name not in told] if number == max(told.values()) else []
        return kept + [[name, *facts[name], ""] for name in new]

    return with_tables(page, "metric", fill)


def _labels(labels: tuple[str, ...]) -> str:
    lane = labels[: len(LANE)] == LANE
    rest = labels[len(LANE) :] if lane else labels
    return ", ".join([*(["lane"] if lane else []), *(f"`{label}`" for label in rest)])
