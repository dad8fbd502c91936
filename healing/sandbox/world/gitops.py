"""Argo CD and Flux: objects that are kept as a repository says.

An owned object carries the tool's labels and annotations and is written by server-side apply under the tool's field
manager. Whoever else changes one of those fields is overruled ``sync_seconds`` later; fields the repository does not
mention (``replicas`` under an autoscaler) are left to others. A change written under the tool's own manager is a
commit: it becomes what the repository says.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence

from healing.sandbox.ports import EventType, GitOpsOwner, Listener, Object, User
from healing.sandbox.world.context import Context
from healing.sandbox.world.reconciler import Key, Reconciler

MANAGERS = {"argocd": "argocd-controller", "flux": "kustomize-controller"}
_ACCOUNTS = {
    "argocd": "system:serviceaccount:argocd:argocd-application-controller",
    "flux": "system:serviceaccount:flux-system:kustomize-controller",
}
_FLUX_NAMESPACE = "flux-system"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: what people's and the scenario's own kubectl wrote before the tool took the object over
_EARLIER_MANAGERS = ("kubectl",)
_PLURALS = {"networkpolicy": "networkpolicies", "ingress": "ingresses", "storageclass": "storageclasses"}
_GROUPS = {
    "Deployment": "apps", "StatefulSet": "apps", "DaemonSet": "apps", "Job": "batch", "CronJob": "batch",
    "HorizontalPodAutoscaler": "autoscaling", "PodDisruptionBudget": "policy", "NetworkPolicy": "networking.k8s.io",
    "Ingress": "networking.k8s.io", "HTTPRoute": "gateway.networking.k8s.io", "Gateway": "gateway.networking.k8s.io",
}  # fmt: skip
#: of the metadata only these are a repository's
_METADATA = ("name", "namespace", "labels", "annotations")


class GitOpsController(Reconciler):
    component = "gitops"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._owners: dict[Key, GitOpsOwner] = {}
        #: what the repository says of each object
        self._wanted: dict[Key, Object] = {}
        self._followed: set[str] = set()

    def watch(self) -> None:
        """Objects are followed once they are owned."""

    def own(self, owners: Sequence[GitOpsOwner]) -> None:
        """Take these objects over as they are now. KeyError for one that does not exist."""
        for owner in owners:
            resource = resource_of(owner.kind)
            live = self.cluster.get(resource, owner.namespace, owner.name)
            if live is None:
                raise KeyError(f"{owner.tool} cannot own {owner.kind} {owner.namespace}/{owner.name}: there is none")
            key = (f"{resource}/{owner.namespace}", owner.name)
            self._owners[key] = owner
            self._wanted[key] = _marked(_manifest(live), owner)
            self._disown_others(resource, owner)
            self._sync(key)
            if resource not in self._followed:
                self._followed.add(resource)
                self.on(resource, self._follower(resource))

    def _follower(self, resource: str) -> Listener:
        def changed(event: EventType, item: Object, old: Object | None) -> None:
            metadata = item["metadata"]
            key = (f"{resource}/{metadata.get('namespace') or ''}", metadata["name"])
            owner = self._owners.get(key)
            if owner is None:
                return
            if event == "MODIFIED" and old is not None and _is_commit(item, old, MANAGERS[owner.tool]):
                _follow_change(self._wanted[key], old, item)
            self.queue.add_after(key, owner.sync_seconds)

        return changed

    def reconcile(self, key: Key) -> None:
        if key in self._owners:
            self._sync(key)

    def _sync(self, key: Key) -> None:
        owner = self._owners[key]
        resource = key[0].partition("/")[0]
        live = self.cluster.get(resource, owner.namespace, owner.name)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            return
        self.cluster.apply(resource, owner.namespace, copy.deepcopy(self._wanted[key]), user=_user(owner))

    def _disown_others(self, resource: str, owner: GitOpsOwner) -> None:
        """As Flux does with what kubectl made: the fields are the tool's alone from now on."""

        def change(body: Object) -> None:
            metadata = body["metadata"]
            metadata["managedFields"] = [
                entry
                for entry in metadata.get("managedFields") or ()
                if not entry.get("manager", "").startswith(_EARLIER_MANAGERS)
            ]
            (metadata.get("annotations") or {}).pop(_LAST_APPLIED, None)

        self.cluster.mutate(resource, owner.namespace, owner.name, change, user=_user(owner))


