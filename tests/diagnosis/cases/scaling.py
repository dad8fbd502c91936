"""Replicas, autoscalers, budgets, quotas, Jobs, load."""

from __future__ import annotations

from typing import Any

from tests.diagnosis.cases import case
from tests.diagnosis.cases.programs import calls, edited
from tests.diagnosis.test_workloads import _counter
from tests.diagnosis.world import World, ago, container


def autoscaler(world: World, name: str, conditions: list[dict[str, str]], **spec: Any) -> dict[str, Any]:
    target = spec.pop("target", name)
    metadata = spec.pop("metadata", {})
    base = {"scaleTargetRef": {"kind": "Deployment", "name": target}, "minReplicas": 1, "maxReplicas": 10}
    for condition in conditions:
        condition.setdefault("lastTransitionTime", ago(400))
    return world.add(
        "HorizontalPodAutoscaler", name, spec={**base, **spec}, status={"conditions": conditions}, metadata=metadata
    )


@case("AutoscalerMisconfigured", "HorizontalPodAutoscaler", "front")
def autoscaler_of_nothing(world: World) -> None:
    world.deployment("front")
    said = 'the HPA controller was unable to get the target\'s current scale: deployments.apps "frontend" not found'
    failed = {"type": "AbleToScale", "status": "False", "reason": "FailedGetScale", "message": said}
    autoscaler(world, "front", [failed], target="frontend")


