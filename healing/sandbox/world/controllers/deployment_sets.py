"""The ReplicaSets of a Deployment: the one of its present template, their revisions, sizes and history."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from healing.sandbox.ports import ApiError, Object
from healing.sandbox.world import conditions
from healing.sandbox.world.controllers import deployment_status, rollout
from healing.sandbox.world.controllers.rollout import DESIRED_REPLICAS, HASH_LABEL, MAX_REPLICAS, REVISION
from healing.sandbox.world.owners import owner_reference, template_hash
from healing.sandbox.world.reconciler import Reconciler, RetryLaterError, key_of

RESOURCE = "deployments.apps"
REPLICASETS = "replicasets.apps"


class ReplicaSetKeeper(Reconciler):
    """What the Deployment controller does to ReplicaSets, apart from when."""

    def sync_revision(
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
                status["conditions"] = conditions.set_workload(entries, "Progressing", ("True", *note), stamp)

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
            raise RetryLaterError from error
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
            verdict = ("False", "ReplicaSetCreateError", f'Failed to create new replica set "{name}": {error}')
            entries = status.get("conditions") or []
            status["conditions"] = conditions.set_workload(entries, "Progressing", verdict, stamp)

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

    def resize(self, deployment: Object, replicaset: Object, size: int, *, annotate: bool = False) -> bool:
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

    def clean_up(self, deployment: Object, replicasets: Sequence[Object], new: Object | None) -> None:
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
