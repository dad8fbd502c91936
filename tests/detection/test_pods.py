from __future__ import annotations

from typing import Any

import pytest

from healing.actions.labels import QUARANTINE
from healing.detection.owners import OwnerUnknown
from healing.detection.pods import PULL_HICCUP_SECONDS, pod_sightings
from healing.detection.sighting import Sighting
from tests.detection import objects as o

WEB = o.deployment()
SET = o.replicaset(WEB)


def dead(reason: str, code: int, seconds: float) -> o.Object:
    return {"terminated": {"reason": reason, "exitCode": code, "finishedAt": o.at(seconds)}}


def waits(reason: str, message: str = "") -> o.Object:
    return {"waiting": {"reason": reason, "message": message}}


def see(pod: o.Object, *others: o.Object) -> list[Sighting]:
    return pod_sightings(pod, o.cache_of(WEB, SET, o.node(), pod, *others), o.NOW)


def test_the_target_is_the_workload_and_the_subject_the_pod() -> None:
    [sighting] = see(o.pod(SET, state=waits("CrashLoopBackOff"), last_state=dead("Error", 1, -5), restarts=3))
    assert str(sighting.target.ref) == "Deployment shop/web"
    assert sighting.target.labels == {"app": "web", "team": "a"}
    assert sighting.subject is not None
    assert sighting.subject.name == "web-rs-1"


@pytest.mark.parametrize(
    ("pod", "symptom", "grace"),
    [
        (
            o.pod(SET, state=waits("CrashLoopBackOff"), last_state=dead("Error", 1, -5), restarts=1),
            "CrashLoopBackOff",
            0,
        ),
        (o.pod(SET, state=waits("CrashLoopBackOff"), last_state=dead("Error", 1, -5)), "CrashLoopBackOff", 15),
        (o.pod(SET, state=dead("Error", 1, -1), last_state=dead("Error", 1, -60), restarts=1), "CrashLoopBackOff", 0),
        (o.pod(SET, state=dead("OOMKilled", 137, -1)), "OOMKilled", 0),
        (
            o.pod(SET, state=waits("CrashLoopBackOff"), last_state=dead("OOMKilled", 137, -9000), restarts=9),
            "OOMKilled",
            0,
        ),
        (o.pod(SET, last_state=dead("OOMKilled", 137, -30), restarts=1, ready=True), "OOMKilled", 0),
        (o.pod(SET, state=waits("ErrImagePull", "manifest unknown")), "ImagePullBackOff", 1),
        (o.pod(SET, state=waits("ErrImagePull", "i/o timeout")), "ImagePullBackOff", PULL_HICCUP_SECONDS),
        (o.pod(SET, state=waits("InvalidImageName", "x")), "InvalidImageName", 0),
        (o.pod(SET, state=waits("CreateContainerConfigError", "x")), "CreateContainerConfigError", 5),
    ],
)
def test_container_states(pod: o.Object, symptom: str, grace: float) -> None:
    [sighting] = see(pod)
    assert (sighting.symptom, sighting.grace_seconds) == (symptom, grace)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(o.pod(SET, ready=True), id="healthy"),
        pytest.param(o.pod(SET, state=dead("Error", 1, -1)), id="first crash: it is restarted at once"),
        pytest.param(
            o.pod(SET, last_state=dead("Error", 1, -30), restarts=1, ready=True), id="a restart that came back"
        ),
        pytest.param(
            o.pod(SET, state=dead("Error", 1, -1), last_state=dead("Error", 1, -90_000), restarts=5), id="a crash a day"
        ),
        pytest.param(o.pod(SET, last_state=dead("OOMKilled", 137, -4000), restarts=1, ready=True), id="old OOM kill"),
        pytest.param(o.pod(SET, state=dead("Completed", 0, -1), phase="Succeeded"), id="done"),
        pytest.param(o.pod(SET, phase="Failed", reason="Evicted", state=dead("Error", 137, -1)), id="evicted"),
        pytest.param(
            o.pod(SET, labels={QUARANTINE: "he-1"}, state=waits("CrashLoopBackOff"), restarts=4), id="isolated"
        ),
        pytest.param(
            o.pod(
                SET,
                state=waits("CrashLoopBackOff"),
                restarts=4,
                conditions=[{"type": "DisruptionTarget", "status": "True"}],
            ),
            id="being evicted",
        ),
    ],
)
def test_no_fault(pod: o.Object) -> None:
    assert see(pod) == []


def test_a_pod_that_goes_away_is_no_fault() -> None:
    pod = o.pod(SET, state=waits("CrashLoopBackOff"), restarts=4)
    pod["metadata"]["deletionTimestamp"] = o.at(0)
    assert see(pod) == []


