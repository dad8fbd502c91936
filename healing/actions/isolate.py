"""Isolate: keep traffic from one pod, so that it can be examined and harms nobody.

A NetworkPolicy selects a label of ours that is put on the pod, so it selects that pod alone and works for the pods of
Deployments too. A NetworkPolicy does not take a pod out of its Services, though, and callers would run into it:
a pod of a ReplicaSet is therefore *detached* as well. It loses the labels by which its ReplicaSet and its Services
know it; the ReplicaSet makes a new pod in its place. Any other pod keeps what its controller knows it by, and loses
only what nobody but its Services selects, if there is such a label.

What it takes to undo this is written on the pod too: should our database be lost, the pod is not
(`containment.strays`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from healing.actions import labels, operations
from healing.actions.base import Action, CannotPlan, Change, Parameters, Plan
from healing.actions.labels import (
    QUARANTINE,
    QUARANTINED_FROM,
    QUARANTINED_LABELS,
    QUARANTINED_POD,
    QUARANTINED_UNTIL,
)
from healing.actions.ownership import blast_radius_of_pod
from healing.actions.reading import Workload, controller_of, get, is_ready, workload_of_pod
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import Forbidden, NotFound

#: How the names of our NetworkPolicies begin.
POLICY_PREFIX = "recist-quarantine-"


class IsolateParameters(Parameters):
    """``event`` names policy and label. ``detach``: let the ReplicaSet replace the pod. ``until``: when it ends by
    itself, in ISO 8601; written on the pod and its policy."""

    event: str = Field(min_length=1, max_length=63)
    mode: Literal["soft", "hard"] = "soft"
    detach: bool = True
    until: str = Field("", max_length=40)


class Isolate(Action[IsolateParameters]):
    """soft: no traffic to the pod; hard: nothing but DNS in either direction."""

    name = ActionName.ISOLATE
    title = "Isolate the pod"
    kinds = frozenset({"Pod"})
    permissions: ClassVar = (
        *((verb, "NetworkPolicy") for verb in ("get", "list", "create", "delete")),
        *((verb, "Pod") for verb in ("get", "patch", "delete")),
        ("get", "ReplicaSet"),
        ("list", "Pod"),
        ("list", "Service"),
    )
    parameters = IsolateParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: IsolateParameters, *, timeout_seconds: float
    ) -> Plan:
        pod = get(cluster, target, timeout_seconds=timeout_seconds)
        ref = ObjectRef.of(pod, "Pod")
        own = pod["metadata"].get("labels") or {}
        if own.get(QUARANTINE, parameters.event) != parameters.event:
            raise CannotPlan(f"{ref} is isolated already, by event {own[QUARANTINE]}.")
        if pod["spec"].get("hostNetwork"):
            raise CannotPlan(f"{ref} uses its node's network: a NetworkPolicy does not apply to it.")
        workload = workload_of_pod(cluster, pod, timeout_seconds=timeout_seconds)
        dropped, detached = _labels_to_drop(cluster, pod, timeout_seconds) if parameters.detach else ([], False)
        policy = network_policy(ref, parameters.event, hard=parameters.mode == "hard", until=parameters.until)
        policy_ref = ObjectRef.of(policy, "NetworkPolicy")
        selected = selecting_labels(ref.name, parameters.event)
        before = {key: own.get(key) for key in (*selected, *dropped)}
        after = {**selected, **dict.fromkeys(dropped)}
        marks = {QUARANTINED_LABELS: json.dumps({key: own.get(key) for key in dropped}, sort_keys=True)}
        if workload:
            marks[QUARANTINED_FROM] = f"{workload.ref.kind}/{workload.ref.name}"
        if parameters.until:
            marks[QUARANTINED_UNTIL] = parameters.until
        marked: Object = {"labels": after, "annotations": marks}
        serves = is_ready(pod)
        ready = _ready_now(cluster, workload, timeout_seconds) if workload else None
        how = "nothing but DNS" if parameters.mode == "hard" else "no traffic to it"
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Isolate {ref} ({how})" + ("; its ReplicaSet makes a new one in its place." if detached else "."),
            changes=(
                Change(policy_ref, "", None, f"selects {QUARANTINE}={parameters.event}"),
                *(Change(ref, f"metadata.labels[{key}]", before[key], after[key]) for key in after),
            ),
            operations=(
                operations.create("NetworkPolicy", policy),
                operations.patch(ref, {"metadata": marked}),
            ),
            pre_state={
                "labels": before,
                "isReady": serves,
                "detached": detached,
                # What was replaced is not put back into service: two pods would be one too many, and Kubernetes
                # would take the younger, healthy one away. It is removed instead.
                "undo": [
                    operations.delete(policy_ref),
                    operations.delete(ref) if detached else operations.patch(ref, labelled_again(before)),
                ],
            },
            risk=Risk.LOW if detached or not serves else Risk.MEDIUM,
            risk_reason="A new pod takes its place." if detached else "One replica less serves.",
            reversible=True,
            undo_summary=(
                f"{ref} was removed (a new pod had taken its place)." if detached else f"{ref} gets traffic again."
            ),
            blast_radius=blast_radius_of_pod(cluster, pod, workload, ready=ready, timeout_seconds=timeout_seconds),
            parameters=parameters.model_dump(by_alias=True),
        )


def labelled_again(labels_before: Mapping[str, str | None]) -> Object:
    """The patch that takes our marks off a pod and gives it back what it lost."""
    marks = dict.fromkeys((QUARANTINED_FROM, QUARANTINED_LABELS, QUARANTINED_UNTIL))
    return {"metadata": {"labels": {**labels_before, QUARANTINE: None, QUARANTINED_POD: None}, "annotations": marks}}


def labels_taken(pod: Object) -> dict[str, str | None]:
    """What an isolated pod has lost, as it says itself; nothing where somebody has garbled it."""
    text = (pod["metadata"].get("annotations") or {}).get(QUARANTINED_LABELS, "")
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def policy_name(event: str, pod: str) -> str:
    """Of the NetworkPolicy made for a pod of an event: each pod has its own, so that each is released by itself."""
    return f"{POLICY_PREFIX}{event}-{_short(pod)}"


def selecting_labels(pod: str, event: str) -> dict[str, str]:
    """The labels by which that policy knows the pod, and no other one."""
    return {QUARANTINE: event, QUARANTINED_POD: _short(pod)}


def _short(pod: str) -> str:
    return hashlib.sha256(pod.encode()).hexdigest()[:8]


def network_policy(pod: ObjectRef, event: str, *, hard: bool, until: str = "") -> Object:
    """Denies what enters the quarantined pod; ``hard``: also what leaves it, except DNS."""
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    spec: dict[str, Any] = {
        "podSelector": {"matchLabels": selecting_labels(pod.name, event)},
        "policyTypes": ["Ingress", "Egress"] if hard else ["Ingress"],
        "ingress": [],
    }
    if hard:
        spec["egress"] = [{"ports": dns}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": policy_name(event, pod.name),
            "namespace": pod.namespace,
            "labels": {operations.EVENT_LABEL: event, "app.kubernetes.io/managed-by": "recist"},
            **({"annotations": {QUARANTINED_UNTIL: until}} if until else {}),
        },
        "spec": spec,
    }


def _ready_now(cluster: Cluster, workload: Workload, timeout_seconds: float) -> int:
    """Counted from the pods: the workload's own counter is late by what was isolated a moment ago."""
    return sum(is_ready(pod) for pod in workload.pods(cluster, timeout_seconds=timeout_seconds))


