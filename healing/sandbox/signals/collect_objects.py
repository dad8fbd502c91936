"""What kube-state-metrics says about the cluster's objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from healing.sandbox.ports import Cluster, Object
from healing.sandbox.signals import collect_more_objects as more
from healing.sandbox.signals.collect_nodes import Samples, cpu, memory, node_address
from healing.sandbox.signals.tsdb import make_labels

_TARGET = (("instance", "10.42.0.3:8080"), ("job", "kube-state-metrics"))
Emit = Callable[..., None]
_PHASES = ("Failed", "Pending", "Running", "Succeeded", "Unknown")
_POD_REASONS = ("Evicted", "NodeAffinity", "NodeLost", "Shutdown", "UnexpectedAdmissionError")


class ObjectCollector:
    """Samples of all objects. Objects that have not changed since the last scrape are not looked at again."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, tuple[str, Samples]] = {}

    def collect(self) -> Samples:
        samples: Samples = []
        known: dict[str, tuple[str, Samples]] = {}
        for resource, collector in _COLLECTORS.items():
            for found in self._cluster.list(resource):
                meta = found["metadata"]
                key, version = meta["uid"], meta["resourceVersion"]
                entry = self._known.get(key)
                if entry is None or entry[0] != version:
                    entry = (version, _samples_of(collector, found))
                known[key] = entry
                samples.extend(entry[1])
        self._known = known
        return samples


def _samples_of(collector: Callable[[Emit, Object], None], found: Object) -> Samples:
    samples: Samples = []

    def emit(name: str, value: float, /, **labels: str) -> None:
        samples.append((make_labels(name, (*_TARGET, *labels.items())), float(value)))

    collector(emit, found)
    return samples


def _where(found: Object, kind: str) -> dict[str, str]:
    return {"namespace": found["metadata"].get("namespace", ""), kind: found["metadata"]["name"]}


def _pod(emit: Emit, pod: Object) -> None:
    meta, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    base = _where(pod, "pod") | {"uid": meta.get("uid", "")}
    node = spec.get("nodeName", "")
    owner: dict[str, Any] = next((ref for ref in meta.get("ownerReferences") or () if ref.get("controller")), {})
    kind, owner_name = owner.get("kind", "<none>"), owner.get("name", "<none>")
    emit(
        "kube_pod_info", 1, **base, node=node, pod_ip=status.get("podIP", ""), host_ip=status.get("hostIP", ""),
        created_by_kind=kind, created_by_name=owner_name,
    )  # fmt: skip
    emit("kube_pod_owner", 1, **base, owner_kind=kind, owner_name=owner_name)
    labels = {
        "label_" + "".join(c if c.isalnum() else "_" for c in name): value
        for name, value in (meta.get("labels") or {}).items()
    }
    emit("kube_pod_labels", 1, **(base | labels))
    phase = status.get("phase", "Pending")
    for name in _PHASES:
        emit("kube_pod_status_phase", name == phase, **base, phase=name)
    for name in _POD_REASONS:
        emit("kube_pod_status_reason", status.get("reason") == name, **base, reason=name)
    more.created(emit, "kube_pod_created", pod, base)
    started = more.seconds(status.get("startTime"))
    if started is not None:
        emit("kube_pod_start_time", started, **base)
    deleted = more.seconds(meta.get("deletionTimestamp"))
    if deleted is not None:
        emit("kube_pod_deletion_timestamp", deleted, **base)
    emit("kube_pod_restart_policy", 1, **base, type=spec.get("restartPolicy", "Always"))
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    for name in ("true", "false", "unknown"):
        scheduled = conditions.get("PodScheduled", "False").lower() == name
        emit("kube_pod_status_scheduled", scheduled, **base, condition=name)
    if any(c.get("reason") == "Unschedulable" for c in status.get("conditions") or ()):
        emit("kube_pod_status_unschedulable", 1, **base)
    for volume in spec.get("volumes") or ():
        if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
            labels = {"volume": volume["name"], "persistentvolumeclaim": claim}
            emit("kube_pod_spec_volumes_persistentvolumeclaims_info", 1, **base, **labels)
    for name in ("true", "false", "unknown"):
        emit("kube_pod_status_ready", conditions.get("Ready", "False").lower() == name, **base, condition=name)
    for container in spec.get("containers") or ():
        _resources(emit, container, base | {"container": container["name"], "node": node})
    for entry in status.get("containerStatuses") or ():
        _container(emit, entry, base | {"container": entry["name"]})
    for entry in status.get("initContainerStatuses") or ():
        _container(emit, entry, base | {"container": entry["name"]}, prefix="kube_pod_init_container")


