"""The page at `/docs`: the API's description for people, in one file that loads nothing from anywhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
details { border: 1px solid #8886; border-radius: .4rem; margin: .4rem 0; padding: .3rem .8rem }
summary { cursor: pointer } summary b { display: inline-block; min-width: 4.5rem }
code, pre { font: .9rem/1.45 ui-monospace, monospace } pre { overflow: auto; background: #8881; padding: .6rem }
table { border-collapse: collapse } td { padding: .1rem 1rem .1rem 0; vertical-align: top }
"""


def page(document: dict[str, Any]) -> str:
    groups: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        if path.startswith("/api/"):
            continue  # the same calls once more
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    calls = "".join(f"<h2>{escape(name)}</h2>{''.join(rows)}" for name, rows in groups.items())
    schemas = "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>'
        for name, schema in sorted(document["components"]["schemas"].items())
    )
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])} "
        "Every call under <code>/v1</code> is also under <code>/api/v1</code>. "
        'For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{calls}<h2>Objects</h2>{schemas}</body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(item['name'])}</code></td><td>{item['in']}, {item['schema']['type']}</td>"
        f"<td>{escape(item.get('description', ''))}</td></tr>"
        for item in operation.get("parameters", ())
    )
    replies = "".join(
        f"<tr><td>{status}</td><td>{escape(reply['description'])}</td><td>{_type_of(reply)}</td></tr>"
        for status, reply in operation["responses"].items()
    )
    body = _type_of(operation["requestBody"]) if "requestBody" in operation else ""
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> "
        f"{escape(operation['summary'])}</summary>"
        + (f"<p>Body: {body}</p>" if body else "")
        + (f"<table>{rows}</table>" if rows else "")
        + f"<p>Replies:</p><table>{replies}</table></details>"
    )


def _type_of(part: dict[str, Any]) -> str:
    """A link to the schema of a body, with its media type."""
    for media, content in part.get("content", {}).items():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        link = f'<a href="#{escape(name)}"><code>{escape(name)}</code></a> ' if name else ""
        return f"{link}{escape(media)}"
    return ""


def _json(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2))}</pre>"
