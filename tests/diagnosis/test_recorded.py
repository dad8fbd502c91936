"""Real clusters' words: every recorded scenario at the moment of its fault and after it, under several names."""

from __future__ import annotations

import json
import re

import pytest

from healing.diagnosis.reasoner import diagnose
from healing.ports.cluster import ObjectRef
from tests.diagnosis.recorded import objects, renamed, snapshot, snapshot_of

END = 1e9
#: scenario, seconds, (cause, kind, name), facts
FAULTS = [
    ("command-not-found", END, ("CommandNotFound", "Deployment", "web"), {"command": "/usr/bin/server"}),
    ("crashloop", END, ("ApplicationCrash", "Deployment", "api"), {"exit_code": 1}),
    ("init-container-failing", END, ("InitContainerFailed", "Deployment", "web"), {"container": "wait-db"}),
    ("job-backofflimit", END, ("JobFailed", "Job", "migrate"), {"exit_code": 3}),
    ("limitrange", END, ("LimitRangeViolation", "Deployment", "web"), {"allowed": "200m", "requested": "500m"}),
    ("liveness-wrong-port", END, ("LivenessProbeMisconfigured", "Deployment", "web"), {"field": "port", "port": 8080}),
    ("oomkilled", END, ("MemoryLimitTooLow", "Deployment", "cache"), {"suggested_memory_limit": "64Mi"}),
    ("missing-serviceaccount", 4, ("MissingServiceAccount", "Deployment", "web"), {"service_account": "deployer"}),
    ("pvc-missing", END, ("PersistentVolumeClaimNotFound", "Deployment", "db"), {"claim": "data"}),
    ("pvc-no-class", END, ("NoDefaultStorageClass", "PersistentVolumeClaim", "data"), {}),
    ("pvc-wrong-class", END, ("StorageClassNotFound", "PersistentVolumeClaim", "data"), {"storage_class": "fast-ssd"}),
    ("quota-cpu", 15, ("QuotaExceeded", "Deployment", "web"), {"resource": "requests.cpu", "quota": "compute"}),
    ("quota-memory", END, ("QuotaExceeded", "Deployment", "web"), {"resource": "limits.memory"}),
    ("quota-pods", END, ("QuotaExceeded", "Deployment", "web"), {"resource": "pods"}),
    (
        "readiness-failing",
        9,
        ("ReadinessProbeMisconfigured", "Deployment", "web"),
        {"field": "path", "path": "/healthz"},
    ),
    ("readiness-lost-while-running", END, ("ApplicationNotReady", "Deployment", "web"), {"probe": "readinessProbe"}),
    ("rollout-bad-image", 22, ("RegistryUnreachable", "Deployment", "web"), {"revision": 1, "current_revision": 2}),
    ("rollout-crashing-image", END, ("BadRollout", "Deployment", "web"), {"revision": 1, "current_revision": 2}),
    (
        "service-selector-matches-nothing",
        2.5,
        ("ServiceSelectorMismatch", "Service", "web"),
        {"suggested_selector": {"app": "web"}},
    ),
    ("cordon", 3, ("NodeCordoned", "Node", "node1"), {"node": "node1"}),
    ("untolerated-taint", 2, ("UntoleratedTaint", "Node", "node1"), {"taint": "dedicated=gpu:NoSchedule"}),
    ("node-notready", 60, ("NodeNotReady", "Node", "node1"), {"reason": "NodeStatusUnknown"}),
    ("unschedulable-cpu", END, ("InsufficientCPU", "Deployment", "web"), {"requested": 64.0}),
    ("unschedulable-memory", END, ("InsufficientMemory", "Deployment", "web"), {"requested": 512 * 2.0**30}),
    ("unschedulable-nodeaffinity", END, ("NodeAffinityMismatch", "Deployment", "web"), {}),
    (
        "unschedulable-nodeselector",
        END,
        ("NodeSelectorMismatch", "Deployment", "web"),
        {"node_selector": {"disktype": "ssd"}},
    ),
    ("unschedulable-podantiaffinity", END, ("PodAntiAffinityConflict", "Deployment", "web"), {"suggested_replicas": 1}),
]
HEALTHY = [
    ("deployment-ready", END),
    ("deployment-ready", 1.5),
    ("rollout-good", 1.5),
    ("rollout-good", 3),
    ("rollout-good", END),
    ("rollout-bad-image", END),
    ("scale-to-zero", 3),
    ("scale-to-zero", END),
    ("service-selector-matches-nothing", END),
    ("missing-secret", END),
    ("missing-serviceaccount", END),
    ("quota-cpu", END),
    ("readiness-failing", END),
    ("cordon", END),
    ("untolerated-taint", END),
    ("node-notready", END),
    ("eviction-pdb", END),
    ("label-detach", 3),
    ("label-detach", END),
    ("pod-delete", 4),
    ("pod-delete", END),
]
RENAMED = {
    "web": "ledger-writer",
    "api": "quotes",
    "cache": "session-store",
    "db": "warehouse",
    "node1": "ip-10-2-3-4.internal",
    "migrate": "backfill-2",
}


