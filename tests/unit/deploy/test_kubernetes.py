"""The manifests: the schemas of the oldest and the newest Kubernetes told, and what no schema sees."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import kubernetes_validate
import pytest
from starlette.routing import Route

from batchrouter import config
from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.api.context import Door
from batchrouter.api.health import HEALTH_PATH, METRICS_PATH, Probes, probe_routes
from batchrouter.api.settings import ApiSettings
from scripts.dockerfile import stages
from tests.conftest import ROOT
from tests.unit.deploy.commands import DATA_FOLDER, documents, faults_of_command, faults_of_config, options_of, port_of
from tests.unit.deploy.test_compose import MARGIN_S, ROLES

FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.31", "1.37")
"""The first in which unhealthyPodEvictionPolicy stands without a gate, and the newest whose schema there is."""
KUSTOMIZATION = "kustomization.yaml"
IMAGE = stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))[-1]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.iterdir())}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
DOOR = Door(ApiSettings(), RealClock(), RealChance())


async def no_numbers() -> bytes:
    return b""


ROUTES = {route.path for route in probe_routes(DOOR, Probes(metrics=no_numbers)) if isinstance(route, Route)}
"""Of every role."""

Object = dict[str, Any]


def objects(texts: Mapping[str, str]) -> dict[tuple[str, str], Object]:
    """By kind and name; two of the same would be one overwritten by the other."""
    found: dict[tuple[str, str], Object] = {}
    for name, text in texts.items():
        for document in documents(text) if name != KUSTOMIZATION else ():
            key = (document["kind"], document["metadata"]["name"])
            assert key not in found, key
            found[key] = document
    return found


def faults(texts: Mapping[str, str] = TEXTS, versions: tuple[str, ...] = VERSIONS) -> list[str]:
    """What would be wrong with what is applied, one sentence each."""
    found = objects(texts)
    wrong = [fault for each in found.values() for version in versions for fault in _faults_of_schema(each, version)]
    if wrong:
        return wrong
    listed = set(documents(texts[KUSTOMIZATION])[0]["resources"])
    wrong += [f"{KUSTOMIZATION} and the folder differ in {name}" for name in listed ^ _applied(texts)]
    read_text = found["ConfigMap", "batchrouter"]["data"]["batchrouter.yaml"]
    wrong += faults_of_config(read_text, {}, "config.yaml")
    if wrong:
        return wrong
    read = config.parse(read_text, {}, "config.yaml")
    for (kind, name), each in found.items():
        if kind in ("Deployment", "Job"):
            wrong += [f"{name}: {fault}" for fault in _faults_of_pod(found, each, read)]
        if "namespace" in each["metadata"]:
            wrong.append(f"{name}: stands in a namespace")
    for role in ROLES if not wrong else ():
        wrong += _faults_of_role(found, role, read)
    return [*wrong, *_faults_of_service(found)]


def _applied(texts: Mapping[str, str]) -> set[str]:
    return {name for name in texts if name.endswith(".yaml")} - {KUSTOMIZATION}


def _faults_of_schema(each: Object, version: str) -> Iterator[str]:
    try:
        kubernetes_validate.validate(each, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"schema of {version}: {each['metadata']['name']}: {'.'.join(map(str, error.path))}: {error.message}"


def _faults_of_pod(found: Mapping[tuple[str, str], Object], each: Object, read: config.Config) -> Iterator[str]:
    pod = each["spec"]["template"]["spec"]
    (box,) = pod["containers"]
    yield from faults_of_command(box["args"])
    yield from _faults_of_rights(pod, box)
    if not box["image"].endswith(f"/batchrouter:{VERSION}"):
        yield f"runs {box['image']}, and this is {VERSION}"
    if not box["resources"].keys() >= {"requests", "limits"} or "cpu" in box["resources"]["limits"]:
        yield "must ask for what it needs, and have a limit of memory but none of CPU"
    if ("ServiceAccount", pod["serviceAccountName"]) not in found:
        yield "has an account that there is not"
    for reference in box["envFrom"]:
        if ("Secret", reference["secretRef"]["name"]) not in found:
            yield "reads a Secret of which there is no example"
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes.get(mount["name"]) for mount in box["volumeMounts"]}
    if None in mounts.values():
        yield "mounts a volume that there is not"
        return
    for path in ("/tmp", f"{stages((ROOT / 'Dockerfile').read_text())[-1].last('WORKDIR').value}/{DATA_FOLDER}"):
        if "emptyDir" not in (mounts.get(path) or {}):
            yield f"cannot write to {path}"
    told = PurePosixPath(box["args"][box["args"].index("--config") + 1])
    mounted = (mounts.get(str(told.parent)) or {}).get("configMap", {}).get("name")
    if told.name not in found.get(("ConfigMap", str(mounted)), {}).get("data", {}):
        yield f"there is no {told} in it"


def _faults_of_rights(pod: Object, box: Object) -> Iterator[str]:
    uid = int(IMAGE.last("USER").value.partition(":")[0])
    of_pod, of_box = pod.get("securityContext", {}), box.get("securityContext", {})
    if not of_pod.get("runAsNonRoot") or of_pod.get("runAsUser") != uid or of_pod.get("fsGroup") != uid:
        yield f"does not run as {uid}, the image's own user"
    if of_pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "has no seccomp profile"
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    if of_box != wanted or pod["automountServiceAccountToken"]:
        yield "has rights that it does not need"


def _faults_of_role(found: Mapping[tuple[str, str], Object], role: str, read: config.Config) -> Iterator[str]:
    name = f"batchrouter-{role}"
    deployment = found["Deployment", name]
    spec = deployment["spec"]
    pod, labels = spec["template"]["spec"], spec["template"]["metadata"]["labels"]
    (box,) = pod["containers"]
    if box["args"][0] != role:
        yield f"{name}: runs {box['args'][0]}"
        return
    if options_of(box["args"]).get("host") != "0.0.0.0":
        yield f"{name}: listens where nobody else can ask"
    if pod["terminationGracePeriodSeconds"] < read.server.shutdown_grace_s + MARGIN_S:
        yield f"{name}: is killed before its calls have had their grace"
    (room,) = (volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if volume["name"] == "data")
    if role == "worker" and int(room.removesuffix("Gi")) << 30 <= read.storage.spill_bytes:
        yield f"{name}: is evicted when answers wait for the database"
    ports = {port["name"]: port["containerPort"] for port in box["ports"]}
    if set(ports.values()) != {port_of(box["args"], read)}:
        yield f"{name}: tells port {ports}, but listens on {port_of(box['args'], read)}"
    scraped = spec["template"]["metadata"]["annotations"]
    asked = (scraped["prometheus.io/path"], int(scraped["prometheus.io/port"]))
    if asked != (METRICS_PATH, port_of(box["args"], read)):
        yield f"{name}: is asked for its metrics at {asked}"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = box[probe]["httpGet"]
        if asked["port"] not in ports or asked["path"] not in ROUTES:
            yield f"{name}: {probe} asks {asked}"
    if box["livenessProbe"]["httpGet"]["path"] != HEALTH_PATH:
        yield f"{name}: is killed when it is only not ready"
    spread = [each["labelSelector"] for each in pod["topologySpreadConstraints"]]
    budget = found["PodDisruptionBudget", name]["spec"]
    for selector in (spec["selector"], budget["selector"], *spread):
        if not selector["matchLabels"].items() <= labels.items():
            yield f"{name}: {selector['matchLabels']} selects none of its pods"
        if selector["matchLabels"].get("app.kubernetes.io/component") != role:
            yield f"{name}: {selector['matchLabels']} selects other pods too"
    scaler = found["HorizontalPodAutoscaler", name]["spec"]
    target = (scaler["scaleTargetRef"]["kind"], scaler["scaleTargetRef"]["name"])
    if target != ("Deployment", name):
        yield f"{name}: its autoscaler scales {target}"
    if "replicas" in spec:
        yield f"{name}: would lose what its autoscaler decided at each apply"
    if not 2 <= scaler["minReplicas"] < scaler["maxReplicas"] or budget["maxUnavailable"] != 1:
        yield f"{name}: one of them is no spare"


def _faults_of_service(found: Mapping[tuple[str, str], Object]) -> Iterator[str]:
    service, api = found["Service", "batchrouter"]["spec"], found["Deployment", "batchrouter-api"]["spec"]["template"]
    if service["selector"] != api["metadata"]["labels"]:
        yield "batchrouter: the service selects other pods than the API's"
    ports = {port["name"] for port in api["spec"]["containers"][0]["ports"]}
    if {port["targetPort"] for port in service["ports"]} - ports:
        yield "batchrouter: the service leads to a port that there is not"


def test_the_manifests_have_no_fault() -> None:
    """As they stand."""
    assert faults() == []


@pytest.mark.parametrize(
    ("file", "old", "new", "word"),
    [
        ("api.yaml", "containerPort: 8000", "containerPort: eighty", "schema"),
        ("api.yaml", "readOnlyRootFilesystem", "readOnlyRootFileSystem", "schema"),
        ("worker.yaml", "  selector:\n    matchLabels", "  selectr:\n    matchLabels", "schema"),
        ("autoscaling.yaml", "autoscaling/v2\nkind", "autoscaling/v1\nkind", "schema"),
        (
            "disruption.yaml",
            "  selector:\n    matchLabels: {app",
            "  selector:\n    matchLabels: {ap",
            "none of its pods",
        ),
        ("api.yaml", "containerPort: 8000", "containerPort: 8080", "but listens on 8000"),
        ("worker.yaml", "containerPort: 8001", "containerPort: 8000", "but listens on 8001"),
        ("worker.yaml", 'port: "8001"', 'port: "9090"', "for its metrics"),
        ("worker.yaml", "[worker, --host", "[worker, --hots", "No such option"),
        ("worker.yaml", "[worker, --host", "[wroker, --host", "No such command"),
        ("db-upgrade.yaml", "[db, upgrade,", "[db, upgarde,", "No such command"),
        ("api.yaml", "path: /readyz", "path: /ready", "readinessProbe asks"),
        ("api.yaml", "port: http}\n            periodSeconds: 20", "port: web}\n            periodSeconds: 20", "asks"),
        ("worker.yaml", "terminationGracePeriodSeconds: 150", "terminationGracePeriodSeconds: 120", "is killed before"),
        ("config.yaml", "shutdown_grace_s", "shutdown_grace", "unknown setting"),
        ("config.yaml", "shutdown_grace_s: 120", "shutdown_grace_s: 600", "is killed before"),
        ("worker.yaml", "configMap: {name: batchrouter}", "configMap: {name: other}", "there is no /etc/batchrouter"),
        ("worker.yaml", "/etc/batchrouter/batchrouter.yaml", "/etc/batchrouter/other.yaml", "there is no"),
        ("worker.yaml", "mountPath: /srv/batchrouter/batchrouter-data", "mountPath: /data", "cannot write to"),
        ("worker.yaml", "sizeLimit: 3Gi", "sizeLimit: 2Gi", "is evicted"),
        ("worker.yaml", "runAsUser: 10001", "runAsUser: 0", "does not run as"),
        ("worker.yaml", "drop: [ALL]", "drop: [NET_RAW]", "rights"),
        ("worker.yaml", "limits: {memory", "limits: {cpu: 1, memory", "none of CPU"),
        ("worker.yaml", "serviceAccountName: batchrouter", "serviceAccountName: default", "an account"),
        ("worker.yaml", "secretRef: {name: batchrouter}", "secretRef: {name: keys}", "a Secret"),
        ("worker.yaml", f"batchrouter:{VERSION}", "batchrouter:latest", "runs registry.example.com/batchrouter:latest"),
        ("api.yaml", "targetPort: http,", "targetPort: web,", "a port that there is not"),
        ("api.yaml", "spec:\n  # No `replicas`", "spec:\n  replicas: 2\n  # No `replicas`", "at each apply"),
        ("autoscaling.yaml", "name: batchrouter-worker}", "name: batchrouter-api}", "its autoscaler scales"),
        ("autoscaling.yaml", "minReplicas: 2", "minReplicas: 1", "no spare"),
        ("kustomization.yaml", "  - worker.yaml\n", "", "differ in worker.yaml"),
    ],
)
def test_a_broken_manifest_is_found(file: str, old: str, new: str, word: str) -> None:
    """Each of these would have been applied, and failed later."""
    assert old in TEXTS[file]
    found = faults({**TEXTS, file: TEXTS[file].replace(old, new)}, VERSIONS[-1:] if word == "schema" else ())
    assert any(word in fault for fault in found), found


def test_the_example_of_a_secret_holds_none_and_is_not_applied_with_the_rest() -> None:
    """It would overwrite the real one."""
    (name,) = TEXTS.keys() - _applied(TEXTS) - {KUSTOMIZATION}
    assert name.endswith(".example")
    assert set(documents(TEXTS[name])[0]["stringData"].values()) == {""}


def test_compose_and_kubernetes_run_the_same_version() -> None:
    """That of pyproject.toml."""
    assert f"image: batchrouter:{VERSION}\n" in (ROOT / "compose.yaml").read_text(encoding="utf-8")
