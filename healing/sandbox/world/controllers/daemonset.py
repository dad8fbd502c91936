"""DaemonSet: one pod on every node that takes it."""

from __future__ import annotations

import copy

from healing.sandbox.ports import ApiError, EventType, Object
from healing.sandbox.world import pods
from healing.sandbox.world.controllers import rollout
from healing.sandbox.world.controllers.revisions import revision_for
from healing.sandbox.world.owners import claim, controller_of, owner_reference
from healing.sandbox.world.reconciler import Key, Reconciler, RetryLaterError, key_of
from healing.sandbox.world.scheduler.filters import node_selected
from healing.sandbox.world.selectors import untolerated

RESOURCE = "daemonsets.apps"
HASH_LABEL = "controller-revision-hash"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_TOLERATIONS = [
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/disk-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/pid-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"},
]


class DaemonSetController(Reconciler):
    component = "daemonset-controller"
    account = "daemon-set-controller"

    def watch(self) -> None:
        self.on_own(RESOURCE)
        self.on("pods", self._pod_changed)
        self.on("nodes", self._node_changed)

    def _pod_changed(self, _event: EventType, pod: Object, _old: Object | None) -> None:
        owner = controller_of(pod)
        if owner is not None and owner["kind"] == "DaemonSet":
            self.queue.add((pod["metadata"]["namespace"], owner["name"]))

    def _node_changed(self, _event: EventType, node: Object, old: Object | None) -> None:
        if (
            old is not None
            and old["spec"] == node["spec"]
            and old["metadata"].get("labels") == node["metadata"].get("labels")
        ):
            return
        for item in self.cluster.list(RESOURCE):
            self.queue.add(key_of(item))

    def reconcile(self, key: Key) -> None:
        daemonset = self.cluster.get(RESOURCE, *key)
        if daemonset is None or daemonset["metadata"].get("deletionTimestamp"):
            return
        owned = claim(
            self.context, daemonset, api_version="apps/v1", kind="DaemonSet", resource="pods",
            candidates=self.cluster.list("pods", key[0]), user=self.user,
        )  # fmt: skip
        suffix = revision_for(self.context, daemonset, "DaemonSet", self.user)
        by_node: dict[str, list[Object]] = {}
        for pod in owned:
            by_node.setdefault(_target_node(pod), []).append(pod)
        wanted = [node for node in self.cluster.list("nodes") if self._runs_on(daemonset, node)]
        names = {node["metadata"]["name"] for node in wanted}
        failure: ApiError | None = None
        for node in wanted:
            present = by_node.get(node["metadata"]["name"], [])
            for pod in present:
                if pods.phase(pod) == "Failed":
                    self._delete(daemonset, pod)
            if not any(not pods.is_terminal(pod) for pod in present) and failure is None:
                failure = self._create(daemonset, node["metadata"]["name"], suffix)
        for name, present in by_node.items():
            for pod in present if name not in names else self._surplus(daemonset, present, suffix):
                if pods.is_active(pod):
                    self._delete(daemonset, pod)
        if self._surge(daemonset, len(names)):
            failure = failure or self._add_new(daemonset, {name: by_node.get(name, []) for name in names}, suffix)
        else:
            self._update(daemonset, [p for name in names for p in by_node.get(name, ())], len(names), suffix)
        self._write_status(daemonset, by_node, names, suffix)
        if failure is not None:
            raise RetryLaterError

    @staticmethod
    def _runs_on(daemonset: Object, node: Object) -> bool:
        spec = daemonset["spec"]["template"]["spec"]
        if not node_selected({"spec": spec, "metadata": {}}, node):
            return False
        tolerations = [*(spec.get("tolerations") or ()), *_TOLERATIONS]
        return untolerated(node["spec"].get("taints") or [], tolerations, ("NoSchedule", "NoExecute")) is None

    def _create(self, daemonset: Object, node_name: str, suffix: str) -> ApiError | None:
        metadata = daemonset["metadata"]
        body = pods.from_template(
            daemonset["spec"]["template"],
            generate_name=f"{metadata['name']}-",
            owner=owner_reference(daemonset, "apps/v1", "DaemonSet"),
        )
        labels = body["metadata"].setdefault("labels", {})
        labels |= {HASH_LABEL: suffix, "pod-template-generation": str(metadata.get("generation", 1))}
        spec = body["spec"]
        affinity = copy.deepcopy(spec.get("affinity") or {})
        terms = ((affinity.setdefault("nodeAffinity", {}).get(_REQUIRED)) or {}).get("nodeSelectorTerms") or [{}]
        field = {"key": "metadata.name", "operator": "In", "values": [node_name]}
        affinity["nodeAffinity"][_REQUIRED] = {"nodeSelectorTerms": [{**t, "matchFields": [field]} for t in terms]}
        spec["affinity"] = affinity
        spec["tolerations"] = [*(spec.get("tolerations") or ()), *copy.deepcopy(_TOLERATIONS)]
        try:
            pod = self.cluster.create("pods", metadata["namespace"], body, user=self.user)
        except ApiError as error:
            self._event(daemonset, "Warning", "FailedCreate", f"Error creating: {error}")
            return error
        self._event(daemonset, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return None

    def _delete(self, daemonset: Object, pod: Object) -> None:
        if pod["metadata"].get("deletionTimestamp"):
            return
        namespace, name = key_of(pod)
        self.cluster.delete("pods", namespace, name, user=self.user, uid=pod["metadata"]["uid"])
        self._event(daemonset, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

    @staticmethod
    def _surge(daemonset: Object, nodes: int) -> int:
        """On how many nodes a new pod may run beside the old one."""
        strategy = daemonset["spec"].get("updateStrategy") or {}
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            return 0
        return rollout.scaled_value((strategy.get("rollingUpdate") or {}).get("maxSurge", 0), nodes, round_up=True)

    def _is_available(self, daemonset: Object, pod: Object) -> bool:
        return pods.is_available(pod, daemonset["spec"].get("minReadySeconds", 0), self.context.now())

    def _surplus(self, daemonset: Object, present: list[Object], suffix: str) -> list[Object]:
        """What a node has too many of; with a surge the old pod stays until the new one is available."""
        ordered = sorted(filter(pods.is_active, present), key=rollout.created)
        if not self._surge(daemonset, 1):
            return ordered[1:]
        new = [pod for pod in ordered if _is_of(pod, suffix)]
        old = [pod for pod in ordered if not _is_of(pod, suffix)]
        if new and self._is_available(daemonset, new[0]):
            return [*old, *new[1:]]
        return [*old[1:], *new[1:]]

    def _add_new(self, daemonset: Object, by_node: dict[str, list[Object]], suffix: str) -> ApiError | None:
        """RollingUpdate by surge: new pods beside old ones; an old one that is not available needs no room for it."""
        free, candidates, at_once = self._surge(daemonset, len(by_node)), [], []
        for name, present in by_node.items():
            active = [pod for pod in present if pods.is_active(pod)]
            new = [pod for pod in active if _is_of(pod, suffix)]
            old = [pod for pod in active if not _is_of(pod, suffix)]
            if not old:
                continue
            if new:
                free -= not self._is_available(daemonset, new[0])
            elif self._is_available(daemonset, old[0]):
                candidates.append(name)
            else:
                at_once.append(name)
        for name in [*at_once, *candidates[: max(0, free)]]:
            failure = self._create(daemonset, name, suffix)
            if failure is not None:
                return failure
        return None

    def _update(self, daemonset: Object, current: list[Object], nodes: int, suffix: str) -> None:
        """RollingUpdate: replace pods of older templates, at most maxUnavailable at a time."""
        strategy = daemonset["spec"].get("updateStrategy") or {}
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            return
        limit = max(
            1,
            rollout.scaled_value((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1), nodes, round_up=True),
        )
        up = [pod for pod in current if pods.is_active(pod) and pods.is_ready(pod)]
        old = [
            p for p in current if pods.is_active(p) and (p["metadata"].get("labels") or {}).get(HASH_LABEL) != suffix
        ]
        budget = limit - (nodes - len(up))
        for pod in sorted(old, key=pods.is_ready):
            if not pods.is_ready(pod):
                self._delete(daemonset, pod)
            elif budget > 0:
                self._delete(daemonset, pod)
                budget -= 1

    def _write_status(self, daemonset: Object, by_node: dict[str, list[Object]], names: set[str], suffix: str) -> None:
        right = [next((p for p in by_node.get(name, ()) if pods.is_active(p)), None) for name in names]
        placed = [pod for pod in right if pod is not None]
        min_ready = daemonset["spec"].get("minReadySeconds", 0)
        now = self.context.now()
        usable = sum(pods.is_available(pod, min_ready, now) for pod in placed)
        waiting = (p for there in by_node.values() for p in there if pods.is_ready(p))
        if any(not pods.is_available(pod, min_ready, now) for pod in waiting):
            self.queue.add_after(key_of(daemonset), 1.0)
        updated = sum((pod["metadata"].get("labels") or {}).get(HASH_LABEL) == suffix for pod in placed)
        status: Object = {
            "currentNumberScheduled": len(placed),
            "numberMisscheduled": sum(
                any(map(pods.is_active, there)) for name, there in by_node.items() if name not in names
            ),
            "desiredNumberScheduled": len(names),
            "numberReady": sum(map(pods.is_ready, placed)),
            "observedGeneration": daemonset["metadata"].get("generation", 1),
        }
        extras = {
            "updatedNumberScheduled": updated, "numberAvailable": usable, "numberUnavailable": len(names) - usable,
        }  # fmt: skip
        status |= {field: count for field, count in extras.items() if count}
        if status != daemonset.get("status"):
            self.cluster.mutate(
                RESOURCE,
                *key_of(daemonset),
                lambda body: body.update(status=status),
                user=self.user,
                subresource="status",
            )

    def _event(self, daemonset: Object, type_: str, reason: str, message: str) -> None:
        self.cluster.record_event(
            daemonset, type="Warning" if type_ == "Warning" else "Normal", reason=reason, message=message,
            component=self.component,
        )  # fmt: skip


def _is_of(pod: Object, suffix: str) -> bool:
    return bool((pod["metadata"].get("labels") or {}).get(HASH_LABEL) == suffix)


def _target_node(pod: Object) -> str:
    """The node a daemon pod is for, bound or not."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    required = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name" and field.get("values"):
                return str(field["values"][0])
    return ""
