"""Deployment: rolls from one ReplicaSet to the next and reports how it goes."""

from __future__ import annotations

from collections.abc import Sequence

from healing.sandbox.ports import EventType, Object
from healing.sandbox.world import conditions, pods
from healing.sandbox.world.controllers import deployment_status, rollout
from healing.sandbox.world.controllers.deployment_sets import REPLICASETS, RESOURCE, ReplicaSetKeeper
from healing.sandbox.world.controllers.rollout import DESIRED_REPLICAS
from healing.sandbox.world.owners import claim, controller_of
from healing.sandbox.world.reconciler import Key, key_of
from healing.sandbox.world.selectors import matches


class DeploymentController(ReplicaSetKeeper):
    component = "deployment-controller"

    def watch(self) -> None:
        self.on_own(RESOURCE)
        self.on(REPLICASETS, self._replicaset_changed)
        self.on("pods", self._pod_changed)

    def _replicaset_changed(self, _event: EventType, replicaset: Object, old: Object | None) -> None:
        namespace = replicaset["metadata"]["namespace"]
        owners = [ref for item in (replicaset, old) if item and (ref := controller_of(item))]
        for owner in owners:
            if owner["kind"] == "Deployment":
                self.queue.add((namespace, owner["name"]))
        if not owners:
            for deployment in self.cluster.list(RESOURCE, namespace):
                if matches(deployment["spec"].get("selector"), replicaset["metadata"].get("labels") or {}):
                    self.queue.add(key_of(deployment))

    def _pod_changed(self, event: EventType, pod: Object, old: Object | None) -> None:
        """Recreate waits for its old pods to be gone."""
        if event != "DELETED" and not (old is not None and pods.is_terminal(pod) and not pods.is_terminal(old)):
            return
        owner = controller_of(pod)
        if owner is None or owner["kind"] != "ReplicaSet":
            return
        namespace = pod["metadata"]["namespace"]
        replicaset = self.cluster.get(REPLICASETS, namespace, owner["name"])
        deployment = controller_of(replicaset) if replicaset is not None else None
        if deployment is not None:
            self.queue.add((namespace, deployment["name"]))

    def reconcile(self, key: Key) -> None:
        deployment = self.cluster.get(RESOURCE, *key)
        if deployment is None:
            return
        replicasets = claim(
            self.context, deployment, api_version="apps/v1", kind="Deployment", resource=REPLICASETS,
            candidates=self.cluster.list(REPLICASETS, key[0]), user=self.user,
        )  # fmt: skip
        if deployment["metadata"].get("deletionTimestamp"):
            self._write_status(deployment, replicasets, rollout.find_new(deployment, replicasets), rolling=False)
            return
        deployment = self._check_paused(deployment)
        if deployment["spec"].get("paused") or self._is_scaling(deployment, replicasets):
            self._scale_only(deployment, replicasets)
        elif rollout.is_rolling(deployment):
            self._roll(deployment, replicasets)
        else:
            self._recreate(deployment, replicasets)

    # --- strategies

    def _roll(self, deployment: Object, replicasets: list[Object]) -> None:
        deployment, replicasets, new = self.sync_revision(deployment, replicasets, create=True)
        if new is None:
            return
        wanted = rollout.replicas(deployment)
        current = rollout.replicas(new)
        size = min(wanted, rollout.size_of_new(deployment, replicasets, current)) if current < wanted else wanted
        if self.resize(deployment, new, size) or self._shrink_old(deployment, replicasets, new):
            self._refresh_status(deployment)
            return
        self._finish(deployment, replicasets, new)

    def _shrink_old(self, deployment: Object, replicasets: Sequence[Object], new: Object) -> bool:
        """Take pods from old ReplicaSets, first those that are not available anyway, within maxUnavailable."""
        old = [rs for rs in replicasets if rs["metadata"]["uid"] != new["metadata"]["uid"] and rollout.replicas(rs)]
        if not old:
            return False
        least = rollout.replicas(deployment) - rollout.max_unavailable(deployment)
        unavailable_new = rollout.replicas(new) - rollout.available(new)
        budget = sum(rollout.replicas(rs) for rs in replicasets) - least - unavailable_new
        if budget <= 0:
            return False
        changed = False
        sizes = {rs["metadata"]["name"]: rollout.replicas(rs) for rs in old}
        for rs in sorted(old, key=rollout.created):
            unhealthy = min(budget, sizes[rs["metadata"]["name"]] - rollout.available(rs))
            if unhealthy > 0:
                sizes[rs["metadata"]["name"]] -= unhealthy
                budget -= unhealthy
        spare = sum(rollout.available(rs) for rs in replicasets) - least
        for rs in sorted(old, key=rollout.created):
            fewer = min(spare, sizes[rs["metadata"]["name"]])
            if fewer > 0:
                sizes[rs["metadata"]["name"]] -= fewer
                spare -= fewer
        for rs in old:
            changed |= self.resize(deployment, rs, sizes[rs["metadata"]["name"]])
        return changed

    def _recreate(self, deployment: Object, replicasets: list[Object]) -> None:
        deployment, replicasets, new = self.sync_revision(deployment, replicasets, create=False)
        old = [rs for rs in replicasets if new is None or rs["metadata"]["uid"] != new["metadata"]["uid"]]
        shrunk = False
        for rs in old:
            shrunk |= self.resize(deployment, rs, 0)
        if shrunk or self._old_pods_remain(deployment, old):
            self._refresh_status(deployment)
            return
        if new is None:
            deployment, replicasets, new = self.sync_revision(deployment, replicasets, create=True)
        if new is not None and not self.resize(deployment, new, rollout.replicas(deployment)):
            self._finish(deployment, replicasets, new)
        else:
            self._refresh_status(deployment)

    def _old_pods_remain(self, deployment: Object, old: Sequence[Object]) -> bool:
        uids = {rs["metadata"]["uid"] for rs in old}
        return any(
            (owner := controller_of(pod)) and owner["uid"] in uids and not pods.is_terminal(pod)
            for pod in self.cluster.list("pods", deployment["metadata"]["namespace"])
        )

    def _scale_only(self, deployment: Object, replicasets: list[Object]) -> None:
        """A paused Deployment, or one whose size changed: no new ReplicaSet, only sizes."""
        deployment, replicasets, new = self.sync_revision(deployment, replicasets, create=False)
        wanted = rollout.replicas(deployment)
        active = [rs for rs in replicasets if rollout.replicas(rs)]
        if len(active) <= 1:
            candidates = active or ([new] if new else sorted(replicasets, key=rollout.created)[-1:])
            if candidates:
                self.resize(deployment, candidates[0], wanted)
        elif new is not None and rollout.replicas(new) == wanted == rollout.available(new):
            for rs in active:
                if rs["metadata"]["uid"] != new["metadata"]["uid"]:
                    self.resize(deployment, rs, 0)
        elif rollout.is_rolling(deployment):
            sizes = rollout.proportional_sizes(deployment, active)
            for rs in active:
                self.resize(deployment, rs, sizes[rs["metadata"]["name"]], annotate=True)
        if deployment["spec"].get("paused"):
            self.clean_up(deployment, replicasets, new)
        self._refresh_status(deployment, rolling=False)

    def _is_scaling(self, deployment: Object, replicasets: Sequence[Object]) -> bool:
        wanted = str(rollout.replicas(deployment))
        for rs in replicasets:
            desired = (rs["metadata"].get("annotations") or {}).get(DESIRED_REPLICAS)
            if rollout.replicas(rs) and desired is not None and desired != wanted:
                return rollout.is_rolling(deployment) or sum(map(bool, map(rollout.replicas, replicasets))) == 1
        return False

    # --- status

    def _finish(self, deployment: Object, replicasets: Sequence[Object], new: Object) -> None:
        if deployment_status.is_complete(deployment, deployment.get("status") or {}):
            self.clean_up(deployment, replicasets, new)
        self._refresh_status(deployment)

    def _refresh_status(self, deployment: Object, *, rolling: bool = True) -> None:
        """Status from the ReplicaSets as they are now, after this reconciliation's own changes."""
        key = key_of(deployment)
        latest = self.cluster.get(RESOURCE, *key)
        if latest is None:
            return
        uid = latest["metadata"]["uid"]
        owned = [
            rs for rs in self.cluster.list(REPLICASETS, key[0]) if (owner := controller_of(rs)) and owner["uid"] == uid
        ]
        self._write_status(latest, owned, rollout.find_new(latest, owned), rolling=rolling)

    def _write_status(
        self, deployment: Object, replicasets: Sequence[Object], new: Object | None, *, rolling: bool
    ) -> None:
        now = self.context.now()
        status = deployment_status.calculate(deployment, replicasets, new, now)
        if rolling:
            deployment_status.progress(deployment, replicasets, new, status, now)
        if status == deployment.get("status"):
            if rolling:
                self._watch_deadline(deployment, now)
            return

        def change(body: Object) -> None:
            body["status"] = status

        self.cluster.mutate(RESOURCE, *key_of(deployment), change, user=self.user, subresource="status")

    def _watch_deadline(self, deployment: Object, now: float) -> None:
        """Nothing will happen to a stuck rollout: come back when its deadline has passed."""
        status = deployment.get("status") or {}
        progressing = conditions.find(status.get("conditions") or [], "Progressing")
        if progressing is None or not deployment_status.has_deadline(deployment):
            return
        if progressing["reason"] in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
            return
        left = deployment_status.seconds_to_deadline(deployment, progressing, now)
        self.queue.add_after(key_of(deployment), max(left, 0) + 0.3)

    def _check_paused(self, deployment: Object) -> Object:
        """Say in Progressing that the Deployment is paused or resumed, so that its deadline does not run."""
        if not deployment_status.has_deadline(deployment):
            return deployment
        current = conditions.find((deployment.get("status") or {}).get("conditions") or [], "Progressing")
        if current is not None and current["reason"] == "ProgressDeadlineExceeded":
            return deployment
        paused = bool(deployment["spec"].get("paused"))
        was_paused = current is not None and current["reason"] == "DeploymentPaused"
        if paused == was_paused:
            return deployment
        note = (
            ("DeploymentPaused", "Deployment is paused") if paused else ("DeploymentResumed", "Deployment is resumed")
        )
        stamp = self.context.timestamp()

        def change(body: Object) -> None:
            status = body.setdefault("status", {})
            entries = status.get("conditions") or []
            status["conditions"] = conditions.set_workload(entries, "Progressing", ("Unknown", *note), stamp)

        return self.cluster.mutate(RESOURCE, *key_of(deployment), change, user=self.user, subresource="status")
