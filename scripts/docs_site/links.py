"""Links that lead out of `docs/`: a checkout has what they name, a site has not.

The README becomes the site's first page, a file becomes a download, and what else there is (folders, pages for those
who work on the code) is named and not linked. Where the words of a link are a file's name the site has its title.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_CODE_OR_LINK = re.compile(r"(^```.*?^```$|`[^`\n]+`)|\[([^\]]*)\]\(([^)\s]+)\)", re.MULTILINE | re.DOTALL)


def inside(text: str, docs: Path, page: str) -> str:
    """The page's text with every link as the site has it."""
    folder = (docs / page).parent

    def mended(match: re.Match[str]) -> str:
        words, link = match[2], match[3]
        if match[1] or "://" in link or link.startswith("#"):
            return match[0]
        target = Path(os.path.normpath(folder / link.partition("#")[0]))
        if target.is_relative_to(docs):
            return f"[]({link})" if words.endswith(".md") else match[0]  # empty: the title of what is linked
        if target == docs.parent / "README.md":
            return f"[{words}]({os.path.relpath(docs / 'index.md', folder)})"
        return match[0] if target.is_file() and target.suffix != ".md" else words

    return _CODE_OR_LINK.sub(mended, text)
