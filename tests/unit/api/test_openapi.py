"""The description is valid, and names every call that the application answers."""

from __future__ import annotations

import re
from typing import Any, cast

import jsonschema
import pytest
from starlette.routing import Route

from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.api import docs_page
from batchrouter.api.app import create_app
from batchrouter.api.context import Door
from batchrouter.api.openapi import document
from batchrouter.api.settings import ApiSettings
from batchrouter.service.service import Service

UNDESCRIBED = {"/openapi.json", "/docs", "/", "/assets/{name}"}


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return document("1.2.3")


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if "$ref" in value else set()
        return found.union(*(references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(references(item) for item in value))
    return set()


def test_every_route_is_described_and_nothing_else_is(description: dict[str, Any]) -> None:
    # Making the routes touches nothing of the service.
    app = create_app(Door(ApiSettings(), RealClock(), RealChance()), cast(Service, None), list)
    served = {
        (re.sub(r":path}", "}", route.path), method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.path not in UNDESCRIBED
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert served == {(path, method) for path, methods in description["paths"].items() for method in methods}


def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    names = {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}
    assert references(description) <= names


def test_every_schema_is_a_json_schema(description: dict[str, Any]) -> None:
    for schema in description["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_each_operation_has_what_openapi_demands(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1")
    ids = []
    for path, methods in description["paths"].items():
        for operation in methods.values():
            ids.append(operation["operationId"])
            assert all(reply["description"] for reply in operation["responses"].values())
            in_path = {item["name"] for item in operation.get("parameters", ()) if item["in"] == "path"}
            assert in_path == set(re.findall(r"{(\w+)}", path))
    assert len(ids) == len(set(ids))


def test_the_page_names_every_call_and_loads_nothing(description: dict[str, Any]) -> None:
    page = docs_page.page(description)
    for path in description["paths"]:
        if not path.startswith("/api/"):
            assert f"<code>{path}</code>" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
