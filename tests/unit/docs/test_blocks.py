"""Every block of code in our pages can be read by what it is for. `tests/acceptance/docs` runs what can be run."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess

import pytest
import yaml

from batchrouter import config
from tests.conftest import ROOT
from tests.unit.docs.pages import DOCS, PAGES, Block, all_blocks

BLOCKS = [block for page in PAGES for block in all_blocks(page) if "reference/" not in block.page]
KNOWN = {"", "bash", "caddy", "ini", "js", "json", "jsonl", "mermaid", "nginx", "python", "sh", "text", "yaml", "yml"}
OUTPUT = {"", "caddy", "ini", "mermaid", "nginx", "text"}
"""What nobody here reads: drawings, output, files of other programs."""
WEBHOOK = f"whsec_{'A' * 43}="


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language not in OUTPUT], ids=str)
def test_a_block_can_be_read(block: Block) -> None:
    """By the parser of its language; YAML by the reader of configurations, unless it is not ours."""
    match block.language:
        case "python":
            ast.parse(block.code)
        case "sh" | "bash":
            shell = shutil.which("bash")
            assert shell is not None
            done = subprocess.run([shell, "-n"], input=block.code, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
        case "json":
            json.loads(block.code)
        case "jsonl" | "ndjson":
            assert all(isinstance(json.loads(line), dict) for line in block.code.splitlines())
        case "yaml" if block.mark("not ours") is None:
            named = re.findall(r"\$\{(\w+)\}", block.code)
            config.parse(block.code, {name: WEBHOOK if "WEBHOOK" in name else "sk-x" for name in named}, str(block))
        case "yaml" | "yml":
            list(yaml.safe_load_all(block.code))
        case "js":
            assert block.code  # run by node where it can be
        case language:
            pytest.fail(f"nobody here knows {language}; known are {', '.join(sorted(KNOWN))}")


def test_no_block_escapes() -> None:
    """What looks like the fence of a block is that of one that was found; a mark stands above a block."""
    for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))):
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^ *```", text, re.MULTILINE)
        found = all_blocks(page)
        assert len(fences) == 2 * len(found), page
        marks = re.findall(r"^ *<!-- (?:file|not run|not ours): ", text, re.MULTILINE)
        assert len(marks) == sum(len(block.marks) for block in found), page


def test_marks_are_for_those_who_need_them() -> None:
    """A reason is one, and stands where something would be run."""
    for block in BLOCKS:
        for mark, reason in block.marks:
            assert mark == "file" or len(reason) > 10, block
            assert mark != "not run" or block.language in {"python", "sh", "bash", "js"}, block
            assert mark != "not ours" or block.language == "yaml", block
