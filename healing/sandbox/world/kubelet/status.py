"""A pod's status as its kubelet reports it. Pure functions of the containers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from healing.sandbox.ports import Object
from healing.sandbox.world import quantities
from healing.sandbox.world.context import format_time
from healing.sandbox.world.kubelet.container import Container, full_image_name

#: conditions the kubelet owns, in its order
OWN = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@dataclass(slots=True)
class PodFacts:
    """What the status is made of besides the pod object."""

    init: Sequence[Container]
    main: Sequence[Container]
    host_ip: str
    #: empty until a container of the pod was tried
    pod_ip: str
    started_at: float
    has_sandbox: bool
    #: all containers were stopped for good (deletion, eviction)
    is_over: bool = False
    #: phase, reason and message of an eviction or a refused admission
    verdict: tuple[str, str, str] | None = None


def phase_of(pod: Object, facts: PodFacts) -> str:
    if facts.verdict is not None and facts.is_over:
        return facts.verdict[0]
    policy = pod["spec"].get("restartPolicy", "Always")
    main = facts.main
    if facts.is_over:
        every = [*facts.init, *main]
        return "Failed" if any(not c.succeeded for c in every if not (c.is_init and c.is_sidecar)) else "Succeeded"
    if initialization_pending(pod, facts):
        failed = any(c.state == "terminated" and not c.succeeded and not c.is_sidecar for c in facts.init)
        return "Failed" if policy == "Never" and failed else "Pending"
    if any(c.state == "waiting" and c.last_terminated is None for c in main):
        return "Pending"
    if any(c.running for c in main):
        return "Running"
    if policy == "Always" or not main:
        return "Running"
    if all(c.succeeded for c in main):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def initialization_pending(pod: Object, facts: PodFacts) -> bool:
    return bool(_incomplete(facts))


def _incomplete(facts: PodFacts) -> list[str]:
    """Init containers that are not through: unfinished, or sidecars that have not started."""
    if any(c.ever_started for c in facts.main):
        return []
    return [c.name for c in facts.init if not (c.started if c.is_sidecar else c.succeeded)]


def build(pod: Object, facts: PodFacts, now: float) -> Object:
    """The status; conditions keep their transition times from the pod's present status."""
    spec, old = pod["spec"], pod.get("status") or {}
    phase = phase_of(pod, facts)
    # A pod that came to its end by itself is over once its sandbox is torn down.
    shown = "Running" if phase in ("Succeeded", "Failed") and facts.has_sandbox and not facts.is_over else phase
    status: Object = {
        "observedGeneration": pod["metadata"].get("generation", 1),
        "phase": shown,
        "conditions": _conditions(pod, facts, phase, now),
    }
    if facts.verdict is not None and facts.is_over:
        status["reason"], status["message"] = facts.verdict[1:]
    status["hostIP"], status["hostIPs"] = facts.host_ip, [{"ip": facts.host_ip}]
    if facts.pod_ip:
        status["podIP"], status["podIPs"] = facts.pod_ip, [{"ip": facts.pod_ip}]
    status["startTime"] = format_time(facts.started_at)
    if facts.init:
        status["initContainerStatuses"] = [_container_status(c, facts) for c in facts.init]
    status["containerStatuses"] = [_container_status(c, facts) for c in facts.main]
    status["qosClass"] = old.get("qosClass") or qos_class(spec)
    requests, limits = _sums(spec, "requests"), _sums(spec, "limits")
    if requests:
        status["allocatedResources"] = requests
    status["resources"] = {k: v for k, v in (("limits", limits), ("requests", requests)) if v}
    return {**{k: v for k, v in old.items() if k not in _OWNED}, **status}


_OWNED = frozenset({
    "observedGeneration", "phase", "conditions", "reason", "message", "hostIP", "hostIPs", "podIP", "podIPs",
    "startTime", "initContainerStatuses", "containerStatuses", "qosClass", "allocatedResources", "resources",
})  # fmt: skip


