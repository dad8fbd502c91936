"""From a pod or a claim to the workload behind it. Reads the namespaces it is asked about, each once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healing.actions.reading import WORKLOAD_KINDS, controller_of
from healing.ports.cluster import Cluster, Object, ObjectRef

_CALL_SECONDS = 8.0


class Owners:
    """Raises `healing.ports.errors` where the cluster does not answer."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods: dict[str, dict[str, Object]] = {}
        self._sets: dict[str, dict[str, Object]] = {}

    def of_pod(self, namespace: str, name: str) -> ObjectRef | None:
        """The workload of a pod; None: the pod is gone, or nothing that we know owns it."""
        pod = self._of_namespace(namespace).get(name)
        return self._above(pod) if pod is not None else None

    def of_claim(self, namespace: str, name: str) -> ObjectRef | None:
        """The workload whose pods mount the claim."""
        for pod in self._of_namespace(namespace).values():
            for volume in pod["spec"].get("volumes") or ():
                if (volume.get("persistentVolumeClaim") or {}).get("claimName") == name:
                    return self._above(pod)
        return None

    def labels_of(self, namespace: str, workload: ObjectRef) -> Mapping[str, str]:
        """Labels of the workload's pods: what a policy selects by."""
        for pod in self._of_namespace(namespace).values():
            if self._above(pod) == workload:
                return dict(pod["metadata"].get("labels") or {})
        return {}

    def _above(self, pod: Object) -> ObjectRef | None:
        owner = controller_of(pod)
        if owner is not None and owner.kind == "ReplicaSet":
            found = self._replica_sets(owner.namespace).get(owner.name)
            owner = controller_of(found) if found is not None else None
        if owner is None or owner.kind not in WORKLOAD_KINDS:
            return None
        return ObjectRef(owner.kind, owner.namespace, owner.name)

    def _of_namespace(self, namespace: str) -> dict[str, Object]:
        if namespace not in self._pods:
            self._pods[namespace] = self._list("Pod", namespace)
        return self._pods[namespace]

    def _replica_sets(self, namespace: str) -> dict[str, Object]:
        if namespace not in self._sets:
            self._sets[namespace] = self._list("ReplicaSet", namespace)
        return self._sets[namespace]

    def _list(self, kind: str, namespace: str) -> dict[str, Any]:
        found = self._cluster.list(kind, namespace, timeout_seconds=_CALL_SECONDS).items
        return {item["metadata"]["name"]: item for item in found}
