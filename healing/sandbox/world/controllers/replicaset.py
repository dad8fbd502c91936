"""ReplicaSet: keeps the number of pods, adopts and releases them by label."""

from __future__ import annotations

from healing.sandbox.ports import ApiError, EventType, Object
from healing.sandbox.world import conditions, pods
from healing.sandbox.world.owners import claim, controller_of, owner_reference
from healing.sandbox.world.reconciler import Key, Reconciler, RetryLaterError, key_of
from healing.sandbox.world.selectors import matches

RESOURCE = "replicasets.apps"
#: how many pods one reconciliation creates or deletes at most
BURST = 500


class ReplicaSetController(Reconciler):
    component = "replicaset-controller"

    def watch(self) -> None:
        self.on_own(RESOURCE)
        self.on("pods", self._pod_changed)

    def _pod_changed(self, event: EventType, pod: Object, old: Object | None) -> None:
        namespace = pod["metadata"]["namespace"]
        owners = {ref["name"] for item in (pod, old) if item and (ref := _replicaset_of(item))}
        for name in owners:
            self.queue.add((namespace, name))
        if event != "DELETED" and controller_of(pod) is None:
            if old is not None and old["metadata"].get("labels") == pod["metadata"].get("labels") and not owners:
                return
            labels = pod["metadata"].get("labels") or {}
            for replicaset in self.cluster.list(RESOURCE, namespace):
                if matches(replicaset["spec"].get("selector"), labels):
                    self.queue.add(key_of(replicaset))
        # A pod that became Ready counts as available only after minReadySeconds.
        for name in owners:
            owner = self.cluster.get(RESOURCE, namespace, name)
            delay = owner["spec"].get("minReadySeconds", 0) if owner else 0
            if delay:
                self.queue.add_after((namespace, name), delay + 0.5)

    def reconcile(self, key: Key) -> None:
        namespace, name = key
        replicaset = self.cluster.get(RESOURCE, namespace, name)
        if replicaset is None:
            return
        owned = claim(
            self.context, replicaset, api_version="apps/v1", kind="ReplicaSet", resource="pods",
            candidates=self.cluster.list("pods", namespace), user=self.user,
        )  # fmt: skip
        active = [pod for pod in owned if pods.is_active(pod)]
        failure: tuple[str, str] | None = None
        if not replicaset["metadata"].get("deletionTimestamp"):
            failure = self._scale(replicaset, active)
        self._write_status(replicaset, owned, active, failure)
        if failure is not None:
            raise RetryLaterError

    def _scale(self, replicaset: Object, active: list[Object]) -> tuple[str, str] | None:
        wanted = replicaset["spec"].get("replicas", 1)
        if len(active) < wanted:
            return self._create(replicaset, min(wanted - len(active), BURST))
        if len(active) > wanted:
            return self._delete(replicaset, active, min(len(active) - wanted, BURST))
        return None

    def _create(self, replicaset: Object, count: int) -> tuple[str, str] | None:
        """Create in batches of 1, 2, 4, ..., so that a refusal (quota) is met once and not ``count`` times."""
        metadata = replicaset["metadata"]
        failure: tuple[str, str] | None = None
        batch = 1
        while count > 0 and failure is None:
            for _ in range(min(batch, count)):
                body = pods.from_template(
                    replicaset["spec"]["template"],
                    generate_name=f"{metadata['name']}-",
                    owner=owner_reference(replicaset, "apps/v1", "ReplicaSet"),
                )
                try:
                    pod = self.cluster.create("pods", metadata["namespace"], body, user=self.user)
                except ApiError as error:
                    if _namespace_terminating(error):
                        return None
                    failure = failure or ("FailedCreate", str(error))
                    self._event(replicaset, "Warning", "FailedCreate", f"Error creating: {error}")
                else:
                    self._event(replicaset, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
            count -= batch
            batch *= 2
        return failure

    def _delete(self, replicaset: Object, active: list[Object], count: int) -> tuple[str, str] | None:
        namespace = replicaset["metadata"]["namespace"]
        for pod in pods.deletion_order(active, self._related(replicaset, active), self.context.now())[:count]:
            name = pod["metadata"]["name"]
            try:
                self.cluster.delete("pods", namespace, name, user=self.user, uid=pod["metadata"]["uid"])
            except ApiError as error:
                if error.code == 404:
                    continue
                self._event(replicaset, "Warning", "FailedDelete", f"Error deleting: {error}")
                return "FailedDelete", str(error)
            self._event(replicaset, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")
        return None

    def _related(self, replicaset: Object, active: list[Object]) -> list[Object]:
        """Active pods of the same owner's ReplicaSets: a node with many of them gives one up first."""
        owner = controller_of(replicaset)
        if owner is None:
            return active
        namespace = replicaset["metadata"]["namespace"]
        siblings = {
            item["metadata"]["uid"]
            for item in self.cluster.list(RESOURCE, namespace)
            if (reference := controller_of(item)) and reference["uid"] == owner["uid"]
        }
        return [
            pod
            for pod in self.cluster.list("pods", namespace)
            if pods.is_active(pod) and (reference := controller_of(pod)) and reference["uid"] in siblings
        ]

    def _write_status(
        self, replicaset: Object, owned: list[Object], active: list[Object], failure: tuple[str, str] | None
    ) -> None:
        """The status of the pods found at the start of this reconciliation, as the real controller counts them."""
        template_labels = (replicaset["spec"]["template"].get("metadata") or {}).get("labels") or {}
        min_ready = replicaset["spec"].get("minReadySeconds", 0)
        now = self.context.now()
        status: Object = {"replicas": len(active)}
        counts = {
            "fullyLabeledReplicas": sum(
                template_labels.items() <= (pod["metadata"].get("labels") or {}).items() for pod in active
            ),
            "readyReplicas": sum(pods.is_ready(pod) for pod in active),
            "availableReplicas": sum(pods.is_available(pod, min_ready, now) for pod in active),
        }
        status |= {field: count for field, count in counts.items() if count}
        status["terminatingReplicas"] = sum(pods.is_terminating(pod) for pod in owned)
        status["observedGeneration"] = replicaset["metadata"].get("generation", 1)
        old = replicaset.get("status") or {}
        entries = list(old.get("conditions") or ())
        if failure is None:
            entries = conditions.without(entries, "ReplicaFailure")
        elif conditions.find(entries, "ReplicaFailure") is None:
            entries = conditions.set_workload(
                entries, "ReplicaFailure", ("True", *failure), self.context.timestamp(), update_time=False
            )
        if entries:
            status["conditions"] = entries
        if status == old:
            return
        key = key_of(replicaset)

        def change(body: Object) -> None:
            body["status"] = status

        self.cluster.mutate(RESOURCE, *key, change, user=self.user, subresource="status")

    def _event(self, replicaset: Object, type_: str, reason: str, message: str) -> None:
        self.cluster.record_event(
            replicaset,
            type="Warning" if type_ == "Warning" else "Normal",
            reason=reason,
            message=message,
            component=self.component,
        )


def _replicaset_of(pod: Object) -> Object | None:
    reference = controller_of(pod)
    return reference if reference is not None and reference["kind"] == "ReplicaSet" else None


def _namespace_terminating(error: ApiError) -> bool:
    causes = (error.status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
