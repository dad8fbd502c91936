"""What people do to a world: apply, patch, delete, drain, and more load or less."""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from healing.sandbox.api.patches.strategic import apply_strategic_patch
from healing.sandbox.api.schema import model_type
from healing.sandbox.apps.model import TrafficSource
from healing.sandbox.apps.runtime import AppRuntime
from healing.sandbox.faults import FaultInjector
from healing.sandbox.ports import ApiError, Cluster, Object, User
from healing.sandbox.scenarios import parts
from healing.sandbox.scenarios.model import Step

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_PLURALS = {"Endpoints": "endpoints", "NetworkPolicy": "networkpolicies", "Ingress": "ingresses", "Gateway": "gateways"}
_VERSIONS = {
    "Deployment": "apps/v1", "ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1",
    "Job": "batch/v1", "CronJob": "batch/v1", "NetworkPolicy": "networking.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1", "IngressClass": "networking.k8s.io/v1", "PodDisruptionBudget": "policy/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2", "StorageClass": "storage.k8s.io/v1",
    "PriorityClass": "scheduling.k8s.io/v1", "Gateway": "gateway.networking.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1", "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
}  # fmt: skip
_TOOLS = {"argocd": "argocd-controller", "flux": "kustomize-controller"}
#: as kubectl drain waits between two tries
_DRAIN_RETRY_SECONDS = 5.0
_DRAIN_POLL_SECONDS = 1.0


class ClusterWithEviction(Cluster, Protocol):
    """The API server as people use it."""

    def evict(self, namespace: str, name: str, *, user: User) -> None: ...


def person(name: str) -> User:
    """A cluster admin with kubectl; ``argocd`` and ``flux`` are those tools bringing a commit."""
    manager = _TOOLS.get(name, "kubectl-client-side-apply")
    return User(name, ("system:masters", "system:authenticated"), field_manager=manager)


def resource_of(manifest: Object) -> str:
    """``deployments.apps`` for a Deployment of apps/v1."""
    kind = str(manifest["kind"])
    group = str(manifest.get("apiVersion", "v1")).rpartition("/")[0]
    lower = kind.lower()
    plural = _PLURALS.get(kind) or (
        lower[:-1] + "ies" if lower.endswith("y") else lower + ("es" if lower[-1] in "sx" else "s")
    )
    return f"{plural}.{group}" if group else plural


def resource_of_reference(reference: dict[str, Any]) -> str:
    """As `resource_of` for ``{"kind", "name"}`` without an apiVersion."""
    version = reference.get("apiVersion") or _VERSIONS.get(reference["kind"], "v1")
    return resource_of({"apiVersion": version, "kind": reference["kind"]})


