"""The site's configuration: `make docs`. What is ours in it stands in `scripts/docs_site`."""

from importlib.metadata import version as version_of

project = "BatchRouter"
author = "The BatchRouter developers"
version = release = version_of("batchrouter")

extensions = ["myst_parser", "scripts.docs_site"]
root_doc = "index"
exclude_patterns = ["conf.py"]

# Headings get the anchors that a code host gives them, so that one link works in both places.
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
# Replies in the examples are shortened with "…", and no lexer of JSON takes that.
suppress_warnings = ["misc.highlighting_failure"]

smartquotes = False  # two hyphens are those of an option

html_theme = "furo"
html_title = "BatchRouter"
html_static_path: list[str] = []
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