def _conditions(pod: Object, facts: PodFacts, phase: str, now: float) -> list[Object]:
    generation = pod["metadata"].get("generation", 1)
    old = {c["type"]: c for c in (pod.get("status") or {}).get("conditions") or ()}
    unready = [c.name for c in [*(c for c in facts.init if c.is_sidecar), *facts.main] if not c.ready]
    not_ready = ("False", "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    if phase in ("Succeeded", "Failed"):
        ready = ("False", "PodCompleted" if phase == "Succeeded" else "PodFailed", "")
        if not any(c.ever_started for c in facts.main):
            ready = not_ready
    else:
        ready = not_ready if unready else ("True", "", "")
    pod_ready = ready if ready[0] == "False" else _gates(pod, old)
    incomplete = _incomplete(facts)
    initialized = ("True", "PodCompleted" if phase == "Succeeded" else "", "")
    if incomplete:
        initialized = (
            "False", "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]"
        )  # fmt: skip
    wanted = {
        "PodReadyToStartContainers": ("True" if facts.has_sandbox else "False", "", ""),
        "Initialized": initialized,
        "Ready": pod_ready,
        "ContainersReady": ready,
        "PodScheduled": ("True", "", ""),
    }
    if facts.verdict is not None and facts.verdict[1] == "Evicted":
        evicted = ("True", "TerminationByKubelet", facts.verdict[2])
        old["DisruptionTarget"] = _condition("DisruptionTarget", evicted, old.get("DisruptionTarget"), generation, now)
    others = [c for c in old.values() if c["type"] not in OWN]
    return [*others, *(_condition(type_, wanted[type_], old.get(type_), generation, now) for type_ in OWN)]


def _gates(pod: Object, old: dict[str, Object]) -> tuple[str, str, str]:
    for gate in pod["spec"].get("readinessGates") or ():
        type_ = gate["conditionType"]
        if type_ not in old or old[type_]["status"] != "True":
            detail = (
                f'corresponding condition of pod readiness gate "{type_}" does not exist.'
                if type_ not in old
                else (f'the status of pod readiness gate "{type_}" is not "True", but {old[type_]["status"]}')
            )
            return "False", "ReadinessGatesNotReady", detail
    return "True", "", ""


def _condition(type_: str, verdict: tuple[str, str, str], old: Object | None, generation: int, now: float) -> Object:
    status, reason, message = verdict
    same = old is not None and old["status"] == status
    entry: Object = {
        "type": type_,
        "observedGeneration": generation,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": old["lastTransitionTime"] if same and old else format_time(now),
    }
    if reason:
        entry["reason"] = reason
    if message:
        entry["message"] = message
    return entry


def _container_status(container: Container, facts: PodFacts) -> Object:
    state = container.state_object()
    if facts.is_over and container.state == "waiting":
        lost: Object = container.last_terminated or {
            "exitCode": 137, "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was terminated", "startedAt": None,
            "finishedAt": None,
        }  # fmt: skip
        state = {"terminated": lost}
    last = container.last_terminated
    if facts.is_over and container.state == "waiting":
        last = None
    ready = container.ready or (container.is_init and not container.is_sidecar and container.succeeded)
    image = full_image_name(container.image) if container.image_id else container.image
    status: Object = {
        "name": container.name,
        "state": state,
        "lastState": {"terminated": last} if last else {},
        "ready": ready,
        "restartCount": container.restart_count,
        "image": image,
        "imageID": container.image_id,
    }
    if container.container_id:
        status["containerID"] = container.container_id
    status["started"] = container.started
    if container.ever_started:
        resources = container.spec.get("resources") or {}
        requests = _requests(resources)
        if requests:
            status["allocatedResources"] = requests
        status["resources"] = {
            key: value for key, value in (("limits", resources.get("limits")), ("requests", requests)) if value
        }
    mounts = []
    for mount in container.spec.get("volumeMounts") or ():
        entry: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            entry |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
        mounts.append(entry)
    if mounts:
        status["volumeMounts"] = mounts
    return status


def _requests(resources: Object) -> Object:
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})} if resources else {}


def _sums(spec: Object, kind: str) -> Object:
    totals: dict[str, list[str]] = {}
    for container in spec["containers"]:
        resources = container.get("resources") or {}
        amounts = _requests(resources) if kind == "requests" else resources.get("limits") or {}
        for resource, amount in amounts.items():
            totals.setdefault(resource, []).append(amount)
    return {
        resource: amounts[0]
        if len(amounts) == 1
        else quantities.format_for(resource, quantities.add_all(quantities.parse(a) for a in amounts))
        for resource, amounts in totals.items()
    }


def qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort."""
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    resources = [c.get("resources") or {} for c in containers]
    if not any(r.get("requests") or r.get("limits") for r in resources):
        return "BestEffort"
    for entry in resources:
        limits = entry.get("limits") or {}
        if {"cpu", "memory"} - limits.keys() or any(
            (entry.get("requests") or {}).get(name, limits[name]) != limits[name] for name in ("cpu", "memory")
        ):
            return "Burstable"
    return "Guaranteed"