@pytest.mark.parametrize("names", [{}, RENAMED], ids=["as-recorded", "renamed"])
@pytest.mark.parametrize(("scenario", "at", "expected", "facts"), FAULTS, ids=[f"{s}-{t:g}" for s, t, _, _ in FAULTS])
def test_names_cause_and_object(
    scenario: str, at: float, expected: tuple[str, str, str], facts: dict[str, object], names: dict[str, str]
) -> None:
    diagnosis = diagnose(snapshot(scenario, at, names))
    best = diagnosis.best
    assert best is not None, diagnosis
    cause, kind, name = expected
    assert (best.cause, best.object.kind, best.object.name) == (cause, kind, names.get(name, name))
    for key, value in facts.items():
        assert best.facts[key] == (json.loads(renamed(json.dumps(value), names)) if names else value)
    assert best.evidence
    known = {e.id for e in diagnosis.evidence}
    assert known >= {e for f in diagnosis.findings for e in f.evidence}
    assert diagnosis.graph.nodes[0].kind == "rootCause"
    assert not [s for s in diagnosis.missing_sources if s.startswith("analyzer")]


@pytest.mark.parametrize(("scenario", "at"), HEALTHY, ids=[f"{s}-{t:g}" for s, t in HEALTHY])
def test_is_silent_where_nothing_is_wrong(scenario: str, at: float) -> None:
    assert [f"{f.cause} {f.object}" for f in diagnose(snapshot(scenario, at)).findings] == []


def test_each_missing_reference_is_a_finding() -> None:
    found = {
        (f.cause, f.object.name, f.facts.get("key", "")) for f in diagnose(snapshot("missing-configmap", 7)).findings
    }
    assert found == {
        ("MissingConfigMap", "env", ""),
        ("MissingConfigMap", "vol", ""),
        ("MissingConfigMapKey", "key", "absent"),
    }
    secrets = {(f.cause, f.object.name, f.facts["secret"]) for f in diagnose(snapshot("missing-secret", 5)).findings}
    assert secrets == {("MissingSecret", "env", "db-credentials"), ("MissingSecret", "vol", "db-credentials")}


def test_both_wrong_target_ports() -> None:
    found = {f.object.name: f for f in diagnose(snapshot("service-wrong-targetport", 3.5)).findings}
    assert {(n, f.cause) for n, f in found.items()} == {
        ("name", "ServicePortMismatch"),
        ("number", "ServicePortMismatch"),
    }
    assert found["name"].facts["suggested_target_port"] == "http"
    assert found["number"].facts["suggested_target_port"] == 80


def test_a_complaint_about_a_workload_scaled_to_zero_finds_that() -> None:
    diagnosis = diagnose(snapshot("scale-to-zero", 3), target=ObjectRef("Deployment", "deployment-ready", "web"))
    assert diagnosis.best is not None
    assert diagnosis.best.cause == "ScaledToZero"
    assert diagnosis.best.facts["suggested_replicas"] == 2


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ('failed to resolve reference "r.io/a/web:9.9-nope": r.io/a/web:9.9-nope: not found', "ImageNotFound"),
        (
            "Error response from daemon: manifest for web:9.9-nope not found: manifest unknown: manifest unknown",
            "ImageNotFound",
        ),
        ("rpc error: code = NotFound desc = failed to pull and unpack image: not found", "ImageNotFound"),
        ("pull access denied for web, repository does not exist or may require authorization", "ImageNotFound"),
        (
            "failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized",
            "ImagePullUnauthorized",
        ),
        (
            "unexpected status from HEAD request to https://r.io/v2/web/manifests/1: 403 Forbidden",
            "ImagePullUnauthorized",
        ),
        ('Get "https://r.io/v2/": dial tcp: lookup r.io on 10.96.0.10:53: no such host', "RegistryUnreachable"),
        ('Get "https://r.io/v2/": net/http: TLS handshake timeout', "RegistryUnreachable"),
        ("toomanyrequests: You have reached your pull rate limit", "RegistryUnreachable"),
        ("failed to pull and unpack image: something odd happened", "ImagePullFailed"),
    ],
)
def test_words_of_other_registries(message: str, cause: str) -> None:
    items = objects("rollout-bad-image", 22)
    said = re.compile(r"failed to pull and unpack image .*", re.DOTALL)
    for item in items:
        if item["kind"] == "Event" and "Failed to pull" in item.get("message", ""):
            item["message"] = said.sub(lambda _: message, item["message"])
        for status in item.get("status", {}).get("containerStatuses", []) if item["kind"] == "Pod" else []:
            waiting = status.get("state", {}).get("waiting")
            if waiting:
                waiting["message"] = f'Back-off pulling image "registry.local/web:9.9-nope": ErrImagePull: {message}'
    best = diagnose(snapshot_of(items)).best
    assert best is not None
    assert (best.cause, best.facts["suggested_image"], best.facts["revision"]) == (cause, "registry.local/web:1.0", 1)
