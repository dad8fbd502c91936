"""Brings a scenario to life: objects, history, traffic, then the timeline, in real time."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from healing.sandbox.api.patches.strategic import apply_strategic_patch
from healing.sandbox.api.schema import model_type
from healing.sandbox.apps.runtime import AppRuntime
from healing.sandbox.faults import FaultError, FaultInjector
from healing.sandbox.ports import ApiError, Cluster, Object, User
from healing.sandbox.scenarios.model import History, Scenario, Step

logger = logging.getLogger(__name__)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_PLURALS = {"Endpoints": "endpoints", "NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
#: what must exist before what
_ORDER = ("CustomResourceDefinition", "Namespace", "StorageClass", "PriorityClass", "ServiceAccount", "ResourceQuota",
          "LimitRange", "ConfigMap", "Secret", "PersistentVolume", "PersistentVolumeClaim", "Service")  # fmt: skip
_SETTLE_SECONDS = 60.0


def resource_of(manifest: Object) -> str:
    """``deployments.apps`` for a Deployment of apps/v1."""
    kind = str(manifest["kind"])
    group = str(manifest.get("apiVersion", "v1")).rpartition("/")[0]
    lower = kind.lower()
    plural = _PLURALS.get(kind) or (
        lower[:-1] + "ies" if lower.endswith("y") else lower + ("es" if lower[-1] in "sx" else "s")
    )
    return f"{plural}.{group}" if group else plural


class ScenarioRunner:
    """`set_up` makes the world; `run` (a `Controller`) also plays the timeline. Both are for one use."""

    def __init__(
        self,
        scenario: Scenario,
        cluster: Cluster,
        runtime: AppRuntime,
        injector: FaultInjector,
        *,
        clock: Callable[[], float] = time.time,
        settle_seconds: float = _SETTLE_SECONDS,
    ) -> None:
        self.scenario = scenario
        self._cluster = cluster
        self._runtime = runtime
        self._injector = injector
        self._clock = clock
        self._settle_seconds = settle_seconds
        #: when the timeline began; None until the world is up
        self.started_at: float | None = None
        #: (step, time, what went wrong or "")
        self.played: list[tuple[Step, float, str]] = []

    async def run(self) -> None:
        await self.set_up()
        await self.play()

    async def set_up(self) -> None:
        """Create everything and wait (at most a minute) until the Deployments are ready."""
        scenario, user = self.scenario, _person("platform@example.com")
        self._runtime.reseed(scenario.seed)
        if scenario.catalogue:
            self._runtime.catalogue.extend(scenario.catalogue, str(scenario.path))
        if self._runtime.traffic is not None:
            self._runtime.traffic.sources.extend(scenario.traffic)
        manifests = sorted(scenario.manifests, key=_rank)
        self._ensure_namespaces(manifests, user)
        pasts = {(h.namespace, h.deployment): h for h in scenario.history}
        with_past: list[Object] = []
        for manifest in manifests:
            meta = manifest["metadata"]
            past = pasts.get((meta.get("namespace", ""), meta["name"]))
            if manifest["kind"] == "Deployment" and past is not None:
                self._apply(_earlier(manifest, past), user)
                with_past.append(manifest)
            else:
                self._apply(manifest, user)
        if with_past:
            await self._until(lambda: all(self._has_revision(m) for m in with_past), 10.0)
            for manifest in with_past:
                self._apply(manifest, user)
        await self._until(self._up, self._settle_seconds)

    async def play(self) -> None:
        """The timeline, from now on. A step that fails is logged and noted, and the rest goes on."""
        self.started_at = self._clock()
        for step in sorted(self.scenario.timeline, key=lambda s: s.at_seconds):
            await asyncio.sleep(max(0.0, self.started_at + step.at_seconds - self._clock()))
            problem = ""
            try:
                self._take(step)
            except (FaultError, ApiError, KeyError) as error:
                problem = str(error)
                logger.warning("scenario %s, step %s: %s", self.scenario.name, step.id, problem)
            self.played.append((step, self._clock(), problem))

    # steps

    def _take(self, step: Step) -> None:
        user = _person(step.user)
        if step.action == "fault":
            injection = self._injector.inject(step.body, step.params, step.id)
            logger.info("scenario %s: %s", self.scenario.name, injection.summary)
        elif step.action == "remove":
            self._injector.remove(step.body)
        elif step.action == "apply":
            for manifest in step.body:
                self._apply(manifest, user)
        elif step.action == "patch":
            body: dict[str, Any] = step.body
            self._cluster.mutate(
                _resource(body), body.get("namespace"), body["name"], lambda o: _patch(o, body), user=user
            )
        else:
            reference: dict[str, Any] = step.body
            self._cluster.delete(_resource(reference), reference.get("namespace"), reference["name"], user=user)

    # objects

    def _ensure_namespaces(self, manifests: list[Object], user: User) -> None:
        listed = {m["metadata"]["name"] for m in manifests if m["kind"] == "Namespace"}
        used = {m["metadata"].get("namespace") for m in manifests} - {None, ""}
        for name in sorted(used - listed):
            if self._cluster.get("namespaces", None, name) is None:
                self._apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, user)

    def _apply(self, manifest: Object, user: User) -> None:
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

    def _has_revision(self, manifest: Object) -> bool:
        meta = manifest["metadata"]
        found = self._cluster.get("deployments.apps", meta["namespace"], meta["name"])
        annotations = (found or {}).get("metadata", {}).get("annotations") or {}
        return "deployment.kubernetes.io/revision" in annotations

    def _up(self) -> bool:
        for manifest in self.scenario.manifests:
            if manifest["kind"] == "Deployment":
                meta = manifest["metadata"]
                found = self._cluster.get("deployments.apps", meta.get("namespace"), meta["name"]) or {}
                wanted = found.get("spec", {}).get("replicas", 1)
                if found.get("status", {}).get("availableReplicas", 0) < wanted:
                    return False
        return True

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = self._clock() + seconds
        while not condition():
            if self._clock() >= deadline:
                return False
            await asyncio.sleep(0.05)
        return True


def _person(name: str) -> User:
    return User(name, ("system:masters", "system:authenticated"), field_manager="kubectl-client-side-apply")


def _resource(reference: dict[str, Any]) -> str:
    known = {"Deployment": "apps/v1", "ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1",
             "Job": "batch/v1", "CronJob": "batch/v1", "NetworkPolicy": "networking.k8s.io/v1",
             "Ingress": "networking.k8s.io/v1", "PodDisruptionBudget": "policy/v1",
             "HorizontalPodAutoscaler": "autoscaling/v2"}  # fmt: skip
    version = reference.get("apiVersion") or known.get(reference["kind"], "v1")
    return resource_of({"apiVersion": version, "kind": reference["kind"]})


def _rank(manifest: Object) -> int:
    kind = manifest["kind"]
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _earlier(manifest: Object, past: History) -> Object:
    """The Deployment as it was, asking for no pods: only its revision is wanted."""
    body = copy.deepcopy(manifest)
    body["spec"]["replicas"] = 0
    for container in body["spec"]["template"]["spec"]["containers"]:
        if container["name"] == past.container:
            if past.image:
                container["image"] = past.image
            for name, value in past.env.items():
                container.setdefault("env", []).append({"name": name, "value": value})
    return body


def _patch(target: Object, body: dict[str, Any]) -> None:
    """The patch of a step, in place: ``merge`` (RFC 7396) or ``strategic`` (lists of built-in kinds by their key)."""
    if "merge" in body:
        _merge(target, body["merge"])
        return
    version = "V2" if body["kind"] == "HorizontalPodAutoscaler" else "V1"
    patched = apply_strategic_patch(target, body["strategic"], model_type(f"{version}{body['kind']}"))
    target.clear()
    target.update(patched)


def _merge(target: Object, patch: Object) -> None:
    """A JSON merge patch (RFC 7396), in place."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = copy.deepcopy(value)
