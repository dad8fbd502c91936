"""The world of other versions of Kubernetes: whatever its controllers and kubelets write, their API must have had."""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import kubernetes_validate
import pytest

from healing.sandbox.api.versions import KubernetesVersion
from healing.sandbox.ports import Exit, Object
from healing.sandbox.virtual_time import run_virtual
from tests.sandbox_world.lab import NAMESPACE, Lab, lab
from tests.sandbox_world.programs import Program

IMAGE = "registry.local/web:1.0"
_SINGLE = {"name": "web", "image": IMAGE}


def in_version(minor: int, scene: Callable[[Lab], Coroutine[Any, Any, None]]) -> Lab:
    made: list[Lab] = []

    async def play() -> None:
        async with lab(1, kubernetes=KubernetesVersion(minor), control_plane=True) as running:
            made.append(running)
            await scene(running)

    run_virtual(play())
    return made[0]


def job(name: str, image: str, **spec: object) -> Object:
    pod = {"containers": [{"name": "run", "image": image}], "restartPolicy": "Never"}
    body = {"backoffLimit": 0, "template": {"metadata": {}, "spec": pod}, **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": body}


def conditions(obj: Object) -> list[str]:
    return [entry["type"] for entry in obj["status"].get("conditions") or ()]


def everything(made: Lab) -> Iterator[Object]:
    yield from (change.object for change in made.history)
    for resource in made.cluster.registry.stored():
        if resource.model:
            yield from made.cluster.list(resource.storage)


@pytest.mark.parametrize("minor", [26, 29, 33, 37])
def test_all_that_the_world_writes_was_in_the_version_s_schema(minor: int) -> None:
    async def scene(lab: Lab) -> None:
        lab.runtime.programs["busybox:1.36"] = Program(lives_seconds=1.0, exit=Exit(0, "Completed"))
        resources = {"limits": {"cpu": "1", "memory": "64Mi"}}
        lab.deployment(container={"resources": resources, "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]},
                       pod={"volumes": [{"name": "tmp", "emptyDir": {}}]})  # fmt: skip
        lab.service()
        labels = {"app": "db"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [_SINGLE]}}
        stateful = {"selector": {"matchLabels": labels}, "serviceName": "db", "template": template}
        lab.create("statefulsets.apps", {"metadata": {"name": "db"}, "spec": stateful})
        lab.create("jobs.batch", job("once", "busybox:1.36", completionMode="Indexed", completions=1))
        lab.create(
            "poddisruptionbudgets.policy",
            {"metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}},
        )
        await lab.until(lab.is_rolled_out)
        await lab.until(lambda: "Complete" in conditions(lab.get("jobs.batch", "once")))
        await lab.until(lambda: lab.get("statefulsets.apps", "db")["status"].get("availableReplicas") == 1)

    made = in_version(minor, scene)
    kinds = set()
    for obj in everything(made):
        shown = copy.deepcopy(obj)
        for entry in shown["metadata"].get("managedFields") or ():
            entry.pop("fieldsV1", None)  # the published schema has it as an object without fields
        kubernetes_validate.validate(shown, f"1.{minor}", strict=True)
        kinds.add(obj["kind"])
    assert kinds >= {"Pod", "Deployment", "ReplicaSet", "StatefulSet", "Job", "Node", "Event", "PodDisruptionBudget"}


@pytest.mark.parametrize("minor", [26, 29, 33, 36])
def test_status_says_what_the_version_says_by_default(minor: int) -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment(container={"resources": {"requests": {"cpu": "10m"}}})
        await lab.until(lab.is_rolled_out)
        [pod] = lab.pods()
        status, container = pod["status"], pod["status"]["containerStatuses"][0]
        assert ("hostIPs" in status) == (minor >= 29)
        assert ("PodReadyToStartContainers" in conditions(pod)) == (minor >= 29)
        assert ("generation" in pod["metadata"]) == (minor >= 33)
        assert ("observedGeneration" in status) == (minor >= 34)
        assert {"observedGeneration" in c for c in status["conditions"]} == {minor >= 34}
        assert ("resources" in container) == (minor >= 33)
        assert ("resources" in status) == (minor >= 36)
        for resource in ("deployments.apps", "replicasets.apps"):
            [owner] = lab.cluster.list(resource, NAMESPACE)
            assert ("terminatingReplicas" in owner["status"]) == (minor >= 35)
        [node] = lab.cluster.list("nodes")
        assert node["status"]["nodeInfo"]["kubeletVersion"] == lab.cluster.git_version
        images = {p["spec"]["containers"][0]["image"] for p in lab.cluster.list("pods", "kube-system")}
        assert f"registry.k8s.io/kube-apiserver:{lab.cluster.git_version}" in images
        # What is not kept is not written again and again: nothing changes when nothing happens.
        before = len([c for c in lab.history if c.resource in ("pods", "deployments.apps", "replicasets.apps")])
        await lab.sleep(60)
        after = len([c for c in lab.history if c.resource in ("pods", "deployments.apps", "replicasets.apps")])
        assert after == before

    in_version(minor, scene)


@pytest.mark.parametrize("minor", [26, 28, 29])
def test_a_sidecar_blocks_its_pod_where_it_is_an_init_container_like_any(minor: int) -> None:
    async def scene(lab: Lab) -> None:
        sidecar = {"name": "proxy", "image": "registry.local/web:1.1", "restartPolicy": "Always"}
        lab.deployment(pod={"initContainers": [sidecar]})
        await lab.sleep(30)
        [pod] = lab.pods()
        started = pod["status"]["phase"] == "Running"
        assert started == (minor >= 29)
        assert ("restartPolicy" in pod["spec"]["initContainers"][0]) == (minor >= 29)
        initialized = next(c for c in pod["status"]["conditions"] if c["type"] == "Initialized")
        assert initialized["status"] == ("True" if started else "False")

    in_version(minor, scene)


@pytest.mark.parametrize("minor", [26, 27, 31])
def test_jobs_end_and_find_their_pods_as_they_did_then(minor: int) -> None:
    async def scene(lab: Lab) -> None:
        lab.runtime.programs["busybox:1.36"] = Program(lives_seconds=1.0, exit=Exit(0, "Completed"))
        lab.runtime.programs["registry.local/broken:1"] = Program(lives_seconds=1.0, exit=Exit(1, "Error"))
        lab.create("jobs.batch", job("good", "busybox:1.36"))
        lab.create("jobs.batch", job("bad", "registry.local/broken:1"))
        await lab.until(lambda: "Complete" in conditions(lab.get("jobs.batch", "good")))
        await lab.until(lambda: "Failed" in conditions(lab.get("jobs.batch", "bad")))
        good, bad = lab.get("jobs.batch", "good"), lab.get("jobs.batch", "bad")
        assert ("SuccessCriteriaMet" in conditions(good)) == (minor >= 31)
        assert ("FailureTarget" in conditions(bad)) == (minor >= 31)
        assert (good["status"].get("succeeded"), bad["status"].get("failed")) == (1, 1)
        labels = {"job-name", "controller-uid"}
        if minor >= 27:
            labels |= {"batch.kubernetes.io/job-name", "batch.kubernetes.io/controller-uid"}
        assert good["spec"]["template"]["metadata"]["labels"].keys() == labels
        [pod] = [p for p in lab.cluster.list("pods", NAMESPACE) if p["metadata"]["labels"]["job-name"] == "good"]
        assert good["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()

    in_version(minor, scene)


@pytest.mark.parametrize("minor", [30, 31])
def test_a_job_that_failed_says_so_before_or_after_its_last_pod_has_stopped(minor: int) -> None:
    async def scene(lab: Lab) -> None:
        lab.runtime.programs["registry.local/slow:1"] = Program(stops_after_seconds=None)
        pod = {
            "containers": [{"name": "run", "image": "registry.local/slow:1"}],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 20,
        }
        body = job("late", "registry.local/slow:1", activeDeadlineSeconds=5)
        body["spec"]["template"]["spec"] = pod
        lab.create("jobs.batch", body)
        await lab.until(lambda: "Failed" in conditions(lab.get("jobs.batch", "late")))
        running = [p for p in lab.cluster.list("pods", NAMESPACE) if p["status"]["phase"] == "Running"]
        assert bool(running) == (minor < 31), "its pod still stops"

    in_version(minor, scene)


@pytest.mark.parametrize("minor", [31, 32])
def test_why_an_image_is_not_pulled_stands_in_the_events_and_from_1_32_in_the_pod_too(minor: int) -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment(image="registry.local/web:broken-tag")
        waiting: list[Object] = []

        def backs_off() -> bool:
            found = [c["state"]["waiting"] for p in lab.pods() for c in p["status"].get("containerStatuses") or ()]
            waiting[:] = [entry for entry in found if entry["reason"] == "ImagePullBackOff"]
            return bool(waiting)

        await lab.until(backs_off)
        assert waiting[0]["message"].startswith('Back-off pulling image "registry.local/web:broken-tag"')
        assert ("ErrImagePull: " in waiting[0]["message"]) == (minor >= 32)
        assert any("failed to pull and unpack" in event["message"] for event in lab.events("Failed"))

    in_version(minor, scene)
