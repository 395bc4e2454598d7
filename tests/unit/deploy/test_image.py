"""The Dockerfile: what goes in is there, what comes out is small, not root, and stops when it is told to."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest

from batchrouter.config import Config
from scripts.dockerfile import Ignore, Stage, stages
from tests.conftest import ROOT
from tests.unit.deploy.commands import DATA_FOLDER, faults_of_command, seconds

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORE = (ROOT / ".dockerignore").read_text(encoding="utf-8")


def faults(text: str = TEXT, ignore: str = IGNORE) -> list[str]:
    """What would be wrong with the image, one sentence each."""
    parts = stages(text)
    return [*_faults_of_copies(parts, Ignore(ignore)), *_faults_of_installs(parts), *_faults_of_the_last(parts[-1])]


def _faults_of_copies(parts: list[Stage], ignored: Ignore) -> Iterator[str]:
    for stage in parts:
        for step in stage.steps:
            if step.word == "ADD":
                yield "ADD may fetch from elsewhere: use COPY"
            if step.word != "COPY":
                continue
            *sources, _ = step.words
            if "from" in step.options:
                if step.options["from"] not in {other.name for other in parts}:
                    yield f"COPY from a stage that there is not: {step.options['from']}"
                continue
            for source in sources:
                if not (ROOT / source).exists():
                    yield f"COPY of what there is not: {source}"
                elif not ignored.files(ROOT, source):
                    yield f"COPY of what .dockerignore leaves out: {source}"


def _faults_of_installs(parts: list[Stage]) -> Iterator[str]:
    copied = [word for stage in parts for step in stage.steps if step.word == "COPY" for word in step.words[:-1]]
    for stage in parts:
        for step in stage.steps:
            for command in re.split(r"&&|;|\|\|", step.value) if step.word == "RUN" else []:
                lock = re.search(r"-r (\S+)", command)
                if lock and lock[1] not in copied:
                    yield f"the lock {lock[1]} is not copied"
                if " install " not in f"{command} " or "pip" not in command:
                    continue
                if "--require-hashes" not in command and "--no-index" not in command:
                    yield f"an install without hashes: {command.strip()}"


def _faults_of_the_last(last: Stage) -> Iterator[str]:
    words = {step.word for step in last.steps}
    for word in (
        "USER",
        "STOPSIGNAL",
        "VOLUME",
        "EXPOSE",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
        "LABEL",
        "WORKDIR",
        "ENV",
    ):
        if word not in words:
            yield f"no {word}"
            return
    if re.search(r"\bpip\b|\bapt\b|\bapt-get\b", " ".join(step.value for step in last.steps if step.word == "RUN")):
        yield "the last stage installs something"
    user = last.last("USER").value
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user):
        yield f"USER is {user}: neither root nor a name"
    elif f"--uid {user.partition(':')[0]} " not in " ".join(step.value for step in last.steps if step.word == "RUN"):
        yield f"nobody is made with the uid of USER {user}"
    if last.last("STOPSIGNAL").value != "SIGTERM":
        yield "STOPSIGNAL is not the one that is handled"
    for word in ("ENTRYPOINT", "CMD", "HEALTHCHECK"):
        if last.last(word).exec_form is None:
            yield f"{word} goes through a shell, which passes no signal on"
            return
    if last.last("ENTRYPOINT").words != ["batchrouter"]:
        yield "ENTRYPOINT is not batchrouter"
    yield from faults_of_command(last.last("CMD").words)
    data = f"{last.last('WORKDIR').value}/{DATA_FOLDER}"
    if last.last("VOLUME").value != data:
        yield f"VOLUME is not where data goes by default, {data}"
    if f"XDG_STATE_HOME={last.last('VOLUME').value}" not in last.last("ENV").words:
        yield "answers that wait for the database are not in the volume"
    if last.last("EXPOSE").value != str(Config().server.port):
        yield "EXPOSE is not the port of serve"
    options = last.last("HEALTHCHECK").options
    if seconds(options["timeout"]) >= seconds(options["interval"]):
        yield "HEALTHCHECK may take longer than its interval"


def test_the_image_has_no_fault() -> None:
    """As it stands."""
    assert faults() == []


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("COPY src src", "COPY source source", "COPY of what there is not: source"),
        ("COPY src src", "COPY docs docs", "leaves out: docs"),
        ("--from=build", "--from=bild", "a stage that there is not"),
        ("COPY src src", "ADD src src", "ADD may fetch"),
        ("-r requirements/server.lock", "-r requirements/serve.lock", "requirements/serve.lock is not copied"),
        (
            "install --require-hashes --only-binary :all: -r requirements/b",
            "install -r requirements/b",
            "without hashes",
        ),
        ("USER 10001:10001\n", "", "no USER"),
        ("USER 10001:10001", "USER root", "neither root"),
        ("USER 10001:10001", "USER 10002:10002", "nobody is made"),
        ("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGQUIT", "STOPSIGNAL"),
        ('ENTRYPOINT ["batchrouter"]', "ENTRYPOINT batchrouter", "a shell"),
        ('CMD ["serve", "--host"', 'CMD ["serve", "--hots"', "No such option"),
        ('CMD ["serve"', 'CMD ["server"', "No such command"),
        ("VOLUME /srv/batchrouter/batchrouter-data", "VOLUME /data", "where data goes"),
        ("XDG_STATE_HOME=/srv/batchrouter/", "XDG_STATE_HOME=/srv/", "answers that wait"),
        ("EXPOSE 8000", "EXPOSE 80", "EXPOSE"),
        ("--timeout=5s", "--timeout=1m", "longer than its interval"),
        ("COPY --from=build", "RUN pip install x\nCOPY --from=build", "the last stage installs"),
    ],
)
def test_a_broken_image_is_found(old: str, new: str, word: str) -> None:
    """Each of these would have been built, and failed later."""
    assert old in TEXT
    found = faults(TEXT.replace(old, new))
    assert any(word in fault for fault in found), found


def test_what_the_image_is_built_from_is_let_in_and_nothing_else() -> None:
    """No data, no key, no history of the checkout gets into a layer."""
    ignored = Ignore(IGNORE)
    for path in (".env", ".git/config", "batchrouter-data/batchrouter.db", "docs/api.md", "requirements/dev.lock"):
        assert ignored(path), path
    for path in ("src/batchrouter/__pycache__/x.cpython-313.pyc", "src/batchrouter/x.pyc"):
        assert ignored(path), path
    for path in ("pyproject.toml", "src/batchrouter/cli/main.py", "requirements/server.lock", "LICENSE", "README.md"):
        assert not ignored(path), path


def test_the_wheel_needs_no_file_that_is_left_out() -> None:
    """Readme, license and packages are named by pyproject.toml; each is copied."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = [project["project"]["readme"], *project["project"]["license-files"]]
    needed += [path.partition("/")[0] for path in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
    copied = [word for step in stages(TEXT)[0].steps if step.word == "COPY" for word in step.words[:-1]]
    assert set(needed) <= set(copied)


def test_a_python_that_the_project_knows() -> None:
    """Both stages have the same one: the environment is copied from one into the other."""
    bases = {stage.base for stage in stages(TEXT)}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.1[123]-slim-\w+", bases.pop())