def resource_of(kind: str) -> str:
    """``deployments.apps`` for Deployment."""
    lower = kind.lower()
    plural = _PLURALS.get(lower, lower + "s")
    group = _GROUPS.get(kind, "")
    return f"{plural}.{group}" if group else plural


def _user(owner: GitOpsOwner) -> User:
    return User(_ACCOUNTS[owner.tool], ("system:masters", "system:authenticated"), MANAGERS[owner.tool])


def _manifest(live: Object) -> Object:
    """The object as it was written: what kubectl noted of it, or all but what the cluster adds."""
    noted = (live["metadata"].get("annotations") or {}).get(_LAST_APPLIED)
    body = json.loads(noted) if noted else {k: v for k, v in live.items() if k != "status"}
    manifest: Object = {**copy.deepcopy(body), "apiVersion": live["apiVersion"], "kind": live["kind"]}
    manifest["metadata"] = {k: v for k, v in manifest["metadata"].items() if k in _METADATA and v}
    manifest["metadata"] |= {"name": live["metadata"]["name"], "namespace": live["metadata"].get("namespace", "")}
    annotations = manifest["metadata"].get("annotations") or {}
    for name in (_LAST_APPLIED, "deployment.kubernetes.io/revision"):
        annotations.pop(name, None)
    return manifest


def _marked(manifest: Object, owner: GitOpsOwner) -> Object:
    metadata = manifest["metadata"]
    if owner.tool == "argocd":
        group = manifest["apiVersion"].rpartition("/")[0]
        tracking = f"{owner.application}:{group}/{owner.kind}:{owner.namespace}/{owner.name}"
        metadata["annotations"] = {**metadata.get("annotations", {}), "argocd.argoproj.io/tracking-id": tracking}
        metadata["labels"] = {**metadata.get("labels", {}), "app.kubernetes.io/instance": owner.application}
    else:
        metadata["labels"] = {
            **metadata.get("labels", {}),
            "kustomize.toolkit.fluxcd.io/name": owner.application,
            "kustomize.toolkit.fluxcd.io/namespace": _FLUX_NAMESPACE,
        }
    return manifest


def _is_commit(item: Object, old: Object, manager: str) -> bool:
    """Written under the tool's manager, but not by its own server-side apply."""

    def updates(body: Object) -> list[Object]:
        entries = body["metadata"].get("managedFields") or ()
        return [e for e in entries if e.get("manager") == manager and e.get("operation") == "Update"]

    return bool(updates(item)) and updates(item) != updates(old)


def _follow_change(wanted: Object, old: Object, new: Object) -> None:
    """Bring into ``wanted`` what differs between ``old`` and ``new``, status and the cluster's metadata aside."""
    for field in {*old, *new} - {"metadata", "status", "apiVersion", "kind"}:
        _follow_value(wanted, field, old.get(field), new.get(field))
    for field in ("labels", "annotations"):
        before, after = old["metadata"].get(field) or {}, new["metadata"].get(field) or {}
        _follow_value(wanted["metadata"], field, before, after)


def _follow_value(wanted: Object, field: str, old: object, new: object) -> None:
    if old == new:
        return
    if new is None:
        wanted.pop(field, None)
    elif isinstance(old, dict) and isinstance(new, dict) and isinstance(wanted.get(field), dict):
        for name in {*old, *new}:
            _follow_value(wanted[field], name, old.get(name), new.get(name))
    else:
        wanted[field] = copy.deepcopy(new)
