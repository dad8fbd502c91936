"""What objects a scenario's world has: those of its files, and those that Kubernetes makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from healing.sandbox.ports import Object
from healing.sandbox.scenarios.model import Scenario
from healing.sandbox.world.nodes import node_specs

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
#: what can be well or not
MEASURED = (*WORKLOADS, "Job", "CronJob")
#: kinds whose objects controllers make: the names of most of them are not known before
_MADE_BY_CONTROLLERS = frozenset(
    {"ReplicaSet", "Endpoints", "EndpointSlice", "ControllerRevision", "PersistentVolume", "Event", "Lease"}
)
_HAVE_PODS = frozenset({*WORKLOADS, "ReplicaSet", "Job", "CronJob"})
_IN_EVERY_NAMESPACE = frozenset({("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")})
_CLUSTER_SCOPED_OF_THE_SYSTEM = frozenset({"StorageClass", "PriorityClass", "IngressClass", "CSIDriver"})


class Inventory:
    """Looks objects up by ``(kind, namespace, name)``; ``namespace`` is empty for what has none."""

    def __init__(self, scenario: Scenario) -> None:
        applied = [m for step in scenario.timeline if step.action == "apply" for m in step.body]
        self._manifests: dict[tuple[str, str, str], Object] = {}
        for manifest in (*scenario.manifests, *applied):
            self._manifests.setdefault(_key(manifest), manifest)
        self._namespaces = {*scenario.namespaces, "default"}
        self._nodes = {spec.name for spec in node_specs(scenario.nodes)}
        #: faults may create objects, under names among their parameters
        self._made_by_faults = {
            str(value)
            for step in scenario.timeline
            if step.action == "fault"
            for value in (step.body, *step.params.values())
        }
        self._words = set(_words([*scenario.manifests, *(step.body for step in scenario.timeline)]))

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """The manifest."""
        return self._manifests.get((kind, namespace, name))

    def has(self, kind: str, namespace: str, name: str) -> bool:
        """Whether it is there, or may come to be there without anybody saying so in the file."""
        if _is_of_the_system(namespace):
            return True
        if kind == "Node":
            return name in self._nodes
        if kind == "Namespace":
            return name in self._namespaces or _is_of_the_system(name)
        if (kind, namespace, name) in self._manifests or (kind, name) in _IN_EVERY_NAMESPACE:
            return True
        return self._is_made(kind, namespace, name)

    def _is_made(self, kind: str, namespace: str, name: str) -> bool:
        if kind in _MADE_BY_CONTROLLERS or (kind in _CLUSTER_SCOPED_OF_THE_SYSTEM and not namespace):
            return True
        if kind == "Pod":
            return self._is_of_one(_HAVE_PODS, namespace, name)
        if kind == "Job":
            return self._is_of_one({"CronJob"}, namespace, name)
        if kind == "PersistentVolumeClaim":
            return any(name.startswith(f"{prefix}-") for prefix in self._claim_prefixes(namespace))
        return False

    def is_spoken_of(self, name: str) -> bool:
        """Whether anything in the world carries or refers to the name: a ConfigMap that is asked for and missing."""
        return name in self._words or name in self._made_by_faults

    def names(self, kind: str, namespace: str) -> list[str]:
        """For people: what there is of a kind, sorted."""
        if kind == "Node":
            return sorted(self._nodes)
        return sorted(n for k, ns, n in self._manifests if k == kind and ns == namespace)

    def workload(self, namespace: str, name: str, kind: str = "") -> Object | None:
        """The Deployment, StatefulSet or DaemonSet of that name."""
        kinds = [k for k in WORKLOADS if k.lower() == kind.lower()] if kind else WORKLOADS
        return next((m for k in kinds if (m := self.find(k, namespace, name))), None)

    def _is_of_one(self, kinds: Iterable[str], namespace: str, name: str) -> bool:
        return any(k in kinds and ns == namespace and name.startswith(f"{n}-") for k, ns, n in self._manifests)

    def _claim_prefixes(self, namespace: str) -> Iterator[str]:
        for (kind, ns, name), manifest in self._manifests.items():
            if kind == "StatefulSet" and ns == namespace:
                for template in manifest.get("spec", {}).get("volumeClaimTemplates") or ():
                    yield f"{template.get('metadata', {}).get('name', '')}-{name}"


def _key(manifest: Object) -> tuple[str, str, str]:
    meta = manifest["metadata"]
    return str(manifest["kind"]), str(meta.get("namespace") or ""), str(meta["name"])


def _is_of_the_system(namespace: str) -> bool:
    return namespace.startswith("kube-")


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _words(each)
    elif isinstance(value, list):
        for each in value:
            yield from _words(each)
