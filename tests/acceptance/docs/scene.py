"""Where the blocks of a page are run: a folder that looks like a checkout after `make install`, with a simulated model
and a running server behind the addresses and keys that our pages name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.conftest import ROOT
from tests.serving import KEY, ServerProcess, environment
from tests.unit.docs.pages import Block

TIMEOUT_S = 120.0
SERVER = "http://127.0.0.1:8000"
MODELS = (
    "http://127.0.0.1:8100",  # the simulator, as the pages start it
    "http://127.0.0.1:11434",  # Ollama
    "http://gpu-1:8000",  # vLLM on another machine
    "http://gpu-2:8000",
)
RUN_BY = {"python": [sys.executable], "sh": ["sh", "-eu"], "bash": ["bash", "-euo", "pipefail"], "js": ["node"]}

TOOLS = {"curl": "curl", "jq": "jq", "node": "nodejs", "sqlite3": "sqlite3"}
"""What a block may ask for, and the package that has it."""


def is_run(block: Block) -> bool:
    """Whether something happens with it: it is run, or written down for those that follow."""
    return block.mark("file") is not None or (block.language in RUN_BY and block.mark("not run") is None)


class Scene:
    """One page's folder. Its blocks are run in their order, each once: asked for a later one, the earlier ones come
    first."""

    def __init__(
        self, folder: Path, server: ServerProcess, upstream: str, blocks: list[Block], need: Callable[[str, str], str]
    ) -> None:
        self.folder = folder
        self._server, self._upstream, self._need = server, upstream, need
        self._left = [block for block in blocks if is_run(block)]
        files = " ".join(block.code for block in blocks if block.mark("file"))
        self._keys = {variable: "sk-of-nobody" for variable in re.findall(r"\$\{(\w+)\}", files)}
        _furnish(folder, server)

    def run_up_to(self, block: Block) -> None:
        while self._left and self._left[0].number <= block.number:
            self._run(self._left.pop(0))

    def _run(self, block: Block) -> None:
        code = block.code.replace(SERVER, self._server.url)
        for address in MODELS:
            code = code.replace(address, self._upstream)
        file = block.mark("file")
        if file is not None:
            (self.folder / file).write_text(code, encoding="utf-8")
            return
        script = self.folder / f".block-{block.number}{'.mjs' if block.language == 'js' else ''}"
        script.write_text(code, encoding="utf-8")
        for tool, package in TOOLS.items():
            if tool in re.findall(r"[\w-]+", code) or RUN_BY[block.language][0] == tool:
                self._need(tool, package)
        done = subprocess.run(
            [*RUN_BY[block.language], script.name],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        told = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, f"{block} ended with {done.returncode}:\n{block.code}\n{told[-4000:]}"

    def _environment(self) -> Mapping[str, str]:
        """As somebody has it who followed the pages: our own commands, and the keys that files of the page name."""
        return environment(
            PATH=os.pathsep.join([str(self.folder / ".venv" / "bin"), os.environ["PATH"]]),
            BATCHROUTER_API_KEY=KEY,
            BATCHROUTER_URL=self._server.url,
            TERM="dumb",
            https_proxy="http://127.0.0.1:9",  # nobody: no block reaches a vendor
            **self._keys,
        )


def _furnish(folder: Path, server: ServerProcess) -> None:
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copyfile(ROOT / "examples" / "requests.jsonl", folder / "requests.jsonl")
    (folder / "batchrouter-data").symlink_to(server.folder)  # commands on the folder go through the server
    commands = {"batchrouter": f'"{sys.executable}" -m batchrouter.cli', "python": f'"{sys.executable}"'}
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name, command in commands.items():
        path = folder / ".venv" / "bin" / name
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        path.chmod(0o755)
