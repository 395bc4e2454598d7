"""compose.yaml: its schema, and what no schema sees: options that exist, ports that agree, order, time, secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest

from batchrouter import config
from batchrouter.providers.hosts import HOSTS
from scripts.composition import Unset, interpolated
from tests.conftest import ROOT
from tests.unit.deploy.commands import documents, faults_of_command, faults_of_config, port_of, seconds

TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "deploy" / "env.example").read_text(encoding="utf-8")
NEEDED = ("BATCHROUTER_API_KEY", "POSTGRES_PASSWORD", "S3_SECRET_KEY")
FILLED = dict.fromkeys(NEEDED, "secret")
ROLES = ("api", "worker")
MARGIN_S = 15
"""For writing what was answered, after the calls' own grace; `serve --workers` gives its workers as much."""


def faults(text: str = TEXT) -> list[str]:
    """What would be wrong with these containers, one sentence each."""
    (document,) = documents(interpolated(text, FILLED))
    wrong = [*_faults_of_schema(document)]
    if wrong:
        return wrong
    services = document["services"]
    read_text = (ROOT / document["configs"]["batchrouter"]["file"]).read_text(encoding="utf-8")
    wrong += faults_of_config(read_text, {}, "deploy/batchrouter.yaml")
    if wrong:
        return wrong
    read = config.parse(read_text, {}, "deploy/batchrouter.yaml")
    for name, service in services.items():
        wrong += [f"{name}: {fault}" for fault in _faults_of_order(services, service)]
        if str(service["image"]).startswith("batchrouter:"):
            wrong += [f"{name}: {fault}" for fault in _faults_of_ours(service, read)]
        elif service.get("ports"):
            wrong.append(f"{name}: is open to the network")
    wrong += _faults_of_addresses(services, read)
    wrong += [f"{role} runs no {role}" for role in ROLES if services[role]["command"][0] != role]
    if services["worker"]["deploy"]["replicas"] < 2:
        wrong.append("worker: one of them is no spare")
    return wrong


@cache
def _schema() -> Any:
    vendored = files("check_jsonschema").joinpath("builtin_schemas", "vendor", "compose-spec.json")
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    return jsonschema.validators.validator_for(schema)(schema)


def _faults_of_schema(document: Any) -> Iterator[str]:
    for error in _schema().iter_errors(document):
        yield f"schema: {error.json_path}: {error.message}"


def _faults_of_order(services: dict[str, Any], service: dict[str, Any]) -> Iterator[str]:
    for name, how in service.get("depends_on", {}).items():
        other = services.get(name)
        if other is None:
            yield f"waits for {name}, which there is not"
        elif how["condition"] == "service_completed_successfully":
            if other["restart"] in ("always", "unless-stopped"):
                yield f"waits for the end of {name}, which is started again and again"
        elif other.get("healthcheck", {}).get("disable") or not _has_check(other):
            yield f"waits for the health of {name}, which nothing checks"


def _has_check(service: dict[str, Any]) -> bool:
    return "healthcheck" in service or str(service["image"]).startswith("batchrouter:")


def _faults_of_ours(service: dict[str, Any], read: config.Config) -> Iterator[str]:
    command = service["command"]
    wrong = list(faults_of_command(command))
    yield from wrong
    if wrong:
        return
    if seconds(service["stop_grace_period"]) < read.server.shutdown_grace_s + MARGIN_S:
        yield "is killed before its calls have had their grace"
    if command[0] in ROLES and command[command.index("--host") + 1] != "0.0.0.0":
        yield "listens where nobody else can ask"
    for published in service.get("ports", ()):
        inside = str(published).rpartition(":")[2]
        if int(inside) != port_of(command, read):
            yield f"publishes {inside}, but listens on {port_of(command, read)}"
        if not str(published).startswith("127.0.0.1:"):
            yield "is open to the network without TLS"
    if not service["read_only"] or service["cap_drop"] != ["ALL"] or service.get("privileged"):
        yield "has rights that it does not need"
    names = {name for host in HOSTS.values() for name in (*host.key_env, host.base_env) if name}
    missing = names - service["environment"].keys()
    if missing:
        yield f"is not given {', '.join(sorted(missing))}"
    told = {name for name, value in service["environment"].items() if value is not None}
    if names & told:
        yield "has a provider's key written down"


