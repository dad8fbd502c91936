"""What nobody says: forgotten pauses, routes to nowhere, blocked drains, claims without volumes, stuck nodes.

Each beside what looks like it and is normal life.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from healing.actions.reading import PAUSED_BY
from healing.detection.budgets import budget_sightings
from healing.detection.claims import claim_sightings
from healing.detection.evaluation import NEEDED_KINDS, Evaluator
from healing.detection.nodes import node_sightings
from healing.detection.pauses import CANARY_GRACE_SECONDS, GRACE_SECONDS as PAUSE_SECONDS
from healing.detection.routes import GRACE_SECONDS as ROUTE_SECONDS, NEW_GRACE_SECONDS, route_sightings
from healing.detection.sighting import Sighting
from healing.detection.tracking import Tracker
from healing.detection.workloads import workload_sightings
from tests.detection import objects as o


def symptoms(sightings: list[Sighting]) -> list[str]:
    return [sighting.symptom for sighting in sightings]


# --- pauses -----------------------------------------------------------------------------------------------------


def _paused(updated: int, *, replicas: int = 2, unavailable: int = 0, **meta: Any) -> o.Object:
    deployment = o.deployment(replicas=replicas, available=replicas, progressing="DeploymentPaused", paused=True)
    deployment["status"] |= {"updatedReplicas": updated, "unavailableReplicas": unavailable}
    deployment["metadata"] |= meta
    return deployment


def pauses(deployment: o.Object) -> list[tuple[str, float]]:
    found = workload_sightings(deployment, o.cache_of(deployment), o.NOW)
    return [(sighting.symptom, sighting.grace_seconds) for sighting in found]


def test_a_pause_that_keeps_a_new_template_from_every_pod() -> None:
    assert pauses(_paused(0)) == [("RolloutPaused", PAUSE_SECONDS)]
    assert pauses(_paused(1, unavailable=1)) == [("RolloutPaused", PAUSE_SECONDS)]
    assert pauses(_paused(0, annotations={"example.com/error-threshold": "5"})) == [("RolloutPaused", PAUSE_SECONDS)]


@pytest.mark.parametrize(
    "deployment",
    [
        _paused(2),  # all pods are of the newest template
        _paused(0, replicas=0),
        _paused(0, annotations={PAUSED_BY: "he-1"}),  # our own pause
        _paused(0, annotations={"deploy.example.com/pause-reason": "change freeze"}),
    ],
)
def test_pauses_that_are_meant(deployment: o.Object) -> None:
    assert pauses(deployment) == []


def test_a_canary_by_hand_may_stand_for_a_while_and_each_change_starts_anew() -> None:
    assert pauses(_paused(1)) == [("RolloutPaused", CANARY_GRACE_SECONDS)]
    keys = []
    for generation in (2, 3):
        deployment = _paused(0, generation=generation)
        deployment["status"]["observedGeneration"] = generation
        keys += [sighting.key for sighting in workload_sightings(deployment, o.cache_of(deployment), o.NOW)]
    assert len(set(keys)) == 2


# --- creation that is refused before its controller gets to write its status ---------------------------------------


def test_a_claim_that_a_quota_refuses_is_told_though_the_status_is_old() -> None:
    stateful: o.Object = {
        "kind": "StatefulSet",
        "metadata": o.meta("db", generation=2),
        "spec": {"replicas": 3},
        "status": {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2},
    }
    refused = o.event(stateful, "FailedCreate", "create Claim data-db-2 for Pod db-2 failed error: exceeded quota")
    assert symptoms(workload_sightings(stateful, o.cache_of(stateful, refused), o.NOW)) == ["FailedCreate"]
    assert workload_sightings(stateful, o.cache_of(stateful), o.NOW) == []


# --- routes -----------------------------------------------------------------------------------------------------


def _ingress(service: str = "web", port: Any = 80, *, age_seconds: float = 3600, **spec: Any) -> o.Object:
    key = "name" if isinstance(port, str) else "number"
    path = {"path": "/", "backend": {"service": {"name": service, "port": {key: port}}}}
    meta = o.meta("front", creationTimestamp=o.at(-age_seconds))
    return {"kind": "Ingress", "metadata": meta, "spec": {"rules": [{"http": {"paths": [path]}}], **spec}}


def _http_route(*backends: o.Object) -> o.Object:
    meta = o.meta("front", creationTimestamp=o.at(-3600))
    return {"kind": "HTTPRoute", "metadata": meta, "spec": {"rules": [{"backendRefs": list(backends)}]}}


SERVICE = o.service(ports=[{"name": "http", "port": 80}])


def routes(route: o.Object, *others: o.Object) -> list[str]:
    return symptoms(route_sightings(route, o.cache_of(route, *(others or (SERVICE,))), o.NOW))


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (_ingress(), []),
        (_ingress(port="http"), []),
        (_ingress("wev"), ["BackendNotFound"]),
        (_ingress(port=8080), ["BackendNotFound"]),
        (_ingress(port="https"), ["BackendNotFound"]),
        (_ingress(defaultBackend={"service": {"name": "gone", "port": {"number": 80}}}), ["BackendNotFound"]),
        (_ingress(defaultBackend={"resource": {"kind": "StorageBucket", "name": "files"}}), []),
        (_ingress("ssl-redirect", "use-annotation"), []),  # an action in an annotation, no Service
        (_http_route({"name": "web", "port": 80}), []),
        (_http_route({"name": "gone", "port": 80}), ["BackendNotFound"]),
        (_http_route({"name": "web", "port": 80}, {"name": "gone", "port": 80, "weight": 0}), []),
        (_http_route({"name": "gone", "kind": "Bucket", "group": "example.com"}), []),
    ],
)
def test_routes(route: o.Object, expected: list[str]) -> None:
    assert routes(route) == expected


def test_an_external_name_has_no_ports_and_a_solver_comes_and_goes() -> None:
    assert routes(_ingress(port=443), o.service(type="ExternalName", selector={})) == []
    solver = _ingress("cm-acme-http-solver-x")
    solver["metadata"]["labels"] = {"acme.cert-manager.io/http01-solver": "true"}
    assert routes(solver) == []


def test_a_route_that_comes_before_its_service_gets_time_one_that_was_well_does_not() -> None:
    been_well: set[str] = set()
    early = _ingress("later", age_seconds=5)
    [sighting] = route_sightings(early, o.cache_of(early), o.NOW, been_well)
    assert sighting.grace_seconds == NEW_GRACE_SECONDS
    assert sighting.target.ref.kind == "Ingress"
    well = _ingress(age_seconds=5)
    assert route_sightings(well, o.cache_of(well, SERVICE), o.NOW, been_well) == []
    [sighting] = route_sightings(well, o.cache_of(well), o.NOW, been_well)
    assert sighting.grace_seconds == ROUTE_SECONDS


# --- drains -----------------------------------------------------------------------------------------------------


def _budget(*, desired: int = 2, healthy: int = 2, expected: int = 2, allowed: int = 0) -> o.Object:
    status = {"desiredHealthy": desired, "currentHealthy": healthy, "expectedPods": expected}
    return {
        "kind": "PodDisruptionBudget",
        "metadata": o.meta("web"),
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {**status, "disruptionsAllowed": allowed},
    }


WEB = o.deployment()
SET = o.replicaset(WEB)
HELD = o.pod(SET, ready=True)
OTHER = o.pod(SET, "other-1", ready=True, labels={"app": "other"})
AGENT = o.pod({"kind": "DaemonSet", "metadata": o.meta("agent")}, "agent-1", ready=True, labels={"app": "agent"})
CORDONED = o.node(unschedulable=True)


def drains(budget: o.Object, *others: o.Object) -> list[str]:
    return symptoms(budget_sightings(budget, o.cache_of(budget, *others), o.NOW))


def test_a_budget_that_never_lets_the_last_pods_go() -> None:
    assert drains(_budget(), CORDONED, HELD) == ["EvictionBlocked"]
    assert drains(_budget(), CORDONED, HELD, AGENT) == ["EvictionBlocked"]  # a drain leaves those where they are
    [sighting] = budget_sightings(_budget(), o.cache_of(_budget(), CORDONED, HELD), o.NOW)
    assert sighting.target.ref.kind == "PodDisruptionBudget"
    assert sighting.target.labels["app"] == "web"  # the policy of its pods covers it


@pytest.mark.parametrize(
    ("budget", "others"),
    [
        (_budget(), (o.node(), HELD)),  # nobody takes the node away
        (_budget(), (CORDONED,)),  # its pods are elsewhere
        (_budget(), (CORDONED, HELD, OTHER)),  # cordoned and not drained
        (_budget(desired=1, allowed=1), (CORDONED, HELD)),
        (_budget(desired=1, healthy=1), (CORDONED, HELD)),  # the other pod is on its way
        (_budget(healthy=1), (CORDONED, HELD)),
        (_budget(expected=0, desired=0), (CORDONED,)),
        (_budget(), (o.node(ready="Unknown", unschedulable=True), HELD)),  # lost, not drained
        (_budget(), (CORDONED, {**HELD, "metadata": {**HELD["metadata"], "deletionTimestamp": o.at(5)}})),
    ],
)
def test_drains_that_get_on_and_nodes_that_are_only_cordoned(budget: o.Object, others: tuple[o.Object, ...]) -> None:
    assert drains(budget, *others) == []


# --- claims -----------------------------------------------------------------------------------------------------


def _claim(phase: str = "Pending") -> o.Object:
    return {"kind": "PersistentVolumeClaim", "metadata": o.meta("data"), "spec": {}, "status": {"phase": phase}}


def _mounting(phase: str = "Pending") -> o.Object:
    pod = o.pod(SET, phase=phase)
    pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    return pod


def claims(claim: o.Object, *others: o.Object) -> list[tuple[str, str]]:
    found = claim_sightings(claim, o.cache_of(claim, WEB, SET, *others), o.NOW)
    return [(sighting.target.ref.kind, sighting.symptom) for sighting in found]


def test_claims() -> None:
    claim = _claim()
    failed = o.event(claim, "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found')
    assert claims(claim, failed, _mounting()) == [("Deployment", "ProvisioningFailed")]
    assert claims(_claim("Lost"), _mounting()) == [("Deployment", "ClaimLost")]
    assert claims(claim, failed) == []  # nobody waits for it
    assert claims(claim, failed, _mounting("Running")) == []
    assert claims(claim, _mounting()) == []  # being provisioned
    assert claims(claim, o.event(claim, "WaitForFirstConsumer", "waiting", type="Normal"), _mounting()) == []
    assert claims(_claim("Bound"), failed, _mounting()) == []


# --- nodes ------------------------------------------------------------------------------------------------------


def _node(ready: str, *, age_seconds: float, turned_seconds: float) -> o.Object:
    node = o.node(ready=ready, age_seconds=age_seconds)
    node["status"]["conditions"][0]["lastTransitionTime"] = o.at(-turned_seconds)
    return node


def test_a_young_node_that_was_well_is_judged_one_that_joins_is_not() -> None:
    joining = _node("False", age_seconds=40, turned_seconds=40)
    assert node_sightings(joining, o.cache_of(joining), o.NOW) == []
    for ready, seconds in (("False", 15.0), ("Unknown", 0.0)):
        broken = _node(ready, age_seconds=40, turned_seconds=5)
        [sighting] = node_sightings(broken, o.cache_of(broken), o.NOW)
        assert (sighting.symptom, sighting.grace_seconds) == ("NodeNotReady", seconds)


def _creating(number: int, *, sandbox: str = "False", seconds: float = 40) -> o.Object:
    owner = {"kind": "ReplicaSet", "metadata": o.meta(f"rs-{number % 2}")}
    pod = o.pod(owner, f"stuck-{number}", {"waiting": {"reason": "ContainerCreating"}}, phase="Pending")
    pod["status"]["conditions"] += [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": o.at(-seconds)},
        {"type": "PodReadyToStartContainers", "status": sandbox},
    ]
    return pod


def _ending(name: str, seconds: float) -> o.Object:
    pod = o.pod(SET, name, ready=True)
    pod["metadata"]["deletionTimestamp"] = o.at(-seconds)
    return pod


def stuck(*pods: o.Object) -> list[str]:
    node = o.node()
    return symptoms(node_sightings(node, o.cache_of(node, *pods), o.NOW))


def test_a_node_on_which_nothing_gets_on() -> None:
    three = [_creating(number) for number in range(3)]
    assert stuck(*three) == ["PodsStuckOnNode"]
    assert stuck(_creating(0), _creating(1), _ending("old", 30)) == ["PodsStuckOnNode"]
    assert stuck(*three[:2]) == []
    assert stuck(*(_creating(number, sandbox="True") for number in range(3))) == []  # they pull their images
    assert stuck(*(_creating(number, seconds=10) for number in range(3))) == []
    assert stuck(_creating(0), _creating(2), _creating(4)) == []  # of one owner: its own fault
    assert stuck(*three, o.event(three[0], "FailedMount", 'configmap "x" not found')) == []
    started = o.pod(SET, "fresh", {"running": {"startedAt": o.at(-20)}}, ready=True)
    assert stuck(*three, started) == []  # others do start there


@pytest.mark.django_db
def test_a_stuck_node_is_looked_at_though_nothing_changes() -> None:
    tracker = Tracker()
    cache = o.cache_of(o.node(), *(_creating(number, seconds=10) for number in range(3)))
    evaluator = Evaluator(cache, tracker, None, threading.Event())  # type: ignore[arg-type]
    for kind in NEEDED_KINDS:
        evaluator.synced(kind, [("Node", "", "node1")] if kind == "Node" else [])
    for seconds, expected in ((0, []), (15, ["PodsStuckOnNode"])):
        now = o.NOW + timedelta(seconds=seconds)
        evaluator.look_around(now)
        evaluator.evaluate_dirty(now)
        assert [tracked.sighting.symptom for tracked in tracker.entries()] == expected