def _resources(emit: Emit, container: Object, base: dict[str, str]) -> None:
    resources = container.get("resources") or {}
    for field in ("limits", "requests"):
        for name, text in (resources.get(field) or {}).items():
            if name == "cpu":
                emit(f"kube_pod_container_resource_{field}", cpu(text), **base, resource="cpu", unit="core")
            elif name in ("memory", "ephemeral-storage"):
                resource = name.replace("-", "_")
                emit(f"kube_pod_container_resource_{field}", memory(text), **base, resource=resource, unit="byte")


def _container(emit: Emit, entry: Object, base: dict[str, str], prefix: str = "kube_pod_container") -> None:
    state, last = entry.get("state") or {}, entry.get("lastState") or {}
    emit(
        f"{prefix}_info", 1, **base, image=entry.get("image", ""), image_id=entry.get("imageID", ""),
        container_id=entry.get("containerID", ""),
    )  # fmt: skip
    emit(f"{prefix}_status_restarts_total", entry.get("restartCount", 0), **base)
    emit(f"{prefix}_status_ready", bool(entry.get("ready")), **base)
    for name in ("running", "waiting", "terminated"):
        emit(f"{prefix}_status_{name}", name in state, **base)
    if "waiting" in state:
        emit(f"{prefix}_status_waiting_reason", 1, **base, reason=state["waiting"].get("reason", ""))
    if "terminated" in state:
        emit(f"{prefix}_status_terminated_reason", 1, **base, reason=state["terminated"].get("reason", ""))
    if "terminated" in last:
        ended = last["terminated"]
        emit(f"{prefix}_status_last_terminated_reason", 1, **base, reason=ended.get("reason", ""))
        emit(f"{prefix}_status_last_terminated_exitcode", ended.get("exitCode", 0), **base)


def _deployment(emit: Emit, found: Object) -> None:
    base, spec, status = _where(found, "deployment"), found.get("spec", {}), found.get("status", {})
    emit("kube_deployment_spec_replicas", spec.get("replicas", 1), **base)
    more.created(emit, "kube_deployment_created", found, base)
    emit("kube_deployment_spec_paused", bool(spec.get("paused")), **base)
    emit("kube_deployment_metadata_generation", found["metadata"].get("generation", 0), **base)
    emit("kube_deployment_status_observed_generation", status.get("observedGeneration", 0), **base)
    emit("kube_deployment_status_replicas", status.get("replicas", 0), **base)
    for name in ("ready", "available", "unavailable", "updated"):
        emit(f"kube_deployment_status_replicas_{name}", status.get(f"{name}Replicas", 0), **base)
    _conditions(emit, "kube_deployment_status_condition", status, base)


def _conditions(emit: Emit, metric: str, status: Object, base: dict[str, str]) -> None:
    for condition in status.get("conditions") or ():
        for name in ("true", "false", "unknown"):
            emit(metric, condition["status"].lower() == name, **base, condition=condition["type"], status=name)


def _replicaset(emit: Emit, found: Object) -> None:
    base, status = _where(found, "replicaset"), found.get("status", {})
    emit("kube_replicaset_spec_replicas", found.get("spec", {}).get("replicas", 0), **base)
    emit("kube_replicaset_status_ready_replicas", status.get("readyReplicas", 0), **base)
    for owner in found["metadata"].get("ownerReferences") or ():
        emit("kube_replicaset_owner", 1, **base, owner_kind=owner["kind"], owner_name=owner["name"])


def _statefulset(emit: Emit, found: Object) -> None:
    base = _where(found, "statefulset")
    emit("kube_statefulset_replicas", found.get("spec", {}).get("replicas", 1), **base)
    status = found.get("status", {})
    more.created(emit, "kube_statefulset_created", found, base)
    emit("kube_statefulset_metadata_generation", found["metadata"].get("generation", 0), **base)
    emit("kube_statefulset_status_observed_generation", status.get("observedGeneration", 0), **base)
    emit("kube_statefulset_status_replicas", status.get("replicas", 0), **base)
    for name in ("ready", "available", "current", "updated"):
        emit(f"kube_statefulset_status_replicas_{name}", status.get(f"{name}Replicas", 0), **base)
    for name in ("current", "update"):
        if revision := status.get(f"{name}Revision"):
            emit(f"kube_statefulset_status_{name}_revision", 1, **base, revision=revision)


def _daemonset(emit: Emit, found: Object) -> None:
    base, status = _where(found, "daemonset"), found.get("status", {})
    emit("kube_daemonset_status_desired_number_scheduled", status.get("desiredNumberScheduled", 0), **base)
    for field, name in (
        ("currentNumberScheduled", "current_number_scheduled"), ("numberMisscheduled", "number_misscheduled"),
        ("numberReady", "number_ready"), ("numberAvailable", "number_available"),
        ("numberUnavailable", "number_unavailable"), ("updatedNumberScheduled", "updated_number_scheduled"),
        ("observedGeneration", "observed_generation"),
    ):  # fmt: skip
        emit(f"kube_daemonset_status_{name}", status.get(field, 0), **base)
    emit("kube_daemonset_metadata_generation", found["metadata"].get("generation", 0), **base)


