"""Taint eviction: deletes pods from nodes with a NoExecute taint, when their toleration of it ends."""

from __future__ import annotations

from healing.sandbox.ports import ApiError, EventType, Object
from healing.sandbox.world import pods
from healing.sandbox.world.context import Context
from healing.sandbox.world.reconciler import Key, Reconciler, key_of
from healing.sandbox.world.selectors import tolerates

_MESSAGE = "Taint manager: deleting due to NoExecute taint"


class TaintEvictionController(Reconciler):
    component = "taint-eviction-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: pods with a running toleration: uid and when they are to go
        self._due: dict[Key, tuple[str, float]] = {}

    def watch(self) -> None:
        self.on("nodes", self._node_changed)
        self.on("pods", self._pod_changed)
        for pod in self.cluster.list("pods"):
            self._pod_changed("ADDED", pod, None)

    def _node_changed(self, event: EventType, node: Object, old: Object | None) -> None:
        if event != "DELETED" and old is not None and _execute_taints(node) == _execute_taints(old):
            return
        for pod in self.cluster.list("pods"):
            if pod["spec"].get("nodeName") == node["metadata"]["name"]:
                self.queue.add(key_of(pod))

    def _pod_changed(self, event: EventType, pod: Object, old: Object | None) -> None:
        if event == "DELETED":
            self._due.pop(key_of(pod), None)
        elif pod["spec"].get("nodeName") and (old is None or old["spec"] != pod["spec"]):
            self.queue.add(key_of(pod))

    def reconcile(self, key: Key) -> None:
        pod = self.cluster.get("pods", *key)
        if pod is None or pod["metadata"].get("deletionTimestamp") or pods.is_terminal(pod):
            self._due.pop(key, None)
            return
        node = self.cluster.get("nodes", None, pod["spec"].get("nodeName") or "")
        taints = _execute_taints(node) if node is not None else []
        if not taints:
            if self._due.pop(key, None) is not None:
                self._event(pod, f"Cancelling deletion of Pod {key[0]}/{key[1]}")
            return
        left = self._seconds_left(pod, taints)
        if left is None:
            if self._due.pop(key, None) is not None:
                self._event(pod, f"Cancelling deletion of Pod {key[0]}/{key[1]}")
            return
        uid, now = pod["metadata"]["uid"], self.context.now()
        known = self._due.get(key)
        due = known[1] if known is not None and known[0] == uid else now + left
        if now < due:
            self._due[key] = (uid, due)
            self.queue.add_after(key, due - now)
            return
        self._due.pop(key, None)
        self._delete(pod)

    @staticmethod
    def _seconds_left(pod: Object, taints: list[Object]) -> float | None:
        """None: tolerated for ever; 0: not at all; else the shortest tolerationSeconds."""
        used: list[Object] = []
        for taint in taints:
            matching = [t for t in pod["spec"].get("tolerations") or () if tolerates(t, taint)]
            if not matching:
                return 0.0
            used += matching
        limits = [t["tolerationSeconds"] for t in used if t.get("tolerationSeconds") is not None]
        return max(float(min(limits)), 0.0) if limits else None

    def _delete(self, pod: Object) -> None:
        key = key_of(pod)
        self._event(pod, f"Marking for deletion Pod {key[0]}/{key[1]}")
        stamp = self.context.timestamp()

        def disrupt(body: Object) -> None:
            entries = body["status"].get("conditions") or []
            entry = {
                "type": "DisruptionTarget", "observedGeneration": body["metadata"].get("generation", 1),
                "status": "True", "lastProbeTime": None, "lastTransitionTime": stamp,
                "reason": "DeletionByTaintManager", "message": _MESSAGE,
            }  # fmt: skip
            body["status"]["conditions"] = [*(c for c in entries if c["type"] != "DisruptionTarget"), entry]

        try:
            self.cluster.mutate("pods", *key, disrupt, user=self.user, subresource="status")
            self.cluster.delete("pods", *key, user=self.user, uid=pod["metadata"]["uid"])
        except ApiError as error:
            if error.code != 404:
                raise

    def _event(self, pod: Object, message: str) -> None:
        # The real one names the pod without its uid, so that `kubectl describe` does not list these events.
        regarding = {"kind": "Pod", "namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"]}
        self.cluster.record_event(
            {**regarding, "apiVersion": "v1"}, type="Normal", reason="TaintManagerEviction", message=message,
            component=self.component,
        )  # fmt: skip


def _execute_taints(node: Object) -> list[Object]:
    return [taint for taint in node["spec"].get("taints") or () if taint.get("effect") == "NoExecute"]
