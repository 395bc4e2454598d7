"""What the site of `docs/` needs beside Sphinx, MyST and Furo, so that its pages stay plain Markdown.

Navigation, links that lead out of `docs/`, diagrams, and a style and a script of our own. Nothing is loaded from
another host.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from scripts.docs_site import diagrams, links, navigation

STATIC = Path(__file__).resolve().parent / "static"


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("builder-inited", lambda app: app.config.html_static_path.append(str(STATIC)))
    app.connect("source-read", _read)
    app.add_directive("mermaid", diagrams.Mermaid)
    app.add_css_file("site.css")
    app.add_js_file("site.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read(app: Sphinx, page: str, content: list[str]) -> None:
    text = links.inside(content[0], Path(app.srcdir), page)
    content[0] = text + navigation.toctrees(page)
