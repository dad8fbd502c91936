"""What kubelets do beyond the recordings: credentials, hooks, deadlines, pressure, runtimes and networks that fail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from healing.sandbox.ports import Object, ProbeResult, Usage
from healing.sandbox.world import NodeSpec
from tests.sandbox_world.lab import PERSON, Lab
from tests.sandbox_world.programs import Program
from tests.sandbox_world.test_nodes import ready_status, running_on
from tests.sandbox_world.test_workloads import in_lab

WEB = "registry.local/web:1.0"


def messages(lab: Lab, reason: str) -> set[str]:
    return {event["message"] for event in lab.events(reason)}


def node_condition(lab: Lab, node: str, type_: str) -> Object:
    found: Object = next(c for c in lab.get("nodes", node)["status"]["conditions"] if c["type"] == type_)
    return found


def test_pull_secrets_reach_the_registry_they_are_for() -> None:
    async def scene(lab: Lab) -> None:
        config = {"auths": {"https://registry.local": {"auth": "dTpw"}}}
        lab.create("secrets", {
            "metadata": {"name": "regcred"}, "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": json.dumps(config)},
        })  # fmt: skip
        lab.deployment(pod={"imagePullSecrets": [{"name": "regcred"}]})
        await lab.until(lab.is_rolled_out)
        assert lab.runtime.authorized[WEB]
        lab.deployment("other", "busybox:1.36", pod={"imagePullSecrets": [{"name": "regcred"}, {"name": "lost"}]})
        await lab.until(lambda: "busybox:1.36" in lab.runtime.authorized)
        assert not lab.runtime.authorized["busybox:1.36"], "that is another registry"
        wanted = "Unable to retrieve some image pull secrets (lost); attempting to pull the image may not succeed."
        assert messages(lab, "FailedToRetrieveImagePullSecret") == {wanted}

    in_lab(scene)


def test_hooks_that_fail_are_told_and_a_failed_post_start_ends_the_container() -> None:
    async def scene(lab: Lab) -> None:
        program = lab.runtime.programs[WEB]
        program.exec_result = lambda _age: ProbeResult(ok=False, message="no")
        lab.deployment(container={"lifecycle": {"preStop": {"exec": {"command": ["bye"]}}}})
        await lab.until(lab.is_rolled_out)
        lab.delete("pods", lab.pods()[0]["metadata"]["name"])
        await lab.until(lambda: messages(lab, "FailedPreStopHook") == {"PreStopHook failed"})
        lab.deployment("hooked", container={"lifecycle": {"postStart": {"exec": {"command": ["hello"]}}}})
        await lab.until(lambda: messages(lab, "FailedPostStartHook") == {"PostStartHook failed"})
        assert "FailedPostStartHook" in messages(lab, "Killing")
        await lab.until(lambda: lab.pods("hooked")[0]["status"]["containerStatuses"][0]["restartCount"] >= 1, 30)

    in_lab(scene)


def test_a_pod_that_has_ended_says_so_although_it_is_looked_at_meanwhile() -> None:
    async def scene(lab: Lab) -> None:
        lab.runtime.programs["busybox:1.36"] = Program(lives_seconds=2)
        container = {"name": "once", "image": "busybox:1.36"}
        lab.create(
            "pods", {"metadata": {"name": "once"}, "spec": {"containers": [container], "restartPolicy": "Never"}}
        )

        def ended() -> bool:
            statuses = lab.get("pods", "once")["status"].get("containerStatuses") or [{}]
            return "terminated" in statuses[0].get("state", {})

        await lab.until(ended)
        assert lab.get("pods", "once")["status"]["phase"] == "Running"
        lab.mutate("pods", "once", lambda pod: pod["spec"].update(activeDeadlineSeconds=900))
        await lab.until(lambda: lab.get("pods", "once")["status"]["phase"] == "Failed", 10)

    in_lab(scene)


def test_a_pod_ends_at_its_active_deadline() -> None:
    async def scene(lab: Lab) -> None:
        spec = {
            "containers": [{"name": "web", "image": WEB}],
            "activeDeadlineSeconds": 20,
            "terminationGracePeriodSeconds": 1,
        }
        lab.create("pods", {"metadata": {"name": "late"}, "spec": spec})
        await lab.sleep(15)
        assert lab.get("pods", "late")["status"]["phase"] == "Running"
        await lab.until(lambda: lab.get("pods", "late")["status"]["phase"] == "Failed", 15)
        status = lab.get("pods", "late")["status"]
        assert status["reason"] == "DeadlineExceeded"
        assert status["message"] == "Pod was active on the node longer than the specified deadline"
        assert messages(lab, "DeadlineExceeded") == {status["message"]}

    in_lab(scene)


@pytest.mark.parametrize(
    ("container", "pod", "message"),
    [
        (
            {"resources": {"limits": {"ephemeral-storage": "1Gi"}}}, {},
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
        ),
        (
            {"volumeMounts": [{"name": "cache", "mountPath": "/cache"}]},
            {"volumes": [{"name": "cache", "emptyDir": {"sizeLimit": "1Gi"}}]},
            'Usage of EmptyDir volume "cache" exceeds the limit "1Gi". ',
        ),
    ],
)  # fmt: skip
def test_a_pod_that_writes_more_than_it_may_is_evicted(
    container: dict[str, Any], pod: dict[str, Any], message: str
) -> None:
    async def scene(lab: Lab) -> None:
        lab.runtime.programs[WEB].usage = Usage(0.1, 2**20, ephemeral_bytes=2**30 - 1)
        lab.deployment(container=container, pod=pod)
        await lab.until(lab.is_rolled_out)
        await lab.sleep(15)
        assert not lab.events("Evicted")
        lab.runtime.programs[WEB].usage = Usage(0.1, 2**20, ephemeral_bytes=2**30 + 1)
        await lab.until(lambda: messages(lab, "Evicted") == {message}, 30)
        await lab.until(lambda: any(p["status"].get("reason") == "Evicted" for p in lab.pods()))
        assert "Stopping container web" in messages(lab, "Killing")

    in_lab(scene)


def test_a_full_disk_is_reported_tainted_and_relieved_by_evicting_the_one_that_filled_it() -> None:
    async def scene(lab: Lab) -> None:
        lab.runtime.programs["registry.local/hog:1"] = Program(usage=Usage(0.1, 2**20, ephemeral_bytes=95 * 10**8))
        lab.deployment()
        lab.deployment("hog", "registry.local/hog:1", pod={"nodeName": "node1"})
        await lab.until(lambda: node_condition(lab, "node1", "DiskPressure")["status"] == "True", 30)
        await lab.until(lambda: any(p["status"].get("reason") == "Evicted" for p in lab.pods("hog")), 30)
        victim = next(p for p in lab.pods("hog") if p["status"].get("reason") == "Evicted")
        assert victim["status"]["message"] == (
            "The node was low on resource: ephemeral-storage. Threshold quantity: 1000000000, available: 488281Ki. "
            "Container web was using 9277343Ki, request is 0, has larger consumption of ephemeral-storage. "
        )
        taints = {t["key"] for t in lab.get("nodes", "node1")["spec"].get("taints") or ()}
        assert "node.kubernetes.io/disk-pressure" in taints
        assert all(p["status"].get("reason") != "Evicted" for p in lab.pods("web"))

    in_lab(scene, [NodeSpec("node1", ephemeral_storage="10G")])


def test_a_runtime_that_is_down_starts_and_stops_nothing() -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment(spec={"replicas": 2})
        await lab.until(lab.is_rolled_out)
        lab.world.node("node1").fail("runtime-down")
        await lab.until(lambda: ready_status(lab, "node1") == "False", 15)
        assert node_condition(lab, "node1", "Ready")["message"] == "container runtime is down"
        assert node_condition(lab, "node1", "Ready")["reason"] == "KubeletNotReady"
        victim = next(p for p in lab.pods() if p["spec"]["nodeName"] == "node1")["metadata"]["name"]
        lab.delete("pods", victim)
        await lab.sleep(20)
        assert lab.cluster.get("pods", "shop", victim) is not None, "nobody can stop its container"
        assert running_on(lab) == ["node2", "node2"]
        await lab.sleep(200)
        message = node_condition(lab, "node1", "Ready")["message"]
        assert message.startswith("[container runtime is down, PLEG is not healthy: pleg was last seen active 3m")
        lab.world.node("node1").recover()
        await lab.until(lambda: lab.cluster.get("pods", "shop", victim) is None, 30)
        await lab.until(lambda: ready_status(lab, "node1") == "True", 15)

    in_lab(scene, 2)


def test_a_node_without_its_network_takes_no_new_pods() -> None:
    async def scene(lab: Lab) -> None:
        lab.world.node("node1").fail("network-unavailable")
        await lab.until(lambda: any(
            t["key"] == "node.kubernetes.io/network-unavailable"
            for t in lab.get("nodes", "node1")["spec"].get("taints") or ()
        ), 20)  # fmt: skip
        assert node_condition(lab, "node1", "NetworkUnavailable")["reason"] == "CalicoIsDown"
        lab.deployment(spec={"replicas": 2})
        await lab.until(lab.is_rolled_out)
        assert running_on(lab) == ["node2", "node2"]
        lab.world.node("node1").recover()
        await lab.until(lambda: "taints" not in lab.get("nodes", "node1")["spec"], 20)
        assert node_condition(lab, "node1", "NetworkUnavailable")["status"] == "False"

    in_lab(scene, 2)


def test_a_container_may_not_run_as_root_where_that_is_forbidden() -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment(pod={"securityContext": {"runAsNonRoot": True, "runAsUser": 0}})

        def waiting() -> Object:
            statuses = lab.pods()[0]["status"].get("containerStatuses") if lab.pods() else None
            found: Object = (statuses or [{}])[0].get("state", {}).get("waiting", {})
            return found

        await lab.until(lambda: waiting().get("reason") == "CreateContainerConfigError")
        assert waiting()["message"].startswith("container's runAsUser breaks non-root policy (pod: \"web-")

    in_lab(scene)


def test_readiness_gates_hold_a_pod_back_until_someone_says_so() -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment(pod={"readinessGates": [{"conditionType": "example.com/warm"}]})
        await lab.until(lambda: lab.pods() and "containerStatuses" in lab.pods()[0]["status"])
        await lab.sleep(5)
        entry = next(c for c in lab.pods()[0]["status"]["conditions"] if c["type"] == "Ready")
        assert (entry["status"], entry["reason"]) == ("False", "ReadinessGatesNotReady")
        name = lab.pods()[0]["metadata"]["name"]
        warm = {"type": "example.com/warm", "status": "True"}
        lab.cluster.mutate(
            "pods", "shop", name, lambda p: p["status"]["conditions"].append(warm), user=PERSON, subresource="status"
        )
        await lab.until(lab.is_rolled_out, 15)

    in_lab(scene)
