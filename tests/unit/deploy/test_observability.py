"""The dashboard and the alerts ask for metrics and labels that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from batchrouter.adapters.metric_table import METRICS
from tests.conftest import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "batchrouter.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
PARTS = ("_bucket", "_sum", "_count")
SERIES = {
    name: set(metric.labels) | ({"le"} if metric.kind == "histogram" else set())
    for metric in METRICS
    for name in ([f"{metric.name}{part}" for part in PARTS] if metric.kind == "histogram" else [metric.told])
}
FROM_PROMETHEUS = {"instance", "job"}
_SELECTOR = re.compile(r"\b((?:batchrouter|process)_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"')
_BY = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")
_LABELS = re.compile(r"label_values\((.*), (\w+)\)$")


def faults_of(expression: str) -> Iterator[str]:
    """What an expression of PromQL asks for that is not there."""
    if any(expression.count(left) != expression.count(right) for left, right in ("()", "{}", "[]")):
        yield f"a bracket is open in {expression}"
    known: set[str] = set(FROM_PROMETHEUS)
    counters = {metric.told for metric in METRICS if metric.kind == "counter"}
    found = _SELECTOR.findall(expression)
    if not found:
        yield f"no metric in {expression}"
    for name, matchers in found:
        if name.startswith("process_"):
            continue
        if name not in SERIES:
            yield f"{name} is no metric"
            continue
        known |= SERIES[name]
        for label in _MATCHER.findall(matchers):
            if label not in SERIES[name] | FROM_PROMETHEUS:
                yield f"{name} has no label {label}"
        if matchers and _MATCHER.sub("", matchers).strip(", "):
            yield f"{matchers} cannot be read"
        grows = name in counters or name.endswith(PARTS)
        rated = re.search(rf"(?:rate|increase)\({name}(?:\{{[^}}]*\}})?\[", expression) is not None
        if grows is not rated:
            yield f"{name} {'only grows, and is told as it is' if grows else 'does not only grow, and is rated'}"
    for labels in _BY.findall(expression):
        for label in (each.strip() for each in labels.split(",")):
            if label not in known:
                yield f"nothing in {expression} has the label {label}"


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def expressions() -> Iterator[tuple[str, str]]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for rule in rules():
        yield rule["alert"], rule["expr"]


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_an_expression_asks_for_what_there_is(where: str, expression: str) -> None:
    assert list(faults_of(expression)) == []


def test_the_dashboard_can_be_imported() -> None:
    """Ids are its own, panels lie beside each other, and every variable that is used is asked for."""
    told = dashboard()
    assert [panel["id"] for panel in told["panels"]] == list(range(1, len(told["panels"]) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in told["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        for target in panel.get("targets", ()):
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= set().union(*SERIES.values()) | {
                "instance"
            }
    named = {variable["name"] for variable in told["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(told)))
    assert used == named
    for variable in told["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = _LABELS.match(variable["definition"]).groups()  # type: ignore[union-attr]
            assert list(faults_of(selector)) == []
            assert label in SERIES[selector.partition("{")[0]] | FROM_PROMETHEUS


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    """With labels that its expression leaves."""
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "todo"}
        assert all(words.endswith(".") for words in rule["annotations"].values())
        labels = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        grouped = {label.strip() for each in _BY.findall(rule["expr"]) for label in each.split(",")}
        assert labels <= (grouped or FROM_PROMETHEUS)


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("batchrouter_no_such_thing", "is no metric"),
        ("sum(rate(batchrouter_lines[5m]))", "is no metric"),
        ("rate(batchrouter_flush_seconds[5m])", "is no metric"),
        ('batchrouter_workers{state="x"}', "has no label state"),
        ("sum by (tenant) (batchrouter_workers)", "has the label tenant"),
        ("batchrouter_lines_total > 5", "only grows"),
        ("rate(batchrouter_workers[5m])", "is rated"),
        ("sum(batchrouter_workers", "a bracket is open"),
        ("up == 0", "no metric"),
    ],
)
def test_a_wrong_expression_is_found(expression: str, fault: str) -> None:
    assert fault in "; ".join(faults_of(expression))
