"""Reading live objects for plans: workloads, their pods and what else has a say in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from healing.actions import labels
from healing.actions.base import CannotPlan
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import Forbidden, NotFound

#: Kinds with a pod template that we can change.
WORKLOAD_KINDS = frozenset({"Deployment", "StatefulSet", "DaemonSet"})

#: Conditions of a node under which it is not fit to run pods, although it says that it is ready.
UNFIT_CONDITIONS = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")

#: Put on a Deployment whose rollout we paused; its value is the event.
PAUSED_BY = "recist.io/paused-by"


def get(cluster: Cluster, ref: ObjectRef, *, timeout_seconds: float) -> Object:
    """The live object; `CannotPlan` when it has gone or is another one of the same name."""
    try:
        obj = cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
    except NotFound as error:
        raise CannotPlan(f"{ref} does not exist.") from error
    if ref.uid and obj["metadata"].get("uid") != ref.uid:
        raise CannotPlan(f"{ref} was deleted and made anew; this is about the former one.")
    if "deletionTimestamp" in obj["metadata"]:
        raise CannotPlan(f"{ref} is being deleted.")
    return obj


def list_if_allowed(
    cluster: Cluster,
    kind: str,
    namespace: str,
    *,
    label_selector: str = "",
    field_selector: str = "",
    timeout_seconds: float,
) -> list[Object] | None:
    """The objects; none where the cluster does not know the kind; None where we may not look."""
    try:
        return cluster.list(
            kind,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
        ).items
    except NotFound:
        return []
    except Forbidden:
        return None


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet with its counters under common names."""

    obj: Object
    ref: ObjectRef

    @classmethod
    def read(cls, cluster: Cluster, ref: ObjectRef, *, timeout_seconds: float) -> Workload:
        """Raises `CannotPlan`."""
        if ref.kind not in WORKLOAD_KINDS:
            raise CannotPlan(f"{ref} is not a Deployment, StatefulSet or DaemonSet.")
        return cls.of(get(cluster, ref, timeout_seconds=timeout_seconds), ref.kind)

    @classmethod
    def of(cls, obj: Object, kind: str = "") -> Workload:
        """Of an object read already."""
        return cls(obj, ObjectRef.of(obj, kind))

    @property
    def _status(self) -> dict[str, Any]:
        return self.obj.get("status") or {}

    @property
    def generation(self) -> int:
        return int(self.obj["metadata"].get("generation", 0))

    @property
    def is_observed(self) -> bool:
        """Whether the controller has seen the newest spec."""
        return int(self._status.get("observedGeneration", 0)) >= self.generation

    @property
    def desired(self) -> int:
        if self.ref.kind == "DaemonSet":
            return int(self._status.get("desiredNumberScheduled", 0))
        replicas = self.obj["spec"].get("replicas")
        return 1 if replicas is None else int(replicas)

    def _count(self, name: str, daemon_set_name: str) -> int:
        return int(self._status.get(daemon_set_name if self.ref.kind == "DaemonSet" else name) or 0)

    @property
    def total(self) -> int:
        """Pods that exist, of any revision."""
        return self._count("replicas", "currentNumberScheduled")

    @property
    def updated(self) -> int:
        return self._count("updatedReplicas", "updatedNumberScheduled")

    @property
    def ready(self) -> int:
        return self._count("readyReplicas", "numberReady")

    @property
    def available(self) -> int:
        return self._count("availableReplicas", "numberAvailable")

    @property
    def template(self) -> dict[str, Any]:
        template: dict[str, Any] = self.obj["spec"]["template"]
        return template

    @property
    def selector(self) -> dict[str, Any]:
        return self.obj["spec"].get("selector") or {}

    @property
    def is_paused(self) -> bool:
        return bool(self.obj["spec"].get("paused"))

    @property
    def paused_by_event(self) -> str:
        """The event that paused the rollout; empty: not paused, or by somebody else."""
        by = (self.obj["metadata"].get("annotations") or {}).get(PAUSED_BY, "")
        return by if self.is_paused else ""

    @property
    def is_complete(self) -> bool:
        """Every pod is of the newest revision and available, and no other one is left."""
        return (
            self.is_observed
            and not self.is_paused
            and self.updated >= self.desired
            and self.available >= self.desired
            and self.ready >= self.desired
            and (self.ref.kind == "DaemonSet" or self.total <= self.desired)
        )

    def ready_while_rolling(self) -> int:
        """How many ready replicas surely remain while its pods are replaced one after another."""
        ready = self.ready
        spec = self.obj["spec"]
        if self.ref.kind == "Deployment":
            strategy = spec.get("strategy") or {}
            if strategy.get("type") == "Recreate":
                return 0
            unavailable = share((strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%"), self.desired)
            surge = share((strategy.get("rollingUpdate") or {}).get("maxSurge", "25%"), self.desired, up=True)
            if unavailable == 0 and surge == 0:
                unavailable = 1  # Kubernetes' own rule: otherwise nothing could move
            return max(0, min(ready, self.desired - unavailable))
        strategy = spec.get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return ready
        unavailable = share((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1), self.desired) or 1
        if spec.get("podManagementPolicy") == "Parallel":
            return max(0, ready - unavailable)
        # What is unavailable already counts: a DaemonSet's controller replaces that first, and a StatefulSet's waits
        # for it before it takes another.
        return max(0, min(ready, self.desired - unavailable))

    def container(self, name: str) -> dict[str, Any]:
        """The container's spec; `CannotPlan` if there is none of that name. An empty name is the only container."""
        containers = self.template["spec"]["containers"]
        found = [c for c in containers if not name or c["name"] == name]
        if not found or (not name and len(found) > 1):
            names = ", ".join(c["name"] for c in containers)
            raise CannotPlan(f"{self.ref} has no container {name!r}; it has {names}.")
        return dict(found[0])

    def pods(self, cluster: Cluster, *, timeout_seconds: float) -> list[Object]:
        """Its pods (of all revisions) that are not being deleted."""
        return [
            pod
            for pod in cluster.list(
                "Pod",
                self.ref.namespace,
                label_selector=labels.as_query(self.selector),
                timeout_seconds=timeout_seconds,
            ).items
            if "deletionTimestamp" not in pod["metadata"] and controller_of(pod) is not None
        ]


def share(value: Any, of: int, *, up: bool = False) -> int:
    """A count, or a percentage of ``of`` rounded down, or ``up``: as rollouts read ``maxSurge`` and the like."""
    if isinstance(value, str) and value.endswith("%"):
        exact = of * float(value[:-1]) / 100
        return math.ceil(exact) if up else math.floor(exact)
    return int(value)


def controller_of(obj: Mapping[str, Any]) -> ObjectRef | None:
    """The owner that controls it, with the object's own namespace."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            ref = ObjectRef.from_json(owner)
            return ObjectRef(ref.kind, obj["metadata"].get("namespace", ""), ref.name, ref.uid)
    return None


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod's Ready condition is True and it is not on its way out."""
    return "deletionTimestamp" not in pod["metadata"] and condition(pod, "Ready") == "True"


def condition(obj: Mapping[str, Any], type_: str) -> str:
    """The status of a condition: True, False, Unknown, or empty when it is not there."""
    for item in (obj.get("status") or {}).get("conditions") or ():
        if item["type"] == type_:
            return str(item["status"])
    return ""


def unfit(node: Mapping[str, Any]) -> list[str]:
    """Why a node is not fit to run pods, in its own conditions' words; empty: it is. Cordons do not count."""
    if condition(node, "Ready") != "True":
        return ["not ready"]
    return [name for name in UNFIT_CONDITIONS if condition(node, name) == "True"]


def container_statuses(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of init and main containers."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def waiting_reasons(pods: Iterable[Mapping[str, Any]]) -> set[str]:
    """Reasons why containers wait, such as ``CrashLoopBackOff``; not those of a pod that just starts."""
    usual = {"ContainerCreating", "PodInitializing", ""}
    return {
        str((status.get("state") or {}).get("waiting", {}).get("reason", ""))
        for pod in pods
        for status in container_statuses(pod)
    } - usual


def failing_reasons(pod: Mapping[str, Any]) -> set[str]:
    """Why a pod that is not ready does not get there: what its containers wait for, or how they ended last. Empty for
    one that is ready or just starts."""
    if is_ready(pod):
        return set()
    ends = {
        str(end.get("reason") or f"exit code {end.get('exitCode')}")
        for status in container_statuses(pod)
        if int(status.get("restartCount") or 0)
        for end in [(status.get("lastState") or {}).get("terminated") or {}]
        if end and end.get("exitCode") != 0
    }
    return waiting_reasons([pod]) | ends


def workload_of_pod(cluster: Cluster, pod: Object, *, timeout_seconds: float) -> Workload | None:
    """The workload behind a pod, through its ReplicaSet where there is one."""
    owner = controller_of(pod)
    if owner is not None and owner.kind == "ReplicaSet":
        try:
            replica_set = cluster.get(owner.kind, owner.namespace, owner.name, timeout_seconds=timeout_seconds)
        except NotFound:
            return None
        owner = controller_of(replica_set)
    if owner is None or owner.kind not in WORKLOAD_KINDS:
        return None
    try:
        return Workload.read(cluster, owner, timeout_seconds=timeout_seconds)
    except CannotPlan:
        return None
