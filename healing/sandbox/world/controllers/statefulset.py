"""StatefulSet: pods with an identity, made and updated in order."""

from __future__ import annotations

import copy

from healing.sandbox.ports import ApiError, EventType, Object
from healing.sandbox.world import pods
from healing.sandbox.world.controllers.revisions import revision_for, template_of
from healing.sandbox.world.owners import claim, controller_of, owner_reference
from healing.sandbox.world.reconciler import Key, Reconciler, RetryLaterError, key_of

RESOURCE = "statefulsets.apps"
HASH_LABEL = "controller-revision-hash"


class StatefulSetController(Reconciler):
    component = "statefulset-controller"

    def watch(self) -> None:
        self.on_own(RESOURCE)
        self.on("pods", self._pod_changed)

    def _pod_changed(self, _event: EventType, pod: Object, old: Object | None) -> None:
        for item in (pod, old):
            owner = controller_of(item) if item is not None else None
            if owner is not None and owner["kind"] == "StatefulSet":
                self.queue.add((pod["metadata"]["namespace"], owner["name"]))

    def reconcile(self, key: Key) -> None:
        stateful = self.cluster.get(RESOURCE, *key)
        if stateful is None or stateful["metadata"].get("deletionTimestamp"):
            return
        owned = claim(
            self.context, stateful, api_version="apps/v1", kind="StatefulSet", resource="pods",
            candidates=self.cluster.list("pods", key[0]), user=self.user,
        )  # fmt: skip
        update = revision_for(self.context, stateful, "StatefulSet", self.user)
        status = stateful.get("status") or {}
        name = stateful["metadata"]["name"]
        current = (status.get("currentRevision") or f"{name}-{update}").removeprefix(f"{name}-")
        by_ordinal = {number: pod for pod in owned if (number := _ordinal(stateful, pod)) is not None}
        try:
            self._step(stateful, by_ordinal, current, update)
        finally:
            self._write_status(stateful, current, update)

    def _step(self, stateful: Object, by_ordinal: dict[int, Object], current: str, update: str) -> None:
        spec = stateful["spec"]
        wanted, first = spec.get("replicas", 1), (spec.get("ordinals") or {}).get("start", 0)
        ordered = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        strategy = spec.get("updateStrategy") or {}
        partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
        for ordinal in range(first, first + wanted):
            pod = by_ordinal.get(ordinal)
            if pod is not None and pods.is_terminal(pod):
                self._delete(stateful, pod)
                pod = None if not ordered else pod
            if pod is None:
                suffix = current if ordinal - first < partition else update
                if strategy.get("type") == "OnDelete":
                    suffix = update
                self._create(stateful, ordinal, suffix)
                if ordered:
                    return
            elif ordered and not self._is_up(stateful, pod):
                return
        surplus = sorted((o for o in by_ordinal if not first <= o < first + wanted), reverse=True)
        for ordinal in surplus:
            self._delete(stateful, by_ordinal[ordinal])
            if ordered:
                return
        if strategy.get("type", "RollingUpdate") == "RollingUpdate":
            self._update(stateful, by_ordinal, range(first + wanted - 1, first + partition - 1, -1), update)

    def _update(self, stateful: Object, by_ordinal: dict[int, Object], ordinals: range, update: str) -> None:
        """From the last to the first, each only when those after it are up again."""
        for ordinal in ordinals:
            pod = by_ordinal.get(ordinal)
            if pod is None:
                return
            if (pod["metadata"].get("labels") or {}).get(HASH_LABEL) != self._revision_name(stateful, update):
                self._delete(stateful, pod)
                return
            if not self._is_up(stateful, pod):
                return

    def _is_up(self, stateful: Object, pod: Object) -> bool:
        min_ready = stateful["spec"].get("minReadySeconds", 0)
        return pods.is_active(pod) and pods.is_available(pod, min_ready, self.context.now())

    @staticmethod
    def _revision_name(stateful: Object, suffix: str) -> str:
        return f"{stateful['metadata']['name']}-{suffix}"

    def _create(self, stateful: Object, ordinal: int, suffix: str) -> None:
        metadata, spec = stateful["metadata"], stateful["spec"]
        name = f"{metadata['name']}-{ordinal}"
        template = template_of(self.context, stateful, suffix) or spec["template"]
        body = pods.from_template(
            template, generate_name=f"{metadata['name']}-", owner=owner_reference(stateful, "apps/v1", "StatefulSet")
        )
        body["metadata"]["name"] = name
        body["metadata"].setdefault("labels", {}).update({
            HASH_LABEL: self._revision_name(stateful, suffix), "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(ordinal),
        })  # fmt: skip
        body["spec"]["hostname"] = name
        if spec.get("serviceName"):
            body["spec"]["subdomain"] = spec["serviceName"]
        refusals = [
            found
            for claim_template in spec.get("volumeClaimTemplates") or ()
            if (found := self._ensure_claim(stateful, claim_template, name, body))
        ]
        if refusals:
            listed = refusals[0] if len(refusals) == 1 else f"[{', '.join(refusals)}]"
            message = f"create Pod {name} in StatefulSet {metadata['name']} failed error: {listed}"
            self._event(stateful, "Warning", "FailedCreate", message)
            raise RetryLaterError
        try:
            self.cluster.create("pods", metadata["namespace"], body, user=self.user)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return
            message = f"create Pod {name} in StatefulSet {metadata['name']} failed error: {error}"
            self._event(stateful, "Warning", "FailedCreate", message)
            raise RetryLaterError from error
        message = f"create Pod {name} in StatefulSet {metadata['name']} successful"
        self._event(stateful, "Normal", "SuccessfulCreate", message)

    def _ensure_claim(self, stateful: Object, claim_template: Object, pod_name: str, body: Object) -> str:
        """Mount the pod's claim, made if it is not there yet; why it could not be made, else an empty text."""
        volume = claim_template["metadata"]["name"]
        claim_name = f"{volume}-{pod_name}"
        namespace = stateful["metadata"]["namespace"]
        volumes = [v for v in body["spec"].get("volumes") or () if v["name"] != volume]
        body["spec"]["volumes"] = [*volumes, {"name": volume, "persistentVolumeClaim": {"claimName": claim_name}}]
        if self.cluster.get("persistentvolumeclaims", namespace, claim_name) is not None:
            return ""
        made: Object = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": claim_name,
                "labels": dict(stateful["spec"]["selector"].get("matchLabels") or {}),
            },
            "spec": copy.deepcopy(claim_template["spec"]),
        }
        owner = stateful["metadata"]["name"]
        try:
            self.cluster.create("persistentvolumeclaims", namespace, made, user=self.user)
        except ApiError as error:
            message = f"create Claim {claim_name} for Pod {pod_name} in StatefulSet {owner} failed error: {error}"
            self._event(stateful, "Warning", "FailedCreate", message)
            return f"failed to create PVC {claim_name}: {error}"
        message = f"create Claim {claim_name} Pod {pod_name} in StatefulSet {owner} success"
        self._event(stateful, "Normal", "SuccessfulCreate", message)
        return ""

    def _delete(self, stateful: Object, pod: Object) -> None:
        if pod["metadata"].get("deletionTimestamp"):
            return
        namespace, name = key_of(pod)
        self.cluster.delete("pods", namespace, name, user=self.user, uid=pod["metadata"]["uid"])
        message = f"delete Pod {name} in StatefulSet {stateful['metadata']['name']} successful"
        self._event(stateful, "Normal", "SuccessfulDelete", message)

    def _write_status(self, stateful: Object, current: str, update: str) -> None:
        key = key_of(stateful)
        latest = self.cluster.get(RESOURCE, *key)
        if latest is None:
            return
        uid = latest["metadata"]["uid"]
        owned = [p for p in self.cluster.list("pods", key[0]) if (o := controller_of(p)) and o["uid"] == uid]
        living = [pod for pod in owned if not pods.is_terminal(pod)]
        wanted = latest["spec"].get("replicas", 1)

        def having(suffix: str) -> int:
            full = self._revision_name(latest, suffix)
            return sum(
                (p["metadata"].get("labels") or {}).get(HASH_LABEL) == full and pods.is_active(p) for p in living
            )

        ready = sum(pods.is_ready(pod) for pod in living)
        updated = having(update)
        if current != update and updated == wanted and ready >= wanted and len(living) == wanted:
            current = update
        counts = {"readyReplicas": ready, "currentReplicas": having(current), "updatedReplicas": updated}
        min_ready, now = latest["spec"].get("minReadySeconds", 0), self.context.now()
        status: Object = {
            "observedGeneration": latest["metadata"].get("generation", 1),
            "replicas": len(living),
            **{field: count for field, count in counts.items() if count},
            "currentRevision": self._revision_name(latest, current),
            "updateRevision": self._revision_name(latest, update),
            "collisionCount": 0,
            "availableReplicas": sum(pods.is_available(pod, min_ready, now) for pod in living),
        }
        if status != latest.get("status"):
            self.cluster.mutate(
                RESOURCE, *key, lambda body: body.update(status=status), user=self.user, subresource="status"
            )

    def _event(self, stateful: Object, type_: str, reason: str, message: str) -> None:
        self.cluster.record_event(
            stateful, type="Warning" if type_ == "Warning" else "Normal", reason=reason, message=message,
            component=self.component,
        )  # fmt: skip


def _ordinal(stateful: Object, pod: Object) -> int | None:
    prefix, _, number = pod["metadata"]["name"].rpartition("-")
    return int(number) if prefix == stateful["metadata"]["name"] and number.isdigit() else None
