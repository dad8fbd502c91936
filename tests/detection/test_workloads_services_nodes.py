from __future__ import annotations

from typing import Any

import pytest

from healing.detection.nodes import node_sightings
from healing.detection.services import ServiceMemory, service_sightings
from healing.detection.workloads import workload_sightings
from tests.detection import objects as o


def symptoms(obj: o.Object, *others: o.Object) -> list[str]:
    return [sighting.symptom for sighting in workload_sightings(obj, o.cache_of(obj, *others), o.NOW)]


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [
        (o.deployment(), []),
        (o.deployment(available=1), ["ReplicasUnavailable"]),
        (o.deployment(available=1, progressing="ReplicaSetUpdated"), []),  # a rollout is under way
        (o.deployment(replicas=0, available=0), []),
        (o.deployment(available=2, progressing="ProgressDeadlineExceeded"), ["ProgressDeadlineExceeded"]),
        (o.deployment(available=2, progressing="ProgressDeadlineExceeded", paused=True), []),
    ],
)
def test_deployments(deployment: o.Object, expected: list[str]) -> None:
    assert symptoms(deployment) == expected


def test_a_spec_its_controller_has_not_seen_is_not_judged() -> None:
    deployment = o.deployment(available=0)
    deployment["metadata"]["generation"] = 2
    assert symptoms(deployment) == []


def test_pods_that_cannot_be_created() -> None:
    deployment = o.deployment(progressing="ReplicaSetUpdated")
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    deployment["status"]["conditions"].append(failure)
    assert symptoms(deployment) == ["FailedCreate"]


def _set(ready: int, update: str = "a") -> o.Object:
    status = {"replicas": 3, "readyReplicas": ready, "currentRevision": "a", "updateRevision": update}
    return {"kind": "StatefulSet", "metadata": o.meta("db"), "spec": {"replicas": 3}, "status": status}


def test_stateful_sets() -> None:
    assert symptoms(_set(3)) == []
    assert symptoms(_set(2)) == ["ReplicasUnavailable"]
    assert symptoms(_set(2, update="b")) == ["UpdateStalled"]
    few = _set(2)
    assert symptoms(few, o.event(few, "FailedCreate", "forbidden"))[0] == "FailedCreate"


def test_a_daemon_sets_pod_on_a_lost_node_is_the_nodes_fault() -> None:
    status = {
        "desiredNumberScheduled": 3,
        "currentNumberScheduled": 3,
        "updatedNumberScheduled": 3,
        "numberUnavailable": 1,
    }
    agent = {"kind": "DaemonSet", "metadata": o.meta("agent"), "spec": {}, "status": status}
    assert symptoms(agent, o.node()) == ["ReplicasUnavailable"]
    assert symptoms(agent, o.node(), o.node("node2", ready="Unknown")) == []


def _job(**status: Any) -> o.Object:
    return {"kind": "Job", "metadata": o.meta("import"), "spec": {}, "status": status}


def test_jobs() -> None:
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": o.at(-3)}
    assert symptoms(_job(failed=2)) == []
    assert symptoms(_job(conditions=[failed])) == ["JobFailed"]
    assert symptoms(_job(conditions=[{**failed, "lastTransitionTime": o.at(-4000)}])) == []


def services(service: o.Object, *others: o.Object, memory: ServiceMemory | None = None) -> list[str]:
    return [s.symptom for s in service_sightings(service, o.cache_of(service, *others), o.NOW, memory)]


WEB = o.deployment()
POD = o.pod(o.replicaset(WEB), labels={"app": "web"}, container={"ports": [{"name": "http", "containerPort": 80}]})


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (o.service(), []),
        (o.service(selector={"app": "wev"}), ["NoEndpoints"]),  # its name says who it is for
        (o.service("front", {"app": "wbe"}), ["NoEndpoints"]),  # a slip of the pen
        (o.service("front", {"app": "web", "tier": "front"}), ["NoEndpoints"]),  # a label too many
        (o.service("other", {"app": "billing"}), []),  # made before its workload
        (o.service("other", {"part-of": "shop"}), []),
        (o.service(selector={"app": "wev"}, clusterIP="None"), []),
        (o.service(selector={"app": "wev"}, type="ExternalName"), []),
        (o.service(selector={}), []),
        (o.service(ports=[{"port": 80, "targetPort": "http"}]), []),
        (o.service(ports=[{"port": 80, "targetPort": 8081}]), []),
        (o.service(ports=[{"port": 80, "targetPort": "htttp"}]), ["TargetPortNotFound"]),
    ],
)
def test_services(service: o.Object, expected: list[str]) -> None:
    assert services(service, WEB, o.replicaset(WEB), POD) == expected


def test_scaled_to_zero_and_pods_missing_are_no_fault_of_the_service() -> None:
    assert services(o.service(), o.deployment(replicas=0, available=0)) == []
    assert services(o.service(), o.deployment(available=0)) == []
    assert services(o.service(selector={"app": "wev"}), o.deployment(replicas=0, available=0)) == []


def test_a_workload_with_another_service_needs_no_second_one() -> None:
    assert services(o.service("web-old", {"app": "wev"}), WEB, POD, o.service()) == []


def test_a_service_that_has_reached_its_pods_before_is_known_to_be_broken() -> None:
    memory, backend = ServiceMemory(), {"tier": "backend"}
    before = o.service("front", {"app": "web"})
    assert services(before, WEB, o.replicaset(WEB), POD, memory=memory) == []
    after = o.service("front", backend)
    assert services(after, WEB, o.replicaset(WEB), POD) == []  # nobody would know
    assert services(after, WEB, o.replicaset(WEB), POD, memory=memory) == ["NoEndpoints"]
    assert services(after, memory=memory) == []  # the workload was taken away too


def nodes(node: o.Object, *others: o.Object) -> list[tuple[str, float]]:
    return [(s.symptom, s.grace_seconds) for s in node_sightings(node, o.cache_of(node, *others), o.NOW)]


def test_nodes() -> None:
    assert nodes(o.node()) == []
    assert nodes(o.node(ready="Unknown")) == [("NodeNotReady", 0)]
    assert nodes(o.node(ready="False")) == [("NodeNotReady", 5)]
    assert nodes(o.node(ready="False", age_seconds=30)) == []  # joining
    pressed = o.node()
    pressed["status"]["conditions"].append({"type": "DiskPressure", "status": "True"})
    assert nodes(pressed) == [("DiskPressure", 10)]


def test_nodes_that_are_taken_away_on_purpose() -> None:
    assert nodes(o.node(ready="Unknown", taints=[{"key": "ToBeDeletedByClusterAutoscaler"}])) == []
    assert nodes(o.node(ready="Unknown", unschedulable=True)) == []  # cordoned and drained
    assert nodes(o.node(ready="Unknown", unschedulable=True), POD) == [("NodeNotReady", 0)]