def _labels_to_drop(cluster: Cluster, pod: Object, timeout_seconds: float) -> tuple[list[str], bool]:
    """The labels that take the pod out of its Services, and whether its ReplicaSet lets go of it by that."""
    owner = controller_of(pod)
    if owner is None:
        return [], False
    own = pod["metadata"].get("labels") or {}
    services = cluster.list("Service", owner.namespace, timeout_seconds=timeout_seconds).items
    selecting = [s["spec"]["selector"].keys() for s in services if labels.service_selects(s, own)]
    by_services: set[str] = {key for keys in selecting for key in keys}
    if owner.kind == "ReplicaSet":
        replica_set = cluster.get(owner.kind, owner.namespace, owner.name, timeout_seconds=timeout_seconds)
        by_owner = labels.keys_of(replica_set["spec"]["selector"])
        return sorted((by_services | by_owner) & own.keys()), True
    # Any other controller would make a second pod of the same name, or wait for this one: it must go on knowing it.
    # So only where each of the Services selects something else too can all of them be made to let go of the pod.
    try:
        controller = cluster.get(owner.kind, owner.namespace, owner.name, timeout_seconds=timeout_seconds)
    except (NotFound, Forbidden, KeyError):
        return [], False
    by_owner = labels.keys_of((controller.get("spec") or {}).get("selector") or {})
    free = (by_services - by_owner) & own.keys()
    return (sorted(free), False) if selecting and all(free & keys for keys in selecting) else ([], False)