def _faults_of_addresses(services: dict[str, Any], read: config.Config) -> Iterator[str]:
    """Every host that one service is to find is another service, and both mean the same things by the same names."""
    database, blobs = urlsplit(read.storage.database), urlsplit(read.storage.blobs)
    environment = services["worker"]["environment"]
    endpoint, bucket = urlsplit(environment["AWS_ENDPOINT_URL"]), urlsplit(services["bucket"]["environment"]["BUCKET"])
    for what, host in (("storage.database", database), ("AWS_ENDPOINT_URL", endpoint), ("BUCKET", bucket)):
        if host.hostname not in services:
            yield f"{what} is at {host.hostname}, which there is not"
    made = services.get("database", {}).get("environment", {})
    if (database.username, database.path) != (made.get("POSTGRES_USER"), f"/{made.get('POSTGRES_DB')}"):
        yield "storage.database names another user or database than the one that is made"
    if environment["PGPASSWORD"] != made.get("POSTGRES_PASSWORD"):
        yield "the database is given another password than those who ask it"
    if (bucket.netloc, bucket.path) != (endpoint.netloc, f"/{blobs.netloc}"):
        yield "the bucket that is made is not the one that is used"
    store = services.get("objects", {}).get("environment", {})
    user = f"{store.get('RUSTFS_ACCESS_KEY')}:{store.get('RUSTFS_SECRET_KEY')}"
    theirs = f"{environment['AWS_ACCESS_KEY_ID']}:{environment['AWS_SECRET_ACCESS_KEY']}"
    if not user == theirs == services["bucket"]["environment"]["S3_USER"]:
        yield "the S3 server has another user than those who ask it"
    if "strict" not in (store.get("RUSTFS_NEW_BUCKET_DURABILITY_MODE"),):
        yield "the S3 server answers before bytes are on the disk"


def test_the_composition_has_no_fault() -> None:
    """As it stands."""
    assert faults() == []


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("services:\n", "servces:\n", "schema"),
        ("condition: service_healthy", "condition: healthy", "schema"),
        ("[api, --host", "[api, --hots", "No such option"),
        ("[db, upgrade]", "[db, upgarde]", "No such command"),
        ("[worker, --host, 0.0.0.0]", "[worker, --host, 127.0.0.1]", "where nobody else"),
        ("127.0.0.1:8000}:8000", "127.0.0.1:8000}:80", "publishes 80"),
        ("127.0.0.1:8000}:8000", "8000}:8000", "open to the network"),
        ("stop_grace_period: 45s", "stop_grace_period: 30s", "is killed before"),
        ("replicas: 2", "replicas: 1", "no spare"),
        ("http://objects:9000\n", "http://s3:9000\n", "AWS_ENDPOINT_URL is at s3"),
        ("http://objects:9000/batchrouter", "http://objects:9000/batches", "not the one that is used"),
        ("POSTGRES_DB: batchrouter", "POSTGRES_DB: postgres", "another user or database"),
        ("PGPASSWORD: ${POSTGRES_PASSWORD:?", "PGPASSWORD: x${POSTGRES_PASSWORD:?", "another password"),
        ("S3_USER: batchrouter:", "S3_USER: admin:", "another user than"),
        ("      schema: {condition", "      shema: {condition", "shema, which there is not"),
        ("restart: on-failure:3", "restart: always", "started again and again"),
        ("    GROQ_API_KEY:\n", "", "is not given GROQ_API_KEY"),
        ("    GROQ_API_KEY:\n", "    GROQ_API_KEY: gsk-1\n", "written down"),
        ("read_only: true", "read_only: false", "rights"),
        (
            "      - database:/var/lib/postgresql",
            '      - database:/var/lib/postgresql\n    ports: ["5432:5432"]',
            "is open",
        ),
        ("_BUCKET_DURABILITY_MODE: strict", "_BUCKET_DURABILITY_MODE: relaxed", "before bytes are on the disk"),
    ],
)
def test_a_broken_composition_is_found(old: str, new: str, word: str) -> None:
    """Each of these would have come up, and failed later."""
    assert old in TEXT
    found = faults(TEXT.replace(old, new))
    assert any(word in fault for fault in found), found


@pytest.mark.parametrize("name", NEEDED)
def test_a_secret_that_is_not_set_is_told(name: str) -> None:
    """Before anything starts, with the place where to read about it."""
    with pytest.raises(Unset, match=f"{name} is not set; see deploy/env.example"):
        interpolated(TEXT, {**FILLED, name: ""})


def test_the_example_of_an_environment_names_all_that_is_needed_and_holds_no_secret() -> None:
    """Filled in, it is enough; as it stands, compose says what is missing."""
    given = dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE, re.MULTILINE))
    assert set(NEEDED) <= given.keys()
    assert set(given.values()) == {""}
    assert [name for name in given if not re.search(rf"\b{name}:", TEXT)] == []


def test_every_volume_is_declared_and_used() -> None:
    """A name that is not declared would be refused, one that is not used would be forgotten."""
    (document,) = documents(TEXT)
    used = {volume.partition(":")[0] for each in document["services"].values() for volume in each.get("volumes", ())}
    assert used == set(document["volumes"])
