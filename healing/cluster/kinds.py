"""Where a kind lives in the Kubernetes API: group, version, plural, scope.

The table holds what the healing loop uses, so that nothing has to be discovered on its way. Any other kind, and one of
the table that the cluster turns out to serve in another version, is looked up in its discovery (`Discovery`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from healing.ports.errors import BadResponse, NotFound

#: Group and version of our own resources.
RECIST_API = "recist.io/v1alpha1"

_DISCOVERED_FOR_SECONDS = 600.0
_UNKNOWN_FOR_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource type. ``api_version`` is ``v1`` or ``group/version``."""

    kind: str
    api_version: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.partition("/")[0] if "/" in self.api_version else ""

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, object or subresource, percent-encoded."""
        prefix = "/apis/" if "/" in self.api_version else "/api/"
        parts = [prefix + self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(quote(subresource, safe=""))
        return "/".join(parts)


def _table(*rows: tuple[str, str, str] | tuple[str, str, str, bool]) -> Mapping[str, Resource]:
    return MappingProxyType({row[0]: Resource(*row) for row in rows})


KINDS: Mapping[str, Resource] = _table(
    ("ConfigMap", "v1", "configmaps"),
    ("Endpoints", "v1", "endpoints"),
    ("Event", "v1", "events"),
    ("LimitRange", "v1", "limitranges"),
    ("Namespace", "v1", "namespaces", False),
    ("Node", "v1", "nodes", False),
    ("PersistentVolume", "v1", "persistentvolumes", False),
    ("PersistentVolumeClaim", "v1", "persistentvolumeclaims"),
    ("Pod", "v1", "pods"),
    ("ReplicationController", "v1", "replicationcontrollers"),
    ("ResourceQuota", "v1", "resourcequotas"),
    ("Secret", "v1", "secrets"),
    ("Service", "v1", "services"),
    ("ServiceAccount", "v1", "serviceaccounts"),
    ("ControllerRevision", "apps/v1", "controllerrevisions"),
    ("DaemonSet", "apps/v1", "daemonsets"),
    ("Deployment", "apps/v1", "deployments"),
    ("ReplicaSet", "apps/v1", "replicasets"),
    ("StatefulSet", "apps/v1", "statefulsets"),
    ("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
    ("CronJob", "batch/v1", "cronjobs"),
    ("Job", "batch/v1", "jobs"),
    ("Lease", "coordination.k8s.io/v1", "leases"),
    ("EndpointSlice", "discovery.k8s.io/v1", "endpointslices"),
    ("HTTPRoute", "gateway.networking.k8s.io/v1", "httproutes"),
    ("Ingress", "networking.k8s.io/v1", "ingresses"),
    ("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
    ("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
    ("StorageClass", "storage.k8s.io/v1", "storageclasses", False),
    ("CustomResourceDefinition", "apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    ("SelfSubjectAccessReview", "authorization.k8s.io/v1", "selfsubjectaccessreviews", False),
    ("HealingEvent", RECIST_API, "healingevents"),
    ("SelfHealingPolicy", RECIST_API, "selfhealingpolicies"),
)


#: What API servers say of a path that they do not serve; of an object that is missing they name it.
_UNSERVED = ("the server could not find the requested resource", "404 page not found")


def is_unserved(error: NotFound) -> bool:
    """Whether the resource type is missing, not an object of it."""
    return str(error).rstrip(". \n").endswith(_UNSERVED)


class Discovery:
    """Finds kinds that `KINDS` does not have, and other versions of those it has. Answers are kept for ten minutes, a
    "no such kind" for half a minute."""

    def __init__(self, fetch: Callable[[str, float | None], Any]) -> None:
        """``fetch(path, timeout_seconds)`` returns a discovery document; it raises `healing.ports.errors`."""
        self._fetch = fetch
        self._lock = threading.Lock()
        self._found: dict[str, tuple[Resource | None, float]] = {}

    def resource(self, kind: str, timeout_seconds: float | None = None) -> Resource:
        """The resource type of a kind. Raises `NotFound` where the cluster has none."""
        known = KINDS.get(kind)
        with self._lock:
            found, until = self._found.get(kind, (None, 0.0))
        if known is not None:
            return found if found is not None and until > time.monotonic() else known
        if until < time.monotonic():
            found = self._search(kind, timeout_seconds)
            keep = _DISCOVERED_FOR_SECONDS if found else _UNKNOWN_FOR_SECONDS
            with self._lock:
                self._found[kind] = (found, time.monotonic() + keep)
        if found is None:
            raise NotFound(f"The cluster has no resource type of kind {kind!r}.", status=404)
        return found

    def instead_of(self, resource: Resource, timeout_seconds: float | None = None) -> Resource | None:
        """The same kind in another version of its group, where the cluster does not serve this one; None: there is
        none. It is used from then on. Raises `healing.ports.errors`."""
        kind = resource.kind
        if not resource.group:
            return None
        with self._lock:
            found, until = self._found.get(kind, (None, 0.0))
        if until > time.monotonic():
            return None if found == resource else found
        found = self._other_version(resource, timeout_seconds)
        keep = _DISCOVERED_FOR_SECONDS if found else _UNKNOWN_FOR_SECONDS
        with self._lock:
            self._found[kind] = (found, time.monotonic() + keep)
        return found

    def _other_version(self, resource: Resource, timeout_seconds: float | None) -> Resource | None:
        try:
            group = self._fetch(f"/apis/{resource.group}", timeout_seconds)
            preferred = str(group["preferredVersion"]["groupVersion"])
            versions = dict.fromkeys([preferred, *(str(v["groupVersion"]) for v in group["versions"])])
            for version in versions:
                if version != resource.api_version:
                    found = self._search_version(resource.kind, version, timeout_seconds)
                    if found is not None:
                        return found
        except NotFound:
            return None
        except (KeyError, TypeError) as error:
            raise BadResponse(f"The cluster's discovery document has an unknown shape ({error!r}).") from error
        return None

    def _search(self, kind: str, timeout_seconds: float | None) -> Resource | None:
        versions = ["v1"]
        try:
            groups = self._fetch("/apis", timeout_seconds)["groups"]
            versions.extend(group["preferredVersion"]["groupVersion"] for group in groups)
            for version in versions:
                found = self._search_version(kind, version, timeout_seconds)
                if found is not None:
                    return found
        except (KeyError, TypeError) as error:
            raise BadResponse(f"The cluster's discovery document has an unknown shape ({error!r}).") from error
        return None

    def _search_version(self, kind: str, version: str, timeout_seconds: float | None) -> Resource | None:
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        try:
            document = self._fetch(path, timeout_seconds)
        except NotFound:  # a group whose last CRD has just gone
            return None
        for entry in document["resources"]:
            if entry["kind"] == kind and "/" not in entry["name"]:
                return Resource(kind, version, entry["name"], bool(entry["namespaced"]))
        return None
