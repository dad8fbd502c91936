"""What every namespace gets: its default ServiceAccount and the cluster's certificate."""

from __future__ import annotations

from healing.sandbox.ports import ApiError, EventType, Object
from healing.sandbox.world.reconciler import Key, Reconciler

ROOT_CA_CONFIG_MAP = "kube-root-ca.crt"
_ROOT_CA = "-----BEGIN CERTIFICATE-----\nc2FuZGJveA==\n-----END CERTIFICATE-----\n"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class NamespaceDefaultsController(Reconciler):
    component = "root-ca-certificate-publisher"

    def watch(self) -> None:
        self.on_own("namespaces")
        self.on("serviceaccounts", self._part_changed)
        self.on("configmaps", self._part_changed)

    def _part_changed(self, event: EventType, item: Object, _old: Object | None) -> None:
        if event == "DELETED" and item["metadata"]["name"] in ("default", ROOT_CA_CONFIG_MAP):
            self.queue.add(("", item["metadata"]["namespace"]))

    def reconcile(self, key: Key) -> None:
        _, name = key
        namespace = self.cluster.get("namespaces", None, name)
        if namespace is None or namespace["metadata"].get("deletionTimestamp"):
            return
        self._ensure("serviceaccounts", name, {
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"},
        })  # fmt: skip
        self._ensure("configmaps", name, {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": ROOT_CA_CONFIG_MAP, "annotations": {"kubernetes.io/description": _DESCRIPTION},
            },
            "data": {"ca.crt": _ROOT_CA},
        })  # fmt: skip

    def _ensure(self, resource: str, namespace: str, body: Object) -> None:
        if self.cluster.get(resource, namespace, body["metadata"]["name"]) is not None:
            return
        try:
            self.cluster.create(resource, namespace, body, user=self.user)
        except ApiError as error:
            if error.code not in (403, 409):
                raise
