"""The API's own description (OpenAPI 3.1), made from the table of endpoints and the types of the wire."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec

from batchrouter.api.endpoints import ENDPOINTS, Endpoint, Home
from batchrouter.api.objects import ErrorObject, Health

_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")


def document(version: str) -> dict[str, Any]:
    types = _types()
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        for prefix in endpoint.home.value:
            path = prefix + _PARAMETER.sub(r"{\1}", endpoint.path)
            paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, prefix, schema_of)
    for path, name, summary, yes, no in (
        ("/healthz", "health", "Whether the process is alive.", "It is.", "It is stopping."),
        ("/readyz", "ready", "Whether requests should be sent here.", "They should.", "It is stopping, or not ready."),
    ):
        paths[path] = {
            "get": {
                "operationId": name,
                "summary": f"{summary} Needs no key.",
                "tags": ["server"],
                "security": [],
                "responses": {
                    str(status): {"description": words, "content": _json(schema_of[Health])}
                    for status, words in ((200, yes), (503, no))
                },
            }
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "BatchRouter",
            "version": version,
            "description": "OpenAI's Files, Uploads and Batch API in front of any model provider.",
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _types() -> list[type]:
    named = [kind for row in ENDPOINTS for kind in (row.body, row.form, row.reply) if kind is not None]
    return list(dict.fromkeys([*named, ErrorObject, Health]))


def _operation(endpoint: Endpoint, prefix: str, schema_of: dict[type, Any]) -> dict[str, Any]:
    first = endpoint.home.value[0]
    operation: dict[str, Any] = {
        # The same call under a second path needs an id of its own.
        "operationId": endpoint.name if prefix == first else f"{endpoint.name}UnderApi",
        "summary": endpoint.words,
        "tags": ["admin"] if endpoint.home is Home.ADMIN else [endpoint.path.split("/")[1]],
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in _PARAMETER.findall(endpoint.path)
            ),
            *(
                {"name": query.name, "in": "query", "description": query.words, "schema": {"type": query.type}}
                for query in endpoint.query
            ),
        ],
        "responses": {"200": _success(endpoint, schema_of)},
    }
    for status in sorted({*endpoint.errors, *(() if endpoint.home is Home.ADMIN else (429,))}):
        operation["responses"][str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": _json(schema_of[ErrorObject]),
        }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(schema_of[endpoint.body])}
    if endpoint.form is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": schema_of[endpoint.form]}},
        }
    return operation


def _success(endpoint: Endpoint, schema_of: dict[type, Any]) -> dict[str, Any]:
    if endpoint.reply is not None:
        return {"description": "OK", "content": _json(schema_of[endpoint.reply])}
    return {"description": "The bytes.", "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
