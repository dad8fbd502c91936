"""Node lifecycle: notices silent kubelets, keeps a node's taints in step with its conditions."""

from __future__ import annotations

import asyncio
import logging

from healing.sandbox.ports import Object
from healing.sandbox.world.context import Context, format_time
from healing.sandbox.world.kubelet.node_agent import LEASE_NAMESPACE
from healing.sandbox.world.reconciler import Key, Reconciler, key_of

log = logging.getLogger(__name__)

UNREACHABLE, NOT_READY = "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"
_SILENT = "Kubelet stopped posting node status."
#: condition -> (status that is bad, taint)
_CONDITION_TAINTS = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
#: the taints this controller owns, all of them NoSchedule
_OWNED = frozenset({UNREACHABLE, NOT_READY, _UNSCHEDULABLE, *_CONDITION_TAINTS.values()})


class NodeLifecycleController(Reconciler):
    component = "node-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: when the newest sign of life of a node was first seen here, and what it was
        self._seen: dict[str, tuple[str, float]] = {}

    @property
    def _monitor_seconds(self) -> float:
        return min(5.0, self.context.settings.node_grace_seconds / 10)

    def watch(self) -> None:
        self.on_own("nodes")

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super().run())
            group.create_task(self._monitor())

    async def _monitor(self) -> None:
        while True:
            await asyncio.sleep(self._monitor_seconds)
            for node in self.cluster.list("nodes"):
                try:
                    self._check_heartbeat(node)
                except Exception:
                    # One odd node object must not keep the others from being watched.
                    log.exception("%s failed on node %s", self.component, node["metadata"]["name"])

    def _check_heartbeat(self, node: Object) -> None:
        name = node["metadata"]["name"]
        now = self.context.now()
        sign = self._sign_of_life(node)
        known, since = self._seen.get(name, ("", 0.0))
        if sign != known:
            self._seen[name] = (sign, now)
            self._update_execute_taint(node)
            return
        if now - since < self.context.settings.node_grace_seconds or _ready_status(node) == "Unknown":
            self._update_execute_taint(node)
            return
        stamp = self.context.timestamp()

        def silence(body: Object) -> None:
            for entry in body["status"].get("conditions") or ():
                if entry["status"] != "Unknown":
                    entry |= {"status": "Unknown", "lastTransitionTime": stamp}
                entry |= {"reason": "NodeStatusUnknown", "message": _SILENT}

        lost = self.cluster.mutate("nodes", None, name, silence, user=self.user, subresource="status")
        self._event(lost, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        self._mark_pods(name)
        self.queue.add(key_of(lost))

    def _sign_of_life(self, node: Object) -> str:
        name = node["metadata"]["name"]
        lease = self.cluster.get("leases.coordination.k8s.io", LEASE_NAMESPACE, name)
        renewed = lease["spec"].get("renewTime") if lease is not None else ""
        reported = max(
            (c.get("lastHeartbeatTime") or "" for c in (node.get("status") or {}).get("conditions") or ()), default=""
        )
        return f"{renewed} {reported}"

    def _mark_pods(self, node_name: str) -> None:
        """Pods of a lost node are not Ready; their phase and containers stay as last heard."""
        stamp = self.context.timestamp()

        def unready(body: Object) -> None:
            for entry in body["status"].get("conditions") or ():
                if entry["type"] == "Ready" and entry["status"] != "False":
                    entry |= {"status": "False", "lastTransitionTime": stamp}

        for pod in self.cluster.list("pods"):
            if pod["spec"].get("nodeName") == node_name:
                self.cluster.mutate("pods", *key_of(pod), unready, user=self.user, subresource="status")
                self._event(pod, "Warning", "NodeNotReady", "Node is not ready")

    def reconcile(self, key: Key) -> None:
        """NoSchedule taints follow conditions and cordon at once; NoExecute ones follow a moment later."""
        node = self.cluster.get("nodes", None, key[1])
        if node is None:
            self._seen.pop(key[1], None)
            return
        wanted = set()
        for entry in (node.get("status") or {}).get("conditions") or ():
            if entry["status"] == "True" and entry["type"] in _CONDITION_TAINTS:
                wanted.add(_CONDITION_TAINTS[entry["type"]])
        ready = _ready_status(node)
        if ready == "Unknown":
            wanted.add(UNREACHABLE)
        elif ready == "False":
            wanted.add(NOT_READY)
        if node["spec"].get("unschedulable"):
            wanted.add(_UNSCHEDULABLE)
        present = node["spec"].get("taints") or []
        have = {t["key"] for t in present if t.get("effect") == "NoSchedule" and t["key"] in _OWNED}
        if wanted != have:
            kept = [
                t for t in present if t.get("effect") != "NoSchedule" or t["key"] not in _OWNED or t["key"] in wanted
            ]
            node = self._write_taints(node, kept + [self._taint(k, "NoSchedule") for k in sorted(wanted - have)])
        if ready != "True":
            self._update_execute_taint(node)

    def _update_execute_taint(self, node: Object) -> None:
        ready = _ready_status(node)
        wanted = {"Unknown": UNREACHABLE, "False": NOT_READY}.get(ready, "")
        present = node["spec"].get("taints") or []
        have = {t["key"] for t in present if t.get("effect") == "NoExecute" and t["key"] in (UNREACHABLE, NOT_READY)}
        if have == ({wanted} if wanted else set()):
            return
        kept = [t for t in present if t.get("effect") != "NoExecute" or t["key"] not in (have - {wanted})]
        if wanted and wanted not in have:
            kept.append(self._taint(wanted, "NoExecute"))
        self._write_taints(node, kept)

    def _taint(self, key: str, effect: str) -> Object:
        return {"key": key, "effect": effect, "timeAdded": format_time(self.context.now())}

    def _write_taints(self, node: Object, taints: list[Object]) -> Object:
        def change(body: Object) -> None:
            if taints:
                body["spec"]["taints"] = taints
            else:
                body["spec"].pop("taints", None)

        return self.cluster.mutate("nodes", None, node["metadata"]["name"], change, user=self.user)

    def _event(self, regarding: Object, type_: str, reason: str, message: str) -> None:
        self.cluster.record_event(
            regarding, type="Warning" if type_ == "Warning" else "Normal", reason=reason, message=message,
            component=self.component,
        )  # fmt: skip


def _ready_status(node: Object) -> str:
    for entry in (node.get("status") or {}).get("conditions") or ():
        if entry["type"] == "Ready":
            return str(entry["status"])
    return "False"
