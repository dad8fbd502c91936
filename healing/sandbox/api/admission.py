"""Admission: what the cluster's policies change in, or refuse about, a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healing.sandbox.api import errors
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.ports import Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer
    from healing.sandbox.api.writes import Options

#: namespaces that may not be deleted
IMMORTAL_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})


class Admission:
    """The chain of admission plugins, in Kubernetes' order."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def mutate_create(self, resource: ResourceType, namespace: str, obj: Object, user: User) -> None:
        """Before the checks of a create. 403 and 404 come from here."""
        self._namespace_lifecycle(resource, namespace, obj)

    def mutate_update(self, resource: ResourceType, namespace: str, new: Object, old: Object, user: User) -> None:
        """Before the checks of an update."""

    def check_create(self, resource: ResourceType, namespace: str, obj: Object, options: Options) -> None:
        """After the checks of a create: quotas."""

    def check_update(
        self, resource: ResourceType, namespace: str, new: Object, old: Object, options: Options
    ) -> None:
        """After the checks of an update."""

    def check_delete(self, resource: ResourceType, namespace: str, name: str) -> None:
        if resource.storage == "namespaces" and name in IMMORTAL_NAMESPACES:
            raise errors.forbidden("namespaces", "", name, "this namespace may not be deleted")

    def _namespace_lifecycle(self, resource: ResourceType, namespace: str, obj: Object) -> None:
        if not resource.namespaced:
            return
        found = self._server.get("namespaces", None, namespace)
        if found is None:
            raise errors.not_found("namespaces", "", namespace)
        if found["metadata"].get("deletionTimestamp"):
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise errors.forbidden(
                resource.plural,
                resource.group,
                obj["metadata"].get("name", ""),
                f"unable to create new content in namespace {namespace} because it is being terminated",
                [cause],
            )
