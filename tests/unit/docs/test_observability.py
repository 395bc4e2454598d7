"""docs/observability.md against the code: every metric."""

from __future__ import annotations

from batchrouter.adapters.metric_table import METRICS
from tests.unit.docs.pages import DOCS, table


def test_every_metric_is_told_and_no_other() -> None:
    """Once each, in words; kind and labels are made from the code (`test_reference`)."""
    rows = table(DOCS / "observability.md", "metric")
    assert sorted(row[0] for row in rows) == sorted(f"`{metric.told}`" for metric in METRICS)
    assert [row[0] for row in rows if not row[-1]] == []
