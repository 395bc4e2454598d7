"""The blocks of code in our pages are run as they stand, page by page, from the first to the last.

What cannot be run here says why in its source and in the name of its test in `tests/unit/docs/test_blocks.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batchrouter.simulator.process import running_simulator
from tests.acceptance.docs.scene import Scene, is_run
from tests.conftest import ROOT
from tests.serving import ServerProcess, config_for, running_server
from tests.unit.docs.pages import PAGES, Block, all_blocks, name

BLOCKS = {name(page): all_blocks(page) for page in PAGES if "reference/" not in name(page)}
RUN = [block for page in BLOCKS.values() for block in page if is_run(block) and block.mark("file") is None]
EXAMPLES = (ROOT / "examples" / "requests.jsonl").read_text(encoding="utf-8")
ASKED = [json.loads(line)["custom_id"] for line in EXAMPLES.splitlines()]


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with running_simulator() as simulator:
        yield simulator.url


@pytest.fixture(scope="module")
def server(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server"), config_for(f"{upstream}/v1")) as running:
        yield running


@pytest.fixture(scope="module")
def scene_of(
    server: ServerProcess, upstream: str, tmp_path_factory: pytest.TempPathFactory, need: Callable[[str, str], str]
) -> Callable[[str], Scene]:
    made: dict[str, Scene] = {}

    def scene(page: str) -> Scene:
        if page not in made:
            made[page] = Scene(tmp_path_factory.mktemp("page"), server, upstream, BLOCKS[page], need)
        return made[page]

    return scene


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_block_does_what_it_says(block: Block, scene_of: Callable[[str], Scene]) -> None:
    """It ends with 0, after those before it on its page."""
    scene_of(block.page).run_up_to(block)


@pytest.mark.parametrize("language", ["bash", "python", "js"])
def test_the_four_steps_bring_every_answer(language: str, scene_of: Callable[[str], Scene]) -> None:
    """Upload, create, poll and download, as that guide has them, leave the answers in the order of the questions."""
    page = "docs/guides/clients.md"
    scene = scene_of(page)
    block = next(each for each in BLOCKS[page] if each.language == language)
    scene.run_up_to(block)
    assert answered(scene.folder / "answers.jsonl") == ASKED


def answered(path: Path) -> list[str]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    assert {line["response"]["status_code"] for line in lines} == {200}
    return [line["custom_id"] for line in lines]