@pytest.mark.parametrize(
    ("probes", "state", "expected"),
    [
        ({}, {"running": {"startedAt": o.at(-100)}}, (12.0, True)),  # lost it 20 s ago
        ({}, {"running": {"startedAt": o.at(-20)}}, (30.0, False)),  # has never had it
        (
            {"readinessProbe": {"initialDelaySeconds": 60, "periodSeconds": 5, "failureThreshold": 6}},
            {"running": {"startedAt": o.at(-20)}},
            (90.0, False),
        ),
        (
            {"startupProbe": {"periodSeconds": 10, "failureThreshold": 30}, "readinessProbe": {}},
            {"running": {"startedAt": o.at(-20)}},
            (330.0, False),
        ),
    ],
)
def test_readiness_gets_the_time_the_probes_allow(
    probes: o.Object, state: o.Object, expected: tuple[float, bool]
) -> None:
    [sighting] = see(o.pod(SET, state=state, container=probes))
    assert sighting.symptom == "ReadinessProbeFailed"
    assert (sighting.grace_seconds, sighting.data["wasReady"]) == expected


def test_readiness_is_not_judged_while_starting_nor_on_a_lost_node() -> None:
    starting = o.pod(SET)
    starting["status"]["containerStatuses"][0]["started"] = False
    assert see(starting) == []
    unready = o.pod(SET)
    assert pod_sightings(unready, o.cache_of(WEB, SET, o.node(ready="Unknown"), unready), o.NOW) == []


def test_a_liveness_probe_that_fails_again_after_the_restart_it_caused() -> None:
    pod = o.pod(SET, state={"running": {"startedAt": o.at(-10)}}, restarts=1, ready=True)
    old = o.event(pod, "Unhealthy", "Liveness probe failed: refused", -30)
    new = o.event(pod, "Unhealthy", "Liveness probe failed: refused", -3)
    assert see(pod, old) == []
    assert [sighting.symptom for sighting in see(pod, old, new)] == ["LivenessProbeFailed"]
    readiness = o.event(pod, "Unhealthy", "Readiness probe failed: refused", -3)
    assert see(pod, readiness) == []


def test_a_pod_without_a_node() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    pod = o.pod(SET, phase="Pending", conditions=[condition], containerStatuses=[])
    [sighting] = see(pod)
    assert (sighting.symptom, sighting.grace_seconds) == ("Unschedulable", 10)
    scaling = o.event(pod, "TriggeredScaleUp", "pod triggered scale-up", type="Normal")
    assert see(pod, scaling)[0].grace_seconds == 180
    gated = o.pod(SET, phase="Pending", conditions=[{**condition, "reason": "SchedulingGated"}], containerStatuses=[])
    assert see(gated) == []


def test_containers_that_are_not_created() -> None:
    pod = o.pod(SET, phase="Pending", state=waits("ContainerCreating"))
    [silent] = see(pod)
    assert (silent.symptom, silent.grace_seconds) == ("ContainerCreating", 120)
    [told] = see(pod, o.event(pod, "FailedMount", 'configmap "x" not found'))
    assert (told.symptom, told.grace_seconds) == ("FailedMount", 8)
    [stale] = see(pod, o.event(pod, "FailedMount", "long ago", -900))
    assert stale.symptom == "ContainerCreating"


def test_a_working_init_container_may_take_its_time() -> None:
    pod = o.pod(SET, phase="Pending", state=waits("PodInitializing"))
    pod["spec"]["initContainers"] = [{"name": "migrate"}]
    pod["status"]["initContainerStatuses"] = [
        {"name": "migrate", "ready": False, "restartCount": 0, "state": {"running": {"startedAt": o.at(-600)}}}
    ]
    assert see(pod) == []


@pytest.mark.parametrize(
    ("state", "symptoms"), [(waits("CrashLoopBackOff"), []), (waits("InvalidImageName"), ["InvalidImageName"])]
)
def test_jobs_retry_what_can_be_retried(state: o.Object, symptoms: list[str]) -> None:
    job = {"kind": "Job", "metadata": o.meta("import"), "spec": {}, "status": {}}
    pod = o.pod(job, state=state, last_state=dead("Error", 1, -3), restarts=3)
    found = pod_sightings(pod, o.cache_of(job, pod), o.NOW)
    assert [sighting.symptom for sighting in found] == symptoms


def test_a_cron_job_is_one_target_for_all_its_runs() -> None:
    cron: o.Object = {"kind": "CronJob", "metadata": o.meta("nightly")}
    job = {"kind": "Job", "metadata": o.meta("nightly-1", cron), "spec": {}, "status": {}}
    pod = o.pod(job, state=waits("InvalidImageName"))
    [sighting] = pod_sightings(pod, o.cache_of(job, pod), o.NOW)
    assert str(sighting.target.ref) == "CronJob shop/nightly"


def test_an_owner_that_is_not_there_yet_is_waited_for() -> None:
    pod = o.pod(SET, state=waits("CrashLoopBackOff"), restarts=2)
    with pytest.raises(OwnerUnknown):
        pod_sightings(pod, o.cache_of(WEB, pod), o.NOW)
    [sighting] = pod_sightings(pod, o.cache_of(WEB, pod), o.NOW, lenient=True)
    assert sighting.target.ref.kind == "Pod"


@pytest.mark.parametrize("broken", [{}, {"spec": None, "status": None}, {"status": {"containerStatuses": None}}])
def test_sparse_objects_are_read(broken: dict[str, Any]) -> None:
    pod = {"kind": "Pod", "metadata": {"name": "bare", "namespace": "shop"}, **broken}
    assert pod_sightings(pod, o.cache_of(pod), o.NOW) == []
