"""Deployment: rolls from one ReplicaSet to the next and reports how it goes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from healing.sandbox.ports import ApiError, EventType, Object
from healing.sandbox.world import conditions, pods
from healing.sandbox.world.controllers import deployment_status, rollout
from healing.sandbox.world.controllers.rollout import DESIRED_REPLICAS, HASH_LABEL, MAX_REPLICAS, REVISION
from healing.sandbox.world.owners import claim, controller_of, owner_reference, template_hash
from healing.sandbox.world.reconciler import Key, Reconciler, Retry, key_of
from healing.sandbox.world.selectors import matches

RESOURCE = "deployments.apps"
REPLICASETS = "replicasets.apps"


class DeploymentController(Reconciler):
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
        deployment, replicasets, new = self._sync_revision(deployment, replicasets, create=True)
        if new is None:
            return
        wanted = rollout.replicas(deployment)
        current = rollout.replicas(new)
        size = min(wanted, rollout.size_of_new(deployment, replicasets, current)) if current < wanted else wanted
        if self._resize(deployment, new, size) or self._shrink_old(deployment, replicasets, new):
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
            changed |= self._resize(deployment, rs, sizes[rs["metadata"]["name"]])
        return changed

    def _recreate(self, deployment: Object, replicasets: list[Object]) -> None:
        deployment, replicasets, new = self._sync_revision(deployment, replicasets, create=False)
        old = [rs for rs in replicasets if new is None or rs["metadata"]["uid"] != new["metadata"]["uid"]]
        shrunk = False
        for rs in old:
            shrunk |= self._resize(deployment, rs, 0)
        if shrunk or self._old_pods_remain(deployment, old):
            self._refresh_status(deployment)
            return
        if new is None:
            deployment, replicasets, new = self._sync_revision(deployment, replicasets, create=True)
        if new is not None and not self._resize(deployment, new, rollout.replicas(deployment)):
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
        deployment, replicasets, new = self._sync_revision(deployment, replicasets, create=False)
        wanted = rollout.replicas(deployment)
        active = [rs for rs in replicasets if rollout.replicas(rs)]
        if len(active) <= 1:
            candidates = active or ([new] if new else sorted(replicasets, key=rollout.created)[-1:])
            if candidates:
                self._resize(deployment, candidates[0], wanted)
        elif new is not None and rollout.replicas(new) == wanted == rollout.available(new):
            for rs in active:
                if rs["metadata"]["uid"] != new["metadata"]["uid"]:
                    self._resize(deployment, rs, 0)
        elif rollout.is_rolling(deployment):
            sizes = rollout.proportional_sizes(deployment, active)
            for rs in active:
                self._resize(deployment, rs, sizes[rs["metadata"]["name"]], annotate=True)
        if deployment["spec"].get("paused"):
            self._clean_up(deployment, replicasets, new)
        self._refresh_status(deployment, rolling=False)

    def _is_scaling(self, deployment: Object, replicasets: Sequence[Object]) -> bool:
        wanted = str(rollout.replicas(deployment))
        for rs in replicasets:
            desired = (rs["metadata"].get("annotations") or {}).get(DESIRED_REPLICAS)
            if rollout.replicas(rs) and desired is not None and desired != wanted:
                return True
        return False

    # --- ReplicaSets

    def _sync_revision(
        self, deployment: Object, replicasets: list[Object], *, create: bool
    ) -> tuple[Object, list[Object], Object | None]:
        """Find (or make) the new ReplicaSet and number it one above all others."""
        new = rollout.find_new(deployment, replicasets)
        others = [rs for rs in replicasets if new is None or rs["metadata"]["uid"] != new["metadata"]["uid"]]
        revision = max((rollout.revision_of(rs) for rs in others), default=0) + 1
        created_now = False
        if new is None:
            if not create:
                return deployment, replicasets, None
            new = self._create_replicaset(deployment, others, revision)
            created_now = True
            replicasets = [*others, new]
        else:
            new = self._annotate(deployment, new, revision)
            replicasets = [*others, new]
        current = conditions.find((deployment.get("status") or {}).get("conditions") or [], "Progressing")
        name = new["metadata"]["name"]
        note: tuple[str, str] | None = None
        if deployment_status.has_deadline(deployment):
            if created_now:
                note = ("NewReplicaSetCreated", f'Created new replica set "{name}"')
            elif current is None:
                note = ("FoundNewReplicaSet", f'Found new replica set "{name}"')
        number = (new["metadata"].get("annotations") or {}).get(REVISION, str(revision))
        deployment = self._note_revision(deployment, number, note)
        return deployment, replicasets, new

    def _note_revision(self, deployment: Object, revision: str, note: tuple[str, str] | None) -> Object:
        known = (deployment["metadata"].get("annotations") or {}).get(REVISION)
        if known == revision and note is None:
            return deployment
        stamp = self.context.timestamp()

        def change(body: Object) -> None:
            body["metadata"].setdefault("annotations", {})[REVISION] = revision
            if note is not None:
                status = body.setdefault("status", {})
                entries = status.get("conditions") or []
                status["conditions"] = conditions.set_workload(entries, "Progressing", "True", *note, stamp)

        return self.cluster.mutate(RESOURCE, *key_of(deployment), change, user=self.user, subresource="status")

    def _create_replicaset(self, deployment: Object, old: Sequence[Object], revision: int) -> Object:
        metadata, spec = deployment["metadata"], deployment["spec"]
        collisions = int((deployment.get("status") or {}).get("collisionCount", 0))
        suffix = template_hash(spec["template"], collisions)
        template = copy.deepcopy(spec["template"])
        template.setdefault("metadata", {}).setdefault("labels", {})[HASH_LABEL] = suffix
        selector = copy.deepcopy(spec["selector"])
        selector.setdefault("matchLabels", {})[HASH_LABEL] = suffix
        annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in rollout.NOT_INHERITED}
        surge, _ = rollout.surge_and_unavailable(deployment)
        annotations |= {
            REVISION: str(revision),
            DESIRED_REPLICAS: str(rollout.replicas(deployment)),
            MAX_REPLICAS: str(rollout.replicas(deployment) + surge),
        }
        size = rollout.size_of_new(deployment, old, 0)
        body: Object = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name']}-{suffix}",
                "labels": dict(template["metadata"]["labels"]),
                "annotations": annotations,
                "ownerReferences": [owner_reference(deployment, "apps/v1", "Deployment")],
            },
            "spec": {"replicas": size, "selector": selector, "template": template},
        }
        if spec.get("minReadySeconds"):
            body["spec"]["minReadySeconds"] = spec["minReadySeconds"]
        try:
            replicaset = self.cluster.create(REPLICASETS, metadata["namespace"], body, user=self.user)
        except ApiError as error:
            self._creation_failed(deployment, body["metadata"]["name"], collisions, error)
            raise Retry from error
        if size:
            self._scaling_event(deployment, replicaset, 0, size)
        return replicaset

    def _creation_failed(self, deployment: Object, name: str, collisions: int, error: ApiError) -> None:
        stamp = self.context.timestamp()

        def change(body: Object) -> None:
            status = body.setdefault("status", {})
            if error.reason == "AlreadyExists":
                # Another template with this hash: the next try gets a different name.
                status["collisionCount"] = collisions + 1
                return
            status["conditions"] = conditions.set_workload(
                status.get("conditions") or [], "Progressing", "False", "ReplicaSetCreateError",
                f'Failed to create new replica set "{name}": {error}', stamp,
            )  # fmt: skip

        self.cluster.mutate(RESOURCE, *key_of(deployment), change, user=self.user, subresource="status")
        if error.reason != "AlreadyExists":
            self.cluster.record_event(
                deployment, type="Warning", reason="ReplicaSetCreateError",
                message=f'Failed to create new replica set "{name}": {error}', component=self.component,
            )  # fmt: skip

    def _annotate(self, deployment: Object, replicaset: Object, revision: int) -> Object:
        """Give the ReplicaSet its Deployment's annotations, and a higher revision number where it is due."""
        inherited = {
            key: value
            for key, value in (deployment["metadata"].get("annotations") or {}).items()
            if key not in rollout.NOT_INHERITED
        }
        present = replicaset["metadata"].get("annotations") or {}
        number = rollout.revision_of(replicaset)
        min_ready = deployment["spec"].get("minReadySeconds", 0)
        stale = replicaset["spec"].get("minReadySeconds", 0) != min_ready
        if number >= revision and inherited.items() <= present.items() and not stale:
            return replicaset

        def change(body: Object) -> None:
            annotations = body["metadata"].setdefault("annotations", {})
            annotations.update(inherited)
            if number < revision:
                if number:
                    history = annotations.get(rollout.REVISION_HISTORY)
                    annotations[rollout.REVISION_HISTORY] = f"{history},{number}" if history else str(number)
                annotations[REVISION] = str(revision)
            if min_ready:
                body["spec"]["minReadySeconds"] = min_ready
            else:
                body["spec"].pop("minReadySeconds", None)

        return self.cluster.mutate(REPLICASETS, *key_of(replicaset), change, user=self.user)

    def _resize(self, deployment: Object, replicaset: Object, size: int, *, annotate: bool = False) -> bool:
        """Set a ReplicaSet's size; true if its number of pods changes."""
        before = rollout.replicas(replicaset)
        surge, _ = rollout.surge_and_unavailable(deployment)
        notes = {
            DESIRED_REPLICAS: str(rollout.replicas(deployment)),
            MAX_REPLICAS: str(rollout.replicas(deployment) + surge),
        }
        noted = notes.items() <= (replicaset["metadata"].get("annotations") or {}).items()
        if before == size and (noted or not (annotate or size)):
            return False

        def change(body: Object) -> None:
            body["spec"]["replicas"] = size
            body["metadata"].setdefault("annotations", {}).update(notes)

        changed = self.cluster.mutate(REPLICASETS, *key_of(replicaset), change, user=self.user)
        if before != size:
            self._scaling_event(deployment, changed, before, size)
        return before != size

    def _scaling_event(self, deployment: Object, replicaset: Object, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        name = replicaset["metadata"]["name"]
        self.cluster.record_event(
            deployment, type="Normal", reason="ScalingReplicaSet",
            message=f"Scaled {direction} replica set {name} from {before} to {after}", component=self.component,
        )  # fmt: skip

    def _clean_up(self, deployment: Object, replicasets: Sequence[Object], new: Object | None) -> None:
        """Keep ``revisionHistoryLimit`` old ReplicaSets for undo."""
        limit = deployment["spec"].get("revisionHistoryLimit")
        if limit is None:
            return
        old = [rs for rs in replicasets if new is None or rs["metadata"]["uid"] != new["metadata"]["uid"]]
        old.sort(key=lambda rs: (rollout.revision_of(rs), rollout.created(rs)))
        for rs in old[: max(0, len(old) - limit)]:
            status = rs.get("status") or {}
            if rollout.replicas(rs) or status.get("replicas") or rs["metadata"].get("deletionTimestamp"):
                continue
            if rs["metadata"].get("generation", 1) > status.get("observedGeneration", 0):
                continue
            self.cluster.delete(REPLICASETS, *key_of(rs), user=self.user, uid=rs["metadata"]["uid"])

    # --- status

    def _finish(self, deployment: Object, replicasets: Sequence[Object], new: Object) -> None:
        if deployment_status.is_complete(deployment, deployment.get("status") or {}):
            self._clean_up(deployment, replicasets, new)
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
            status["conditions"] = conditions.set_workload(
                status.get("conditions") or [], "Progressing", "Unknown", *note, stamp
            )

        return self.cluster.mutate(RESOURCE, *key_of(deployment), change, user=self.user, subresource="status")
