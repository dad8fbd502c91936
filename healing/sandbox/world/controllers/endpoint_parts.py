"""What Endpoints and EndpointSlices have in common: which pods stand behind a Service, on which ports."""

from __future__ import annotations

from dataclasses import dataclass

from healing.sandbox.ports import Cluster, Object
from healing.sandbox.world import pods
from healing.sandbox.world.selectors import matches_simple

TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
#: (name, protocol, number)
PortTuple = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    pod: Object
    ip: str
    ready: bool
    serving: bool
    terminating: bool
    ports: tuple[PortTuple, ...]

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    def target(self) -> Object:
        metadata = self.pod["metadata"]
        return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def endpoints_of(cluster: Cluster, service: Object) -> list[Endpoint]:
    """All addresses of a Service with a selector, ordered by pod name: ready ones, unready ones, terminating ones."""
    spec = service["spec"]
    publish_all = bool(spec.get("publishNotReadyAddresses"))
    found = []
    for pod in cluster.list("pods", service["metadata"]["namespace"]):
        if not matches_simple(spec.get("selector"), pod["metadata"].get("labels") or {}):
            continue
        ip = (pod.get("status") or {}).get("podIP")
        if not ip or pods.is_terminal(pod):
            continue
        serving = pods.is_ready(pod)
        terminating = bool(pod["metadata"].get("deletionTimestamp"))
        ready = publish_all or (serving and not terminating)
        found.append(Endpoint(pod, ip, ready, publish_all or serving, terminating, ports_of(service, pod)))
    return found


def ports_of(service: Object, pod: Object) -> tuple[PortTuple, ...]:
    """The Service's ports on this pod; one whose name the pod does not have is left out."""
    ports = []
    for port in service["spec"].get("ports") or ():
        number = target_port(port, pod)
        if number is not None:
            ports.append((port.get("name") or "", port.get("protocol") or "TCP", number))
    return tuple(ports)


def target_port(port: Object, pod: Object) -> int | None:
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    if str(target).isdigit():
        return int(target)
    sidecars = (c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always")
    for container in [*pod["spec"]["containers"], *sidecars]:
        for declared in container.get("ports") or ():
            protocol = declared.get("protocol") or "TCP"
            if declared.get("name") == target and protocol == (port.get("protocol") or "TCP"):
                return int(declared["containerPort"])
    return None


def trigger_time(endpoints: list[Endpoint]) -> str | None:
    """When the newest of these pods became ready (or not)."""
    times = [ready["lastTransitionTime"] for e in endpoints if (ready := pods.condition(e.pod, "Ready")) is not None]
    return max(times, default=None)
