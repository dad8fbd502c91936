"""Gives each waiting pod a node, or says why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from healing.sandbox.ports import ApiError, EventType, Object
from healing.sandbox.world import pods
from healing.sandbox.world.context import SCHEDULER_USER, Context
from healing.sandbox.world.reconciler import Key, Reconciler, key_of
from healing.sandbox.world.scheduler import filters, preemption, volumes
from healing.sandbox.world.scheduler.state import ClusterState, NodeInfo, PodInfo, pod_info
from healing.sandbox.world.selectors import matches_node, untolerated

NAME = "default-scheduler"
#: so few waiting pods are tried again at once when something changed, as an idle scheduler skips the back-off
IDLE_PARKED_PODS = 50
#: else a pod that did not fit waits so long first (Kubernetes' pod back-off)
FIRST_BACK_OFF_SECONDS, MAX_BACK_OFF_SECONDS = 1.0, 10.0
#: an unschedulable pod is tried again after so long even if nothing changed
FLUSH_SECONDS = 300.0


class Scheduler(Reconciler):
    component = NAME
    # With one pod a turn a world of thousands, whose turns are long, would wait for its scheduler.
    batch = 16

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.user = SCHEDULER_USER
        self.state = ClusterState()
        #: pods that fitted nowhere: attempts so far and when the last was
        self._parked: dict[Key, tuple[int, float]] = {}
        self._namespace_labels: dict[str, Mapping[str, str]] | None = None

    def watch(self) -> None:
        self.on("nodes", self._node_changed)
        self.on("pods", self._pod_changed)
        for resource in ("persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"):
            self.on(resource, lambda _event, _item, _old: self._retry_parked())
        self.on("namespaces", self._namespace_changed)
        for node in self.cluster.list("nodes"):
            self.state.put_node(node)
        for pod in self.cluster.list("pods"):
            self._pod_changed("ADDED", pod, None)

    def _namespace_changed(self, _event: EventType, _item: Object, _old: Object | None) -> None:
        self._namespace_labels = None

    def _node_changed(self, event: EventType, node: Object, old: Object | None) -> None:
        if event == "DELETED":
            self.state.drop_node(node["metadata"]["name"])
            return
        self.state.put_node(node)
        if old is None or _placement_of(node) != _placement_of(old):
            self._retry_parked()

    def _pod_changed(self, event: EventType, pod: Object, old: Object | None) -> None:
        uid = pod["metadata"]["uid"]
        key = key_of(pod)
        if event == "DELETED" or pods.is_terminal(pod):
            self._parked.pop(key, None)
            was_promised = self.state.drop_nomination(uid)
            if self.state.drop_pod(uid) or was_promised:
                self._retry_parked()
            return
        if pod["spec"].get("nodeName"):
            self.state.put_pod(pod)
            self.state.drop_nomination(uid)
            self._parked.pop(key, None)
            if old is not None and old["metadata"].get("labels") != pod["metadata"].get("labels"):
                self._retry_parked()
            return
        if pod["spec"].get("schedulerName", NAME) != NAME or pod["metadata"].get("deletionTimestamp"):
            return
        if pod["spec"].get("schedulingGates"):
            return
        self.state.nominate(pod)
        if old is None or old["spec"] != pod["spec"] or old["metadata"].get("labels") != pod["metadata"].get("labels"):
            self._parked.pop(key, None)
            self.queue.add(key)

    def _retry_parked(self) -> None:
        now = self.context.now()
        busy = len(self._parked) > IDLE_PARKED_PODS
        waiting = list(self._parked.items())
        if not busy:
            waiting.sort(key=lambda item: -self._priority(item[0]))
        for key, (attempts, since) in waiting:
            if not busy:
                self.queue.add(key)
                continue
            pause = min(FIRST_BACK_OFF_SECONDS * 2 ** (attempts - 1), MAX_BACK_OFF_SECONDS)
            self.queue.add_after(key, max(0.0, since + pause - now))

    def _priority(self, key: Key) -> int:
        pod = self.cluster.get("pods", *key)
        return int(pod["spec"].get("priority") or 0) if pod is not None else 0

    def reconcile(self, key: Key) -> None:
        pod = self.cluster.get("pods", *key)
        if pod is None or pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp"):
            self._parked.pop(key, None)
            return
        verdict = volumes.check(self.cluster, pod)
        info = pod_info(pod)
        if verdict.problem:
            self._park(pod, f"0/{len(self.state.nodes)} nodes are available: {verdict.problem}. not found")
            return
        attempt = filters.Attempt(info, self.state, self._labels_of_namespaces, verdict)
        refusals: dict[str, filters.Refusal] = {}
        fitting: list[NodeInfo] = []
        for name, node in self.state.nodes.items():
            found = filters.refusal(attempt, node)
            if found is None:
                fitting.append(node)
            else:
                refusals[name] = found
        if not fitting:
            room = preemption.plan(attempt, refusals)
            if room is not None:
                self._preempt(pod, room)
            self._park(pod, filters.explain(refusals, preempting=room is not None))
            return
        promised = (pod.get("status") or {}).get("nominatedNodeName")
        best = max(fitting, key=lambda node: (node.name == promised, self._score(info, node), node.name))
        self._select_node(pod, verdict.waiting, best.name)
        if verdict.waiting:
            # The claims are provisioned for the chosen node first; their binding brings the pod back.
            self._parked[key] = (1, self.context.now() - FIRST_BACK_OFF_SECONDS)
            return
        self._bind(pod, best.name)

    def _labels_of_namespaces(self) -> Mapping[str, Mapping[str, str]]:
        if self._namespace_labels is None:
            self._namespace_labels = {
                item["metadata"]["name"]: item["metadata"].get("labels") or {}
                for item in self.cluster.list("namespaces")
            }
        return self._namespace_labels

    def _score(self, info: PodInfo, node: NodeInfo) -> float:
        """Least allocated, balanced over nodes by owner, with preferred affinity and soft taints."""
        free = 0.0
        for resource in ("cpu", "memory"):
            capacity = node.allocatable.get(resource, Decimal(0))
            if capacity:
                used = node.used.get(resource, Decimal(0)) + info.requests.get(resource, Decimal(0))
                free += float((capacity - used) / capacity) * 50
        if info.owner_uid:
            free -= 100 * node.owners[info.owner_uid]
        affinity = (info.pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
        for term in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            if matches_node(term["preference"], node.node):
                free += term["weight"]
        taints, tolerations = node.node["spec"].get("taints") or [], info.pod["spec"].get("tolerations") or []
        if untolerated(taints, tolerations, ("PreferNoSchedule",)) is not None:
            free -= 100
        return free

    def _select_node(self, pod: Object, claims: tuple[str, ...], node_name: str) -> None:
        def change(body: Object) -> None:
            body["metadata"].setdefault("annotations", {})[volumes.SELECTED_NODE] = node_name

        for name in claims:
            self.cluster.mutate("persistentvolumeclaims", pod["metadata"]["namespace"], name, change, user=self.user)
        if claims:
            self._nominate(pod, node_name)

    def _preempt(self, pod: Object, room: preemption.Plan) -> None:
        """Delete the victims; the pod is tried again when they have gone. Those already going are waited for."""
        message = f"{NAME}: preempting to accommodate a higher priority pod"
        for info in room.victims:
            namespace, name = key_of(info.pod)
            victim = self.cluster.get("pods", namespace, name)
            if victim is None or victim["metadata"].get("deletionTimestamp"):
                continue
            entry = {
                "type": "DisruptionTarget", "observedGeneration": victim["metadata"].get("generation", 1),
                "status": "True", "lastProbeTime": None, "lastTransitionTime": self.context.timestamp(),
                "reason": "PreemptionByScheduler", "message": message,
            }  # fmt: skip

            def disrupt(body: Object, entry: Object = entry) -> None:
                others = [c for c in body["status"].get("conditions") or () if c["type"] != "DisruptionTarget"]
                body["status"]["conditions"] = [*others, entry]

            self.cluster.mutate("pods", namespace, name, disrupt, user=self.user, subresource="status")
            self.cluster.delete("pods", namespace, name, user=self.user, uid=victim["metadata"]["uid"])
            self.cluster.record_event(
                victim, type="Normal", reason="Preempted", action="Preempting", component=NAME,
                message=f"Preempted by pod {pod['metadata']['uid']} on node {room.node}",
            )  # fmt: skip
        mine = int(pod["spec"].get("priority") or 0)
        for other in list(self.state.nominated.get(room.node, {}).values()):
            if other.priority < mine:
                self._nominate(other.pod, "")  # its room is taken: it looks for another
        self._nominate(pod, room.node)

    def _nominate(self, pod: Object, node_name: str) -> None:
        """Say in the pod's status where it is to go once it can; empty: nowhere any more."""
        if ((pod.get("status") or {}).get("nominatedNodeName") or "") == node_name:
            return

        def note(body: Object) -> None:
            status = body.setdefault("status", {})
            if node_name:
                status["nominatedNodeName"] = node_name
            else:
                status.pop("nominatedNodeName", None)

        self.cluster.mutate("pods", *key_of(pod), note, user=self.user, subresource="status")
        if not node_name:
            self.queue.add(key_of(pod))

    def _bind(self, pod: Object, node_name: str) -> None:
        namespace, name = key_of(pod)
        scheduled = {
            "type": "PodScheduled", "status": "True", "lastProbeTime": None,
            "lastTransitionTime": self.context.timestamp(),
        }  # fmt: skip

        def bind(body: Object) -> None:
            body["spec"]["nodeName"] = node_name
            note(body)

        def note(body: Object) -> None:
            status = body.setdefault("status", {})
            others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
            status["conditions"] = [*others, scheduled]
            status.pop("nominatedNodeName", None)

        try:
            bound = self.cluster.mutate("pods", namespace, name, bind, user=self.user, subresource="binding")
            written = pods.condition(bound, "PodScheduled")
            nominated = (bound.get("status") or {}).get("nominatedNodeName")
            if written is None or written["status"] != "True" or nominated:
                self.cluster.mutate("pods", namespace, name, note, user=self.user, subresource="status")
        except ApiError as error:
            if error.code == 404:
                return
            raise
        self._parked.pop((namespace, name), None)
        self.cluster.record_event(
            pod, type="Normal", reason="Scheduled", action="Binding", component=NAME,
            message=f"Successfully assigned {namespace}/{name} to {node_name}",
        )  # fmt: skip

    def _park(self, pod: Object, message: str) -> None:
        key = key_of(pod)
        attempts, _ = self._parked.get(key, (0, 0.0))
        self._parked[key] = (attempts + 1, self.context.now())
        self.queue.add_after(key, FLUSH_SECONDS)
        self.cluster.record_event(
            pod, type="Warning", reason="FailedScheduling", message=message, component=NAME, action="Scheduling"
        )
        entry = {
            "type": "PodScheduled", "observedGeneration": pod["metadata"].get("generation", 1), "status": "False",
            "lastProbeTime": None, "lastTransitionTime": self.context.timestamp(), "reason": "Unschedulable",
            "message": message,
        }  # fmt: skip

        def change(body: Object) -> None:
            status = body.setdefault("status", {})
            entries = status.get("conditions") or []
            before = next((c for c in entries if c["type"] == "PodScheduled"), None)
            if before is not None and before["status"] == "False":
                entry["lastTransitionTime"] = before["lastTransitionTime"]
            status["conditions"] = [*(c for c in entries if c["type"] != "PodScheduled"), entry]

        self.cluster.mutate("pods", *key, change, user=self.user, subresource="status")


def _placement_of(node: Object) -> tuple[object, ...]:
    """What of a node decides about pods."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return (
        node["metadata"].get("labels"), spec.get("taints"), spec.get("unschedulable"), status.get("allocatable"),
    )  # fmt: skip
