"""Where each page stands in the site's side bar. A page that is not here makes `make docs` fail."""

from __future__ import annotations

PAGES: dict[str, tuple[str, ...]] = {
    "Start": ("quickstart", "guides/clients", "guides/from-openai", "comparison"),
    "Models": ("guides/vllm", "guides/native-batches", "guides/ollama"),
    "While it runs": ("dashboard", "guides/results", "steering", "webhooks"),
    "Guides": ("guides/tables", "guides/evals", "guides/kubernetes", "howto", "simulator"),
    "Reference": (
        "api",
        "reference/api",
        "configuration",
        "providers",
        "translation",
        "cli",
        "reference/cli",
        "errors",
        "api-choices",
    ),
    "Running it": ("operations", "deployment", "observability", "scaling", "performance"),
    "How it works": ("architecture", "adr/README"),
}
"""By caption; names of files below `docs/`, without their ending."""

BELOW: dict[str, str] = {"adr/README": "[0-9]*"}
"""Pages of the same folder that are listed below a page, as a glob."""


def toctrees(page: str) -> str:
    """What is put at the end of a page so that Sphinx knows its place; nothing of it is shown on the page."""
    if page == "index":
        return "".join(_toctree(rows, f":caption: {caption}") for caption, rows in PAGES.items())
    if page in BELOW:
        return _toctree((BELOW[page],), ":glob:")
    return ""


def _toctree(rows: tuple[str, ...], option: str) -> str:
    return "\n".join(["", "", "```{toctree}", ":hidden:", option, "", *rows, "```", ""])