@case("AutoscalerMisconfigured", "HorizontalPodAutoscaler", "front")
def container_requests_nothing(world: World) -> None:
    world.deployment("front", [container(resources={})])
    said = "the HPA was unable to compute the replica count: failed to get cpu utilization: missing request for cpu in"
    message = f"{said} container app of Pod front-r1-0"
    failed = {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": message}
    autoscaler(world, "front", [failed])


@case("AutoscalerMisconfigured", "HorizontalPodAutoscaler", "front")
def maximum_was_lowered(world: World) -> None:
    world.deployment("front", replicas=2)
    said = "the desired replica count is more than the maximum replica count"
    limited = {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas", "message": said}
    made = autoscaler(world, "front", [limited], maxReplicas=2, metadata=edited("kubectl-edit", 600, "f:spec"))
    world.event(made, "SuccessfulRescale", "New size: 6; reason: cpu resource utilization above target", kind="Normal")


@case("AutoscalerAtMaximum", "HorizontalPodAutoscaler", "front")
def autoscaler_at_its_maximum(world: World) -> None:
    world.deployment("front", replicas=10)
    said = "the desired replica count is more than the maximum replica count"
    limited = {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas", "message": said}
    autoscaler(world, "front", [limited])


@case("DisruptionBudgetBlocksEviction", "PodDisruptionBudget", "front")
def budget_blocks_a_drain(world: World) -> None:
    world.node(
        "node-a",
        spec={"unschedulable": True, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]},
    )
    world.deployment("front", replicas=2)
    status = {"disruptionsAllowed": 0, "expectedPods": 2, "currentHealthy": 2, "desiredHealthy": 2}
    spec = {"minAvailable": "100%", "selector": {"matchLabels": {"app": "front"}}}
    world.add("PodDisruptionBudget", "front", spec=spec, status=status)


def _job(world: World, reason: str, message: str) -> None:
    failed = {"type": "Failed", "status": "True", "reason": reason, "message": message, "lastTransitionTime": ago(100)}
    spec = {"backoffLimit": 3, "activeDeadlineSeconds": 600, "template": {"spec": {"containers": [container()]}}}
    world.add("Job", "import-2041", spec=spec, status={"conditions": [failed], "failed": 1})


@case("JobDeadlineExceeded", "Job", "import-2041")
def job_ran_too_long(world: World) -> None:
    _job(world, "DeadlineExceeded", "Job was active longer than specified deadline")


@case("JobFailed", "Job", "import-2041")
def job_gave_up(world: World) -> None:
    _job(world, "BackoffLimitExceeded", "Job has reached the specified backoff limit")


@case("ScaledToZero", "Deployment", "payments")
def somebody_scaled_it_to_zero(world: World) -> None:
    world.deployment("payments", replicas=0)
    world.service("payments")
    world.deployment("front", calls("http://payments"), replicas=1)


def _refused(world: World, quota_changed: float, workload_changed: float) -> None:
    made = world.deployment("front", replicas=4, failing_pods=1)
    made["metadata"] |= edited("kubectl", workload_changed, "f:spec")
    spec = {"hard": {"limits.memory": "512Mi"}}
    fields = {"creationTimestamp": ago(quota_changed), **edited("kubectl", quota_changed, "f:spec")}
    world.add(
        "ResourceQuota",
        "compute",
        spec=spec,
        status={"hard": spec["hard"], "used": {"limits.memory": "256Mi"}},
        metadata=fields,
    )
    rs = world.snapshot.owned(made, "ReplicaSet")[0]
    said = (
        "exceeded quota: compute, requested: limits.memory=512Mi, used:"
        " limits.memory=256Mi, limited: limits.memory=512Mi"
    )
    world.event(rs, "FailedCreate", f'Error creating: pods "front-x" is forbidden: {said}')


@case("QuotaExceeded", "ResourceQuota", "compute")
def quota_set_too_small(world: World) -> None:
    _refused(world, 300, 90_000)


@case("QuotaExceeded", "Deployment", "front")
def workload_scaled_over_its_quota(world: World) -> None:
    _refused(world, 90_000, 300)


@case("TrafficSpike", "Deployment", "front")
def five_times_the_traffic(world: World) -> None:
    world.deployment("front", replicas=1)
    world.service("front")
    world.series("http_requests_total", _counter([20.0] * 60 + [110.0] * 12), code="200", pod="front-r1-0")
    world.series("http_request_duration_seconds_sum", _counter([1.0] * 60 + [90.0] * 12), pod="front-r1-0")
    world.series("http_request_duration_seconds_count", _counter([20.0] * 60 + [110.0] * 12), pod="front-r1-0")


def _services(world: World, *names: str) -> None:
    for name in names:
        world.deployment(name, replicas=1)
        world.service(name)


@case("CPUHog", "Deployment", "emailservice")
def series_without_labels(world: World) -> None:
    """As RCAEval's tables have them."""
    names = ("adservice", "cartservice", "emailservice", "frontend")
    _services(world, *names)
    noise = [0.01 * ((n * 7) % 5) for n in range(72)]
    for name in names:
        ill = name == "emailservice"
        after = [3.0 if ill else 1.02] * 12
        world.series(f"{name}_cpu", [0.5 * v + n for v, n in zip([1.0] * 60 + after, noise, strict=True)])
        world.series(f"{name}_mem", [100 + n for n in noise])
        slow = 4.0 if ill else 1.8 if name == "frontend" else 1.0
        world.series(
            f"{name}_latency-50", [0.05 * v + n / 50 for v, n in zip([1.0] * 60 + [slow] * 12, noise, strict=True)]
        )


@case("SlowDependency", "Deployment", "geo")
def latency_by_service_label(world: World) -> None:
    names = ("front", "search", "geo")
    _services(world, *names)
    noise = [0.001 * ((n * 7) % 5) for n in range(72)]
    for name, factor in (("front", 2.0), ("search", 3.0), ("geo", 12.0)):
        values = [0.02 * v + n for v, n in zip([1.0] * 60 + [factor] * 12, noise, strict=True)]
        world.series("service_latency_p90", values, service=name)


@case("NodeCordoned", "Node", "archive-1")
def the_only_fitting_nodes_are_cordoned(world: World) -> None:
    world.node("web-1")
    for name in ("archive-1", "archive-2"):
        metadata = {"labels": {"pool": "archive"}, **edited("kubectl-cordon", 300, "f:spec")}
        world.node(name, metadata=metadata, spec={"unschedulable": True})
    world.deployment("archive", replicas=2, failing_pods=1, spec={"nodeSelector": {"pool": "archive"}}, failing={})
    pod = world.pods("archive")[0]
    said = (
        "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 node(s) were unschedulable."
        " preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )
    pod["spec"].pop("nodeName")
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    pod["status"] = {"phase": "Pending", "conditions": [unscheduled]}
    world.event(pod, "FailedScheduling", said)


@case("NodeAffinityMismatch", "Deployment", "archive")
def affinity_that_no_node_fits_though_some_are_cordoned(world: World) -> None:
    world.node("web-1")
    world.node("web-2", metadata={"labels": {"pool": "web"}}, spec={"unschedulable": True})
    expression = {"key": "pool", "operator": "In", "values": ["archive"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    world.deployment("archive", replicas=2, failing_pods=1, spec={"affinity": affinity}, failing={})
    pod = world.pods("archive")[0]
    said = "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable."
    pod["spec"].pop("nodeName")
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    pod["status"] = {"phase": "Pending", "conditions": [unscheduled]}
    world.event(pod, "FailedScheduling", said)


@case("AutoscalerAtMaximum", "HorizontalPodAutoscaler", "tickets")
def a_rush_that_the_autoscaler_may_not_follow(world: World) -> None:
    world.deployment("tickets", replicas=4)
    world.service("tickets")
    said = "the desired replica count is more than the maximum replica count"
    limited = {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas", "message": said}
    autoscaler(world, "tickets", [limited], maxReplicas=4)
    for pod in world.pods("tickets"):
        labels = {"pod": pod["metadata"]["name"]}
        world.series("http_requests_total", _counter([2.5] * 40 + [20.0] * 12), code="200", **labels)
        world.series("http_request_duration_seconds_sum", _counter([0.1] * 40 + [40.0] * 12), **labels)
        world.series("http_request_duration_seconds_count", _counter([2.5] * 40 + [20.0] * 12), **labels)


@case("RolloutPaused", "Deployment", "front")
def paused_before_any_pod_was_updated(world: World) -> None:
    """No ReplicaSet is made for the new template, and the API leaves ``updatedReplicas: 0`` out."""
    front = world.deployment("front")
    paused = {"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused", "message": "is paused"}
    front["spec"] |= {"paused": True, "template": {"metadata": {}, "spec": {"containers": [container(image="app:2")]}}}
    front["status"]["conditions"] = [*front["status"].get("conditions", ()), paused]
    del front["status"]["updatedReplicas"]


@case("InsufficientCPU", "Deployment", "aggregator")
def the_nodes_it_asks_for_are_too_small(world: World) -> None:
    world.node("general-1")
    for name in ("stream-1", "stream-2"):
        world.node(name, metadata={"labels": {"pool": "stream"}})
    wants = container(resources={"requests": {"cpu": "6"}, "limits": {"cpu": "8"}})
    selector = {"nodeSelector": {"pool": "stream"}}
    world.deployment("aggregator", [wants], before=[container()], failing={}, spec=selector)
    pod = world.pods("aggregator", 2)[0]
    said = "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 Insufficient cpu."
    pod["spec"].pop("nodeName")
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    pod["status"] = {"phase": "Pending", "conditions": [unscheduled]}
    world.event(pod, "FailedScheduling", said)