class Hands:
    """Takes steps. Raises `FaultError`, `ApiError` or `KeyError` where one cannot be taken."""

    def __init__(self, cluster: ClusterWithEviction, runtime: AppRuntime, injector: FaultInjector) -> None:
        self._cluster = cluster
        self._runtime = runtime
        self._injector = injector
        self._drains: dict[str, asyncio.Task[None]] = {}

    async def take(self, step: Step) -> None:
        """Returns when it is done; a drain is done when the node is empty."""
        user = person(step.user)
        if step.action == "fault":
            self._injector.inject(step.body, step.params, step.id)
        elif step.action == "remove":
            self._injector.remove(step.body)
        elif step.action == "apply":
            self.apply_all(step.body, user)
        elif step.action == "patch":
            self._patch(step.body, user)
        elif step.action == "delete":
            resource = resource_of_reference(step.body)
            self._cluster.delete(resource, step.body.get("namespace"), step.body["name"], user=user)
        elif step.action == "restart":
            self._restart(step.body, user)
        elif step.action == "drain":
            await self._drain(step.body, user)
        elif step.action == "uncordon":
            self._uncordon(step.body, user)
        else:
            self._set_traffic(step.body)

    # objects

    def apply_all(self, manifests: list[Object], user: User) -> None:
        self.ensure_namespaces(manifests, user)
        for manifest in manifests:
            self.apply(manifest, user)

    def ensure_namespaces(self, manifests: list[Object], user: User) -> None:
        listed = {m["metadata"]["name"] for m in manifests if m["kind"] == "Namespace"}
        used = {m["metadata"].get("namespace") for m in manifests} - {None, ""}
        for name in sorted(used - listed):
            if self._cluster.get("namespaces", None, name) is None:
                self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, user)

    def apply(self, manifest: Object, user: User) -> None:
        """As ``kubectl apply`` of a file: creates or merges, and keeps the file in the usual annotation."""
        resource, meta = resource_of(manifest), manifest["metadata"]
        namespace = meta.get("namespace")
        body = copy.deepcopy(manifest)
        if manifest["kind"] != "Namespace":
            shown = json.dumps(manifest, sort_keys=True, separators=(",", ":")) + "\n"
            body["metadata"].setdefault("annotations", {})[_LAST_APPLIED] = shown
        if self._cluster.get(resource, namespace, meta["name"]) is None:
            self._cluster.create(resource, namespace, body, user=user)
        else:
            self._cluster.mutate(resource, namespace, meta["name"], lambda o: _merge(o, body), user=user)

    def _patch(self, body: dict[str, Any], user: User) -> None:
        def change(target: Object) -> None:
            if "merge" in body:
                _merge(target, body["merge"])
                return
            version = "V2" if body["kind"] == "HorizontalPodAutoscaler" else "V1"
            patched = apply_strategic_patch(target, body["strategic"], model_type(f"{version}{body['kind']}"))
            target.clear()
            target.update(patched)

        resource = resource_of_reference(body)
        self._cluster.mutate(resource, body.get("namespace"), body["name"], change, user=user)

    def _restart(self, reference: dict[str, Any], user: User) -> None:
        """``kubectl rollout restart``."""
        stamp = datetime.fromtimestamp(self._runtime.clock(), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

        def change(body: Object) -> None:
            meta = body["spec"]["template"].setdefault("metadata", {})
            meta.setdefault("annotations", {})["kubectl.kubernetes.io/restartedAt"] = stamp

        resource, restarter = resource_of_reference(reference), replace(user, field_manager="kubectl-rollout")
        self._cluster.mutate(resource, reference.get("namespace"), reference["name"], change, user=restarter)

    # nodes

    async def _drain(self, node: str, user: User) -> None:
        """``kubectl drain --ignore-daemonsets --delete-emptydir-data --force``; an uncordon ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._drains[node] = task
        try:
            self._cordon(node, user, unschedulable=True)
            while pods := self._to_evict(node):
                refused = False
                for pod in pods:
                    refused |= not self._evict(pod["metadata"]["namespace"], pod["metadata"]["name"], user)
                await asyncio.sleep(_DRAIN_RETRY_SECONDS if refused else _DRAIN_POLL_SECONDS)
        finally:
            if self._drains.get(node) is task:
                del self._drains[node]

    def _to_evict(self, node: str) -> list[Object]:
        return [pod for pod in self._cluster.list("pods") if pod["spec"].get("nodeName") == node and _leaves(pod)]

    def _evict(self, namespace: str, name: str, user: User) -> bool:
        """False: a budget says not yet."""
        pod = self._cluster.get("pods", namespace, name)
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            return True
        try:
            self._cluster.evict(namespace, name, user=user)
        except ApiError as error:
            if error.code == 429:
                return False
            if error.code != 404:
                raise
        return True

    def _uncordon(self, node: str, user: User) -> None:
        draining = self._drains.pop(node, None)
        if draining is not None and draining is not asyncio.current_task():
            draining.cancel()
        self._cordon(node, user, unschedulable=False)

    def _cordon(self, node: str, user: User, *, unschedulable: bool) -> None:
        def change(body: Object) -> None:
            if unschedulable:
                body["spec"]["unschedulable"] = True
            else:
                body["spec"].pop("unschedulable", None)

        self._cluster.mutate("nodes", None, node, change, user=replace(user, field_manager="kubectl-drain"))

    # users

    def _set_traffic(self, entry: dict[str, Any]) -> None:
        """Change the source of that Service and port in the fields given, or add one."""
        if self._runtime.traffic is None:
            raise KeyError("this world has no users")
        wanted = parts.traffic(entry)
        sources: list[TrafficSource] = self._runtime.traffic.sources
        for source in sources:
            if source.target == wanted.target:
                source.requests_per_second = wanted.requests_per_second
                for name, field in _TRAFFIC_FIELDS.items():
                    if name in entry:
                        setattr(source, field, getattr(wanted, field))
                return
        sources.append(wanted)


_TRAFFIC_FIELDS = {
    "wave": "wave",
    "periodSeconds": "period_seconds",
    "noise": "noise",
    "timeoutSeconds": "timeout_seconds",
}


def _leaves(pod: Object) -> bool:
    """Whether a drain moves it: not what a DaemonSet keeps there, and not a mirror of the node's own files."""
    meta = pod["metadata"]
    if "kubernetes.io/config.mirror" in (meta.get("annotations") or {}):
        return False
    return not any(ref.get("controller") and ref["kind"] == "DaemonSet" for ref in meta.get("ownerReferences") or ())


def _merge(target: Object, patch: Object) -> None:
    """A JSON merge patch (RFC 7396), in place."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = copy.deepcopy(value)
