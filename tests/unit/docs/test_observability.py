"""docs/observability.md against the code: every metric, its kind and its labels."""

from __future__ import annotations

from batchrouter.adapters.metric_table import LANE, METRICS
from tests.unit.docs.pages import DOCS, table

PAGE = DOCS / "observability.md"


def test_every_metric_is_told_with_its_kind_and_labels_and_no_other() -> None:
    """The tables of the page are the rows of the code."""
    told = {}
    for name, kind, labels, _ in table(PAGE, "metric"):
        words = [word.strip().strip("`") for word in labels.split(",") if word]
        told[name.strip("`")] = (
            kind,
            tuple(label for word in words for label in (LANE if word == "lane" else (word,))),
        )
    assert told == {metric.told: (metric.kind, metric.labels) for metric in METRICS}
