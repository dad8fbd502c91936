"""Nodes and the control plane."""

from __future__ import annotations

from typing import Any

from tests.diagnosis.cases import case
from tests.diagnosis.test_workloads import _counter
from tests.diagnosis.world import World, ago, container, waiting


def lost(world: World, node: str, **condition: Any) -> None:
    base = {"type": "Ready", "status": "False", "lastTransitionTime": ago(200), "lastHeartbeatTime": ago(20)}
    world.node(node, status={"conditions": [{**base, **condition}]})
    world.node("node-z")
    status = {"state": {"running": {"startedAt": ago(3000)}}, "ready": True, "restartCount": 0}
    for name in ("cart", "prices"):
        world.deployment(name, replicas=1, failing=status, node=node)


@case("ContainerRuntimeDown", "Node", "node-a")
def container_runtime_is_down(world: World) -> None:
    lost(world, "node-a", reason="KubeletNotReady", message="container runtime is down")


@case("ContainerRuntimeDown", "Node", "node-a")
def pleg_is_not_healthy(world: World) -> None:
    said = "PLEG is not healthy: pleg was last seen active 3m5.2s ago; threshold is 3m0s"
    lost(world, "node-a", reason="KubeletNotReady", message=said)


@case("NodeNetworkUnavailable", "Node", "node-a")
def cni_is_not_initialized(world: World) -> None:
    said = (
        "container runtime network not ready: NetworkReady=false"
        " reason:NetworkPluginNotReady message:Network plugin returns"
        " error: cni plugin not initialized"
    )
    lost(world, "node-a", reason="KubeletNotReady", message=said)


@case("NodeNotReady", "Node", "node-a")
def kubelet_stopped(world: World) -> None:
    said = "Kubelet stopped posting node status."
    lost(world, "node-a", status="Unknown", reason="NodeStatusUnknown", message=said)


@case("NodeMemoryPressure", "Node", "node-a")
def node_evicts_for_memory(world: World) -> None:
    world.node("node-a")
    world.deployment("cart", replicas=1)
    pod = world.pods("cart")[0]
    for number in range(3):
        gone = {**pod, "metadata": {**pod["metadata"], "name": f"cart-r1-{number + 5}", "uid": f"gone-{number}"}}
        said = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 20Mi. "
        gone["status"] = {
            "phase": "Failed",
            "reason": "Evicted",
            "message": said,
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": ago(150)}],
        }
        world.snapshot.add(gone)


@case("ClockSkew", "Node", "node-b")
def clock_of_a_node_is_off(world: World) -> None:
    for node in ("node-a", "node-b"):
        world.node(node)
        off = 312.0 if node == "node-b" else 0.001
        world.series("node_timex_offset_seconds", [off] * 20, node=node)
    world.deployment("cart", replicas=1, node="node-b")


@case("ClockSkew", "Node", "node-b")
def programs_of_a_node_refuse_tokens(world: World) -> None:
    for node in ("node-a", "node-b"):
        world.node(node)
    for name in ("cart", "prices"):
        world.deployment(name, replicas=1, node="node-b")
        line = "2026-05-04T09:59:{:02d}Z ERROR 401 Unauthorized: token used before issued"
        world.log_lines(name, line, range(20, 58, 5))
    world.deployment("front", replicas=1, node="node-a")


def _system_pod(world: World, name: str, *, ready: bool, node: str = "node-a", **labels: str) -> None:
    status = {"state": {"running": {"startedAt": ago(9000)}}, "ready": ready, "restartCount": 0}
    if not ready:
        status = waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container", restartCount=9)
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": ago(400), "message": "not ready"}]
    world.add(
        "Pod",
        name,
        "kube-system",
        metadata={"labels": labels, "ownerReferences": [{"kind": "Node", "name": node, "controller": True}]},
        spec={"nodeName": node, "containers": [{"name": name.rsplit("-", 2)[0]}]},
        status={
            "phase": "Running",
            "conditions": conditions,
            "containerStatuses": [{"name": name.rsplit("-", 2)[0], **status}],
        },
    )


@case("SchedulerDown", "Pod", "kube-scheduler-node-a")
def scheduler_crashes(world: World) -> None:
    world.node("node-a")
    _system_pod(world, "kube-scheduler-node-a", ready=False, component="kube-scheduler")
    world.deployment("cart", failing=waiting(""), replicas=2)
    for pod in world.pods("cart"):
        pod["spec"].pop("nodeName")
        pod["status"] = {"phase": "Pending"}


@case("ControllerManagerDown", "Pod", "kube-controller-manager-node-a")
def controller_manager_crashes(world: World) -> None:
    world.node("node-a")
    _system_pod(world, "kube-controller-manager-node-a", ready=False, component="kube-controller-manager")
    made = world.deployment("cart")
    made["metadata"]["generation"] = 5
    made["metadata"]["managedFields"] = [{"manager": "kubectl", "time": ago(500), "fieldsV1": {"f:spec": {}}}]


@case("ControllerManagerDown", "Lease", "kube-controller-manager")
def controller_manager_of_a_managed_cluster(world: World) -> None:
    world.node("node-a")
    for name, seconds in (("kube-scheduler", 1), ("kube-controller-manager", 900)):
        world.add("Lease", name, "kube-system", spec={"holderIdentity": "cp-1", "renewTime": ago(seconds)})
    for name in ("cart", "prices"):
        made = world.deployment(name)
        made["metadata"]["generation"] = 5
        made["metadata"]["managedFields"] = [{"manager": "kubectl", "time": ago(500), "fieldsV1": {"f:spec": {}}}]


@case("KubeProxyDown", "Node", "node-b")
def kube_proxy_crashes_on_a_node(world: World) -> None:
    own = [{"kind": "DaemonSet", "name": "kube-proxy", "controller": True}]
    world.add("DaemonSet", "kube-proxy", "kube-system", spec={}, status={"desiredNumberScheduled": 3, "numberReady": 2})
    for node in ("node-a", "node-b", "node-c"):
        world.node(node)
        _system_pod(world, f"kube-proxy-{node}", ready=node != "node-b", node=node, **{"k8s-app": "kube-proxy"})
        pod = world.snapshot.get("Pod", "kube-system", f"kube-proxy-{node}")
        assert pod is not None
        pod["metadata"]["ownerReferences"] = own
        world.snapshot.add(pod)
    world.deployment("db", replicas=1, node="node-a")
    world.service("db")
    env = [{"name": "DB_URL", "value": "http://db"}]
    world.deployment("cart", [container(env=env)], replicas=1, node="node-b")
    line = "2026-05-04T09:59:{:02d}Z ERROR Get http://db/: dial tcp db:80: i/o timeout"
    world.log_lines("cart", line, range(20, 58, 5))


@case("FaultyNode", "Node", "node-a")
def file_system_of_a_node_is_read_only(world: World) -> None:
    conditions = [
        {"type": "Ready", "status": "True"},
        {
            "type": "ReadonlyFilesystem",
            "status": "True",
            "reason": "FilesystemIsReadOnly",
            "lastTransitionTime": ago(300),
        },
    ]
    world.node("node-a", status={"conditions": conditions})
    world.series("node_load1", _counter([0.1] * 10), node="node-a")