def _job(emit: Emit, found: Object) -> None:
    base, status = _where(found, "job_name"), found.get("status", {})
    for name in ("failed", "succeeded", "active"):
        emit(f"kube_job_status_{name}", status.get(name, 0), **base)
    more.job(emit, found)


def _node(emit: Emit, node: Object) -> None:
    name, status = node["metadata"]["name"], node.get("status", {})
    emit("kube_node_info", 1, node=name, internal_ip=node_address(node))
    more.created(emit, "kube_node_created", node, {"node": name})
    for taint in node.get("spec", {}).get("taints") or ():
        labels = {"key": taint["key"], "value": taint.get("value", ""), "effect": taint["effect"]}
        emit("kube_node_spec_taint", 1, node=name, **labels)
    for label in node["metadata"].get("labels") or {}:
        if label.startswith("node-role.kubernetes.io/"):
            emit("kube_node_role", 1, node=name, role=label.partition("/")[2])
    emit("kube_node_spec_unschedulable", bool(node.get("spec", {}).get("unschedulable")), node=name)
    _conditions(emit, "kube_node_status_condition", status, {"node": name})
    for field in ("allocatable", "capacity"):
        for resource, text in (status.get(field) or {}).items():
            value, unit = (cpu(text), "core") if resource == "cpu" else (memory(text), "byte")
            unit = "integer" if resource == "pods" else unit
            emit(f"kube_node_status_{field}", value, node=name, resource=resource.replace("-", "_"), unit=unit)


def _quota(emit: Emit, found: Object) -> None:
    base, status = _where(found, "resourcequota"), found.get("status", {})
    for kind in ("hard", "used"):
        for resource, text in (status.get(kind) or {}).items():
            value = cpu(text) if resource.endswith("cpu") else memory(text)
            emit("kube_resourcequota", value, **base, resource=resource, type=kind)


def _service(emit: Emit, found: Object) -> None:
    base = _where(found, "service")
    kind = found.get("spec", {}).get("type", "ClusterIP")
    more.created(emit, "kube_service_created", found, base)
    emit("kube_service_spec_type", 1, **base, type=kind)
    emit("kube_service_info", 1, **base, cluster_ip=str(found.get("spec", {}).get("clusterIP", "")))


def _slice(emit: Emit, found: Object) -> None:
    name = (found["metadata"].get("labels") or {}).get("kubernetes.io/service-name", found["metadata"]["name"])
    base = {"namespace": found["metadata"].get("namespace", ""), "endpoint": name}
    ready = [bool((entry.get("conditions") or {}).get("ready")) for entry in found.get("endpoints") or ()]
    emit("kube_endpoint_address_available", sum(ready), **base, endpointslice=found["metadata"]["name"])
    emit("kube_endpoint_address_not_ready", len(ready) - sum(ready), **base, endpointslice=found["metadata"]["name"])


def _pdb(emit: Emit, found: Object) -> None:
    base, status = _where(found, "poddisruptionbudget"), found.get("status", {})
    emit("kube_poddisruptionbudget_status_pod_disruptions_allowed", status.get("disruptionsAllowed", 0), **base)
    for field, name in (
        ("currentHealthy", "current_healthy"), ("desiredHealthy", "desired_healthy"), ("expectedPods", "expected_pods"),
        ("observedGeneration", "observed_generation"),
    ):  # fmt: skip
        emit(f"kube_poddisruptionbudget_status_{name}", status.get(field, 0), **base)


def _hpa(emit: Emit, found: Object) -> None:
    base, spec = _where(found, "horizontalpodautoscaler"), found.get("spec", {})
    status: dict[str, Any] = found.get("status", {})
    more.autoscaler(emit, found)
    emit("kube_horizontalpodautoscaler_spec_max_replicas", spec.get("maxReplicas", 0), **base)
    emit("kube_horizontalpodautoscaler_spec_min_replicas", spec.get("minReplicas", 1), **base)
    emit("kube_horizontalpodautoscaler_status_current_replicas", status.get("currentReplicas", 0), **base)
    emit("kube_horizontalpodautoscaler_status_desired_replicas", status.get("desiredReplicas", 0), **base)


_COLLECTORS: dict[str, Callable[[Emit, Object], None]] = {
    "pods": _pod,
    "deployments.apps": _deployment,
    "replicasets.apps": _replicaset,
    "statefulsets.apps": _statefulset,
    "daemonsets.apps": _daemonset,
    "jobs.batch": _job,
    "nodes": _node,
    "resourcequotas": _quota,
    "services": _service,
    "endpointslices.discovery.k8s.io": _slice,
    "poddisruptionbudgets.policy": _pdb,
    "horizontalpodautoscalers.autoscaling": _hpa,
    **more.MORE_COLLECTORS,
}
