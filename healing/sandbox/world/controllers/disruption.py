"""PodDisruptionBudget status: how many of its pods may be evicted now."""

from __future__ import annotations

from healing.sandbox.ports import EventType, Object
from healing.sandbox.world import pods
from healing.sandbox.world.context import parse_time
from healing.sandbox.world.controllers.rollout import scaled_value
from healing.sandbox.world.owners import controller_of
from healing.sandbox.world.reconciler import Key, Reconciler, key_of
from healing.sandbox.world.selectors import matches

RESOURCE = "poddisruptionbudgets.policy"
#: an eviction that the API server noted but no deletion followed is forgotten after so long
DISRUPTION_TIMEOUT_SECONDS = 120.0
_SCALABLE = {
    "Deployment": "deployments.apps", "ReplicaSet": "replicasets.apps", "StatefulSet": "statefulsets.apps",
    "ReplicationController": "replicationcontrollers",
}  # fmt: skip


class DisruptionController(Reconciler):
    component = "controllermanager"
    account = "disruption-controller"

    def watch(self) -> None:
        self.on_own(RESOURCE)
        self.on("pods", self._pod_changed)

    def _pod_changed(self, _event: EventType, pod: Object, old: Object | None) -> None:
        for budget in self.cluster.list(RESOURCE, pod["metadata"]["namespace"]):
            selector = budget["spec"].get("selector")
            if any(matches(selector, item["metadata"].get("labels") or {}) for item in (pod, old) if item):
                self.queue.add(key_of(budget))

    def reconcile(self, key: Key) -> None:
        budget = self.cluster.get(RESOURCE, *key)
        if budget is None:
            return
        members = [
            pod
            for pod in self.cluster.list("pods", key[0])
            if matches(budget["spec"].get("selector"), pod["metadata"].get("labels") or {})
            and not pods.is_terminal(pod)
        ]
        disrupted = self._disrupted(budget, members)
        healthy = sum(
            pods.is_ready(pod)
            and not pod["metadata"].get("deletionTimestamp")
            and pod["metadata"]["name"] not in disrupted
            for pod in members
        )
        expected, desired = self._expectation(budget, members)
        allowed = max(0, healthy - desired) if expected > 0 else 0
        old = budget.get("status") or {}
        generation = budget["metadata"].get("generation", 1)
        status: Object = {"observedGeneration": generation}
        if disrupted:
            status["disruptedPods"] = disrupted
        status |= {
            "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": desired,
            "expectedPods": expected,
        }  # fmt: skip
        status["conditions"] = [self._condition(old, allowed, generation)]
        if status != old:
            self.cluster.mutate(
                RESOURCE, *key, lambda body: body.update(status=status), user=self.user, subresource="status"
            )
        if disrupted:
            self.queue.add_after(key, DISRUPTION_TIMEOUT_SECONDS)

    def _disrupted(self, budget: Object, members: list[Object]) -> dict[str, str]:
        """Evictions granted whose pods do not show it yet."""
        by_name = {pod["metadata"]["name"]: pod for pod in members}
        noted = (budget.get("status") or {}).get("disruptedPods") or {}
        now = self.context.now()
        return {
            name: since
            for name, since in noted.items()
            if name in by_name
            and not by_name[name]["metadata"].get("deletionTimestamp")
            and now - parse_time(since) < DISRUPTION_TIMEOUT_SECONDS
        }

    def _expectation(self, budget: Object, members: list[Object]) -> tuple[int, int]:
        """(expectedPods, desiredHealthy). Percentages and maxUnavailable count from the owners' sizes."""
        spec = budget["spec"]
        minimum, maximum = spec.get("minAvailable"), spec.get("maxUnavailable")
        if maximum is not None:
            expected = self._wanted_by_owners(members)
            return expected, max(0, expected - scaled_value(maximum, expected, round_up=True))
        if isinstance(minimum, str):
            expected = self._wanted_by_owners(members)
            return expected, scaled_value(minimum, expected, round_up=True)
        return len(members), minimum or 0

    def _wanted_by_owners(self, members: list[Object]) -> int:
        sizes: dict[str, int] = {}
        alone = 0
        for pod in members:
            owner = self._scalable_owner(pod)
            if owner is None:
                alone += 1
            else:
                sizes[owner["metadata"]["uid"]] = owner["spec"].get("replicas", 1)
        return sum(sizes.values()) + alone

    def _scalable_owner(self, pod: Object) -> Object | None:
        found: Object | None = None
        item: Object | None = pod
        while item is not None and (reference := controller_of(item)) is not None:
            resource = _SCALABLE.get(reference["kind"])
            item = self.cluster.get(resource, pod["metadata"]["namespace"], reference["name"]) if resource else None
            found = item or found
        return found

    def _condition(self, old: Object, allowed: int, generation: int) -> Object:
        status = "True" if allowed > 0 else "False"
        before = next((c for c in old.get("conditions") or () if c["type"] == "DisruptionAllowed"), None)
        same = before is not None and before["status"] == status
        return {
            "type": "DisruptionAllowed",
            "status": status,
            "observedGeneration": generation,
            "lastTransitionTime": before["lastTransitionTime"] if same and before else self.context.timestamp(),
            "reason": "SufficientPods" if allowed > 0 else "InsufficientPods",
            "message": "",
        }
