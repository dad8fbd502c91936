"""A kubelet's care for its node: registration, heartbeats, conditions, pressure and evictions."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from healing.sandbox.ports import ApiError, Object
from healing.sandbox.world import conditions, quantities
from healing.sandbox.world.context import Context, format_micro_time, format_time, node_user
from healing.sandbox.world.kubelet.pod_worker import PodWorker
from healing.sandbox.world.kubelet.pressure import Pressure
from healing.sandbox.world.nodes import FailureKind, NodeSpec

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
PLEG_THRESHOLD_SECONDS = 180.0
#: a heartbeat is due so many times within the grace
HEARTBEATS_PER_GRACE = 4
_RESERVED_MEMORY_BYTES = 100 * 2**20

_PRESSURES: tuple[tuple[str, FailureKind, tuple[str, str], tuple[str, str]], ...] = (
    ("MemoryPressure", "memory-pressure",
     ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
     ("KubeletHasSufficientMemory", "kubelet has sufficient memory available")),
    ("DiskPressure", "disk-pressure",
     ("KubeletHasDiskPressure", "kubelet has disk pressure"),
     ("KubeletHasNoDiskPressure", "kubelet has no disk pressure")),
    ("PIDPressure", "pid-pressure",
     ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
     ("KubeletHasSufficientPID", "kubelet has sufficient PID available")),
)  # fmt: skip


class NodeAgent:
    """The node's kubelet. ``is_up``: the kubelet runs; ``runs_processes``: so does the machine."""

    def __init__(self, context: Context, spec: NodeSpec, number: int, forget: Callable[[PodWorker], None]) -> None:
        self.forget = forget
        self.context = context
        self.spec = spec
        self.name = spec.name
        self.user = node_user(spec.name)
        block, last = divmod(number, 250)
        self.ip = f"10.{88 + 2 * block}.0.{last + 1}"
        self._subnet = f"10.{88 + 2 * block + (1 if last >= 250 else 0)}.{last + 1}"
        self._addresses: deque[str] = deque(f"{self._subnet}.{host}" for host in range(2, 255))
        self.workers: dict[str, PodWorker] = {}
        #: image name -> size in bytes
        self.images: dict[str, int] = {}
        self.failures: set[FailureKind] = set()
        self._pressure = Pressure(self)
        self._runtime_failed_at = 0.0
        self._reported_at = 0.0
        self._wakes = asyncio.Event()

    @property
    def is_up(self) -> bool:
        return not self.failures & {"kubelet-stopped", "down"}

    @property
    def runs_processes(self) -> bool:
        return "down" not in self.failures

    @property
    def has_runtime(self) -> bool:
        """Whether containers can be started, stopped and looked at."""
        return "runtime-down" not in self.failures

    @property
    def capacity(self) -> Object:
        return {
            "cpu": self.spec.cpu, "ephemeral-storage": self.spec.ephemeral_storage, "hugepages-1Gi": "0",
            "hugepages-2Mi": "0", "memory": self.spec.memory, "pods": str(self.spec.pods),
        }  # fmt: skip

    def take_address(self, worker: PodWorker) -> str:
        if worker.pod["spec"].get("hostNetwork"):
            return self.ip
        # The longest unused one; a full node hands the last address out twice rather than fail.
        return self._addresses.popleft() if self._addresses else f"{self._subnet}.255"

    def give_address(self, worker: PodWorker) -> None:
        address = worker.pod_ip
        if address.startswith(self._subnet + ".") and not worker.address_returned:
            worker.address_returned = True
            self._addresses.append(address)

    # --- failures

    def fail(self, kind: FailureKind) -> None:
        self.failures.add(kind)
        if kind == "runtime-down":
            self._runtime_failed_at = self.context.now()
        if kind == "down":
            now = self.context.now()
            for worker in self.workers.values():
                worker.lose_processes(now)
        self._wakes.set()

    def recover(self) -> None:
        was_up = self.is_up and self.has_runtime
        self.failures.clear()
        if not was_up:
            now = self.context.now()
            for worker in list(self.workers.values()):
                current = self.context.cluster.get("pods", *_key(worker))
                if current is None or current["metadata"]["uid"] != worker.uid:
                    worker.vanish()
                    self.forget(worker)
                else:
                    worker.forget_probes(now)
        self._reported_at = 0.0
        self._wakes.set()

    # --- heartbeats

    async def run(self) -> None:
        """Register, then renew the Lease and report the status for ever."""
        settings = self.context.settings
        pause = settings.node_grace_seconds / HEARTBEATS_PER_GRACE
        self.register()
        while True:
            try:
                self._beat()
            except Exception:
                # A heartbeat that fails is a missed heartbeat, not the end of the world.
                log.exception("kubelet %s: no heartbeat", self.name)
            self._wakes.clear()
            try:
                await asyncio.wait_for(self._wakes.wait(), pause)
            except TimeoutError:
                continue

    def _beat(self) -> None:
        if not self.is_up:
            return
        now = self.context.now()
        self._renew_lease(now)
        self._pressure.look(now)
        if self._report(now):
            self._pressure.relieve(now)

    def register(self) -> None:
        cluster = self.context.cluster
        if cluster.get("nodes", None, self.name) is not None:
            return
        labels = {
            "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", **self.spec.labels,
        }  # fmt: skip
        body: Object = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": labels, "annotations": {
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            }},
            "spec": {"podCIDR": f"{self._subnet}.0/24", "podCIDRs": [f"{self._subnet}.0/24"]},
            "status": self._status(self.context.now(), {}),
        }  # fmt: skip
        if self.spec.taints:
            body["spec"]["taints"] = [dict(taint) for taint in self.spec.taints]
        status = body["status"]
        cluster.create("nodes", None, body, user=self.user)
        cluster.mutate(
            "nodes", None, self.name, lambda node: node.update(status=status), user=self.user, subresource="status"
        )
        self.event("Normal", "Starting", "Starting kubelet.")
        self.event("Normal", "NodeReady", f"Node {self.name} status is now: NodeReady")

    def _renew_lease(self, now: float) -> None:
        cluster, stamp = self.context.cluster, format_micro_time(now)
        if cluster.get("leases.coordination.k8s.io", LEASE_NAMESPACE, self.name) is None:
            node = cluster.get("nodes", None, self.name)
            body: Object = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self.name, "namespace": LEASE_NAMESPACE},
                "spec": {
                    "holderIdentity": self.name,
                    "leaseDurationSeconds": max(1, round(self.context.settings.node_grace_seconds)),
                    "renewTime": stamp,
                },
            }
            if node is not None:
                body["metadata"]["ownerReferences"] = [
                    {"apiVersion": "v1", "kind": "Node", "name": self.name, "uid": node["metadata"]["uid"]}
                ]
            try:
                cluster.create("leases.coordination.k8s.io", LEASE_NAMESPACE, body, user=self.user)
            except ApiError as error:
                if error.code not in (404, 409):  # the namespace may not be there yet
                    raise
            return

        def renew(lease: Object) -> None:
            lease["spec"]["renewTime"] = stamp

        cluster.mutate("leases.coordination.k8s.io", LEASE_NAMESPACE, self.name, renew, user=self.user)

    def _report(self, now: float) -> bool:
        """Write the node's status if it is time or a condition changed; false if the node object is gone."""
        node = self.context.cluster.get("nodes", None, self.name)
        if node is None:
            self.register()
            return False
        wanted = self._status(now, node.get("status") or {})
        old = {c["type"]: c["status"] for c in (node.get("status") or {}).get("conditions") or ()}
        changed = {c["type"]: c["status"] for c in wanted["conditions"]} != old
        if changed or now - self._reported_at >= self.context.settings.node_status_seconds:
            self._reported_at = now
            self.context.cluster.mutate(
                "nodes", None, self.name, lambda body: body.update(status=wanted), user=self.user, subresource="status"
            )
            for entry in wanted["conditions"]:
                if old and old.get(entry["type"]) not in (None, entry["status"]):
                    reason = "NodeReady" if entry["reason"] == "KubeletReady" else entry["reason"]
                    reason = "NodeNotReady" if reason == "KubeletNotReady" else reason
                    reason = "NodeHasSufficientMemory" if reason == "KubeletHasSufficientMemory" else reason
                    reason = reason.replace("KubeletHas", "NodeHas")
                    self.event("Normal", reason, f"Node {self.name} status is now: {reason}")
        return True

    def _runtime_problem(self, now: float) -> str:
        """The runtime itself is missed first; three minutes later so are its containers' events (the PLEG)."""
        silent = now - self._runtime_failed_at
        if silent < PLEG_THRESHOLD_SECONDS:
            return "container runtime is down"
        ago = f"{int(silent) // 60}m{silent % 60:.9f}s"
        return (
            f"[container runtime is down, PLEG is not healthy: pleg was last seen active {ago} ago; threshold is 3m0s]"
        )

    def _status(self, now: float, old: Object) -> Object:
        known = {c["type"]: c for c in old.get("conditions") or ()}
        entries: list[Object] = []
        for type_, kind, bad, good in _PRESSURES:
            on = kind in self._pressure.kinds
            entries.append(
                _condition(known.get(type_), type_, ("True" if on else "False", *(bad if on else good)), now)
            )
        ready = ("True", "KubeletReady", "kubelet is posting ready status")
        if "runtime-down" in self.failures:
            ready = ("False", "KubeletNotReady", self._runtime_problem(now))
        entries.append(_condition(known.get("Ready"), "Ready", ready, now))
        network = _network_condition(known.get("NetworkUnavailable"), "network-unavailable" in self.failures, now)
        if network is not None:
            entries.insert(0, network)
        others = [c for c in old.get("conditions") or () if conditions.find(entries, c["type"]) is None]
        memory = quantities.parse(self.spec.memory) - _RESERVED_MEMORY_BYTES
        return {
            "capacity": self.capacity,
            "allocatable": {**self.capacity, "memory": f"{int(memory) // 1024}Ki"},
            "conditions": [*others, *entries],
            "addresses": [
                {"type": "InternalIP", "address": self.ip},
                {"type": "Hostname", "address": self.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": "0" * 32, "systemUUID": "00000000-0000-0000-0000-000000000000",
                "bootID": "00000000-0000-0000-0000-000000000001", "kernelVersion": "6.1.0-amd64",
                "osImage": "Debian GNU/Linux 12 (bookworm)", "containerRuntimeVersion": "containerd://1.7.27",
                "kubeletVersion": self.context.cluster.git_version, "kubeProxyVersion": "", "operatingSystem": "linux",
                "architecture": "amd64",
            },
            "images": [{"names": [name], "sizeBytes": size} for name, size in sorted(self.images.items())],
        }  # fmt: skip

    def event(self, type_: str, reason: str, message: str) -> None:
        # Kubelets regard their node by name and no uid; the store's own object serves as well.
        node = self.context.cluster.get("nodes", None, self.name)
        if node is not None:
            self.context.cluster.record_event(
                node, type="Warning" if type_ == "Warning" else "Normal", reason=reason, message=message,
                component="kubelet", host=self.name,
            )  # fmt: skip


def _network_condition(old: Object | None, broken: bool, now: float) -> Object | None:  # noqa: FBT001
    """Written by the network's own agent (here: Calico's); a node that never had trouble does not show it."""
    if broken:
        return _condition(
            old, "NetworkUnavailable", ("True", "CalicoIsDown", "Calico is shutting down on this node"), now
        )
    if old is None:
        return None
    return _condition(old, "NetworkUnavailable", ("False", "CalicoIsUp", "Calico is running on this node"), now)


def _condition(old: Object | None, type_: str, verdict: conditions.Verdict, now: float) -> Object:
    status, reason, message = verdict
    stamp = format_time(now)
    same = old is not None and old["status"] == status
    return {
        "type": type_,
        "status": status,
        "lastHeartbeatTime": stamp,
        "lastTransitionTime": old["lastTransitionTime"] if same and old else stamp,
        "reason": reason,
        "message": message,
    }


def _key(worker: PodWorker) -> tuple[str, str]:
    metadata = worker.pod["metadata"]
    return metadata["namespace"], metadata["name"]
