"""Objects in the names and labels of kube-state-metrics."""

from __future__ import annotations

from typing import Any

import pytest

from healing.sandbox.signals.collect_objects import ObjectCollector

CREATED = "2026-11-23T00:00:00Z"


def meta(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1", "creationTimestamp": CREATED} | more


OBJECTS: dict[str, dict[str, Any]] = {
    "pods": {
        "metadata": meta("web-1"),
        "spec": {
            "nodeName": "n1",
            "restartPolicy": "Always",
            "containers": [{"name": "app", "resources": {"limits": {"memory": "1Gi"}}}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "disk"}}],
        },
        "status": {
            "phase": "Pending",
            "startTime": CREATED,
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
            "initContainerStatuses": [
                {"name": "init", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
            ],
        },
    },
    "persistentvolumeclaims": {
        "metadata": meta("disk"),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fast",
            "resources": {"requests": {"storage": "2Gi"}},
        },
        "status": {"phase": "Pending"},
    },
    "persistentvolumes": {
        "metadata": meta("pv-1", namespace=""),
        "spec": {"capacity": {"storage": "1Gi"}, "claimRef": {"namespace": "shop", "name": "disk"}},
        "status": {"phase": "Bound"},
    },
    "jobs.batch": {
        "metadata": meta("migrate", ownerReferences=[{"kind": "CronJob", "name": "nightly", "controller": True}]),
        "spec": {"completions": 1, "parallelism": 2, "activeDeadlineSeconds": 60},
        "status": {"failed": 2, "startTime": CREATED, "conditions": [{"type": "Failed", "status": "True"}]},
    },
    "horizontalpodautoscalers.autoscaling": {
        "metadata": meta("web"),
        "spec": {
            "maxReplicas": 5,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 70}}}],
        },
        "status": {"conditions": [{"type": "ScalingActive", "status": "False"}]},
    },
    "nodes": {
        "metadata": meta("n1", namespace="", labels={"node-role.kubernetes.io/control-plane": ""}),
        "spec": {"taints": [{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}]},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
    },
}


class Objects:
    """A cluster that holds one object of each kind."""

    def list(self, resource: str, *_: Any) -> list[dict[str, Any]]:
        return [OBJECTS[resource]] if resource in OBJECTS else []


CLAIM = {"namespace": "shop", "persistentvolumeclaim": "disk"}
JOB = {"namespace": "shop", "job_name": "migrate"}
HPA = {"namespace": "shop", "horizontalpodautoscaler": "web"}
POD = {"namespace": "shop", "pod": "web-1", "uid": "web-1"}


@pytest.mark.parametrize(
    ("metric", "labels", "value"),
    [
        ("kube_pod_created", POD, 1795392000.0),
        ("kube_pod_status_unschedulable", POD, 1.0),
        ("kube_pod_status_scheduled", {**POD, "condition": "false"}, 1.0),
        (
            "kube_pod_spec_volumes_persistentvolumeclaims_info",
            {**POD, "volume": "data", "persistentvolumeclaim": "disk"},
            1,
        ),
        ("kube_pod_init_container_status_restarts_total", {**POD, "container": "init"}, 3.0),
        (
            "kube_pod_init_container_status_waiting_reason",
            {**POD, "container": "init", "reason": "CrashLoopBackOff"},
            1.0,
        ),
        (
            "kube_pod_container_resource_limits",
            {**POD, "container": "app", "node": "n1", "resource": "memory", "unit": "byte"},
            2.0**30,
        ),
        ("kube_persistentvolumeclaim_status_phase", {**CLAIM, "phase": "Pending"}, 1.0),
        ("kube_persistentvolumeclaim_info", {**CLAIM, "storageclass": "fast", "volumemode": "Filesystem"}, 1.0),
        ("kube_persistentvolumeclaim_resource_requests_storage_bytes", CLAIM, 2.0**31),
        ("kube_persistentvolume_status_phase", {"persistentvolume": "pv-1", "phase": "Bound"}, 1.0),
        ("kube_persistentvolume_capacity_bytes", {"persistentvolume": "pv-1"}, 2.0**30),
        ("kube_job_failed", {**JOB, "condition": "true"}, 1.0),
        ("kube_job_status_failed", JOB, 2.0),
        ("kube_job_spec_active_deadline_seconds", JOB, 60.0),
        (
            "kube_job_owner",
            {**JOB, "owner_kind": "CronJob", "owner_name": "nightly", "owner_is_controller": "true"},
            1.0,
        ),
        (
            "kube_horizontalpodautoscaler_status_condition",
            {**HPA, "condition": "ScalingActive", "status": "false"},
            1.0,
        ),
        (
            "kube_horizontalpodautoscaler_spec_target_metric",
            {**HPA, "metric_name": "cpu", "metric_target_type": "utilization"},
            70.0,
        ),
        ("kube_node_spec_taint", {"node": "n1", "key": "dedicated", "value": "gpu", "effect": "NoSchedule"}, 1.0),
        ("kube_node_role", {"node": "n1", "role": "control-plane"}, 1.0),
        ("kube_node_status_condition", {"node": "n1", "condition": "Ready", "status": "unknown"}, 1.0),
    ],
)
def test_metric(metric: str, labels: dict[str, str], value: float) -> None:
    cluster: Any = Objects()
    found = {
        tuple(pair for pair in key if pair[0] not in ("instance", "job")): number
        for key, number in ObjectCollector(cluster).collect()
    }
    assert found[tuple(sorted({"__name__": metric, **labels}.items()))] == value
