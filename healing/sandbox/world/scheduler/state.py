"""What is on each node: kept up to date from pod and node events, so that a pod is placed without counting anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from healing.sandbox.ports import Object
from healing.sandbox.world import pods, quantities
from healing.sandbox.world.owners import controller_of


@dataclass(slots=True)
class PodInfo:
    """A pod as the scheduler counts it."""

    pod: Object
    requests: dict[str, Decimal]
    host_ports: frozenset[tuple[str, int]]
    #: the pod's required anti-affinity terms
    anti_affinity: tuple[Object, ...] = ()
    owner_uid: str = ""

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def priority(self) -> int:
        return int(self.pod["spec"].get("priority") or 0)


@dataclass(slots=True)
class NodeInfo:
    node: Object
    allocatable: dict[str, Decimal]
    pods: dict[str, PodInfo] = field(default_factory=dict)
    used: dict[str, Decimal] = field(default_factory=dict)
    #: those of ``pods`` that keep others away
    repelling: dict[str, PodInfo] = field(default_factory=dict)
    #: number of pods by controller
    owners: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        return str(self.node["metadata"]["name"])

    def add(self, info: PodInfo) -> None:
        uid = info.pod["metadata"]["uid"]
        self.pods[uid] = info
        self.owners[info.owner_uid] += 1
        if info.anti_affinity:
            self.repelling[uid] = info
        for resource, amount in info.requests.items():
            self.used[resource] = self.used.get(resource, Decimal(0)) + amount

    def remove(self, uid: str) -> None:
        info = self.pods.pop(uid, None)
        self.repelling.pop(uid, None)
        if info is not None:
            self.owners[info.owner_uid] -= 1
            for resource, amount in info.requests.items():
                self.used[resource] -= amount

    def changed(self, *, without: Iterable[PodInfo] = (), plus: Iterable[PodInfo] = ()) -> NodeInfo:
        """The node as it would be without some of its pods, or with more; this one stays as it is."""
        trial = NodeInfo(self.node, self.allocatable, dict(self.pods), dict(self.used), dict(self.repelling))
        trial.owners = self.owners.copy()
        for info in without:
            trial.remove(info.uid)
        for info in plus:
            trial.add(info)
        return trial


class ClusterState:
    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        #: pods that were promised a node which is not free yet, by node and uid
        self.nominated: dict[str, dict[str, PodInfo]] = {}
        self._where: dict[str, str] = {}
        #: pods bound to a node that is not known yet
        self._waiting: dict[str, dict[str, PodInfo]] = {}

    def put_node(self, node: Object) -> None:
        name = node["metadata"]["name"]
        status = node.get("status") or {}
        allocatable = {
            resource: quantities.parse(amount)
            for resource, amount in (status.get("allocatable") or status.get("capacity") or {}).items()
        }
        info = self.nodes.get(name)
        if info is None:
            info = self.nodes[name] = NodeInfo(node, allocatable)
            for pod in self._waiting.pop(name, {}).values():
                info.add(pod)
        else:
            info.node, info.allocatable = node, allocatable

    def drop_node(self, name: str) -> None:
        info = self.nodes.pop(name, None)
        if info is not None and info.pods:
            self._waiting[name] = info.pods

    def put_pod(self, pod: Object) -> None:
        """Count a bound, unfinished pod; anything else is no longer counted."""
        uid = pod["metadata"]["uid"]
        name = pod["spec"].get("nodeName")
        if not name or pods.is_terminal(pod):
            self.drop_pod(uid)
            return
        if self._where.get(uid) == name:
            node = self.nodes.get(name)
            known = (node.pods if node else self._waiting.get(name, {})).get(uid)
            if known is not None and known.pod["spec"] is pod["spec"]:
                return
            if known is not None and known.pod["spec"] == pod["spec"]:
                known.pod = pod
                return
        self.drop_pod(uid)
        info = pod_info(pod)
        self._where[uid] = name
        node = self.nodes.get(name)
        if node is None:
            self._waiting.setdefault(name, {})[uid] = info
        else:
            node.add(info)

    def drop_pod(self, uid: str) -> bool:
        name = self._where.pop(uid, None)
        if name is None:
            return False
        node = self.nodes.get(name)
        if node is not None:
            node.remove(uid)
        else:
            self._waiting.get(name, {}).pop(uid, None)
        return True

    def nominate(self, pod: Object) -> None:
        """Keep the node in the unbound pod's status for it, or none if it names none."""
        uid, name = pod["metadata"]["uid"], (pod.get("status") or {}).get("nominatedNodeName")
        self.drop_nomination(uid)
        if name:
            self.nominated.setdefault(name, {})[uid] = pod_info(pod)

    def drop_nomination(self, uid: str) -> bool:
        for name, promised in list(self.nominated.items()):
            if promised.pop(uid, None) is not None:
                if not promised:
                    del self.nominated[name]
                return True
        return False

    def expected_on(self, name: str, info: PodInfo) -> list[PodInfo]:
        """Pods promised this node that are at least as important as ``info``."""
        promised = self.nominated.get(name)
        if not promised:
            return []
        return [other for uid, other in promised.items() if uid != info.uid and other.priority >= info.priority]

    def with_node(self, node: NodeInfo) -> ClusterState:
        """This state but for one node."""
        state = ClusterState()
        state.nodes = {**self.nodes, node.name: node}
        state.nominated = self.nominated
        return state


def pod_info(pod: Object) -> PodInfo:
    names = {"cpu", "memory"}
    for container in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]:
        resources = container.get("resources") or {}
        names |= set(resources.get("requests") or ()) | set(resources.get("limits") or ())
    requests = {name: pods.resource_total(pod, "requests", name) for name in names}
    affinity = pod["spec"].get("affinity") or {}
    terms = (affinity.get("podAntiAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    owner = controller_of(pod)
    return PodInfo(
        pod,
        {name: amount for name, amount in requests.items() if amount},
        host_ports(pod),
        tuple(terms),
        owner["uid"] if owner is not None else "",
    )


def host_ports(pod: Object) -> frozenset[tuple[str, int]]:
    return frozenset(
        (port.get("protocol", "TCP"), port["hostPort"])
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )
