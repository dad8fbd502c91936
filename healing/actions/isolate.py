"""Isolate: keep traffic from one pod, so that it can be examined and harms nobody.

A NetworkPolicy selects a label of ours that is put on the pod, so it selects that pod alone and works for the pods of
Deployments too. A NetworkPolicy does not take a pod out of its Services, though, and callers would run into it:
a pod of a ReplicaSet is therefore *detached* as well. It loses the labels by which its ReplicaSet and its Services
know it; the ReplicaSet makes a new pod in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from healing.actions import labels, operations
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.labels import QUARANTINE, QUARANTINED_FROM
from healing.actions.ownership import allowed, budgets_of, in_words, managed_by
from healing.actions.reading import controller_of, get, is_ready, workload_of_pod
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, Object, ObjectRef


class IsolateParameters(Parameters):
    """``event`` names policy and label. ``detach``: let the ReplicaSet replace the pod."""

    event: str = Field(min_length=1, max_length=63)
    mode: Literal["soft", "hard"] = "soft"
    detach: bool = True


class Isolate(Action[IsolateParameters]):
    """soft: no traffic to the pod; hard: nothing but DNS in either direction."""

    name = ActionName.ISOLATE
    title = "Isolate the pod"
    kinds = frozenset({"Pod"})
    permissions: ClassVar = (
        *((verb, "NetworkPolicy") for verb in ("get", "create", "delete")),
        *((verb, "Pod") for verb in ("get", "patch", "delete")),
        ("get", "ReplicaSet"),
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
        dropped = _labels_to_drop(cluster, pod, timeout_seconds) if parameters.detach else []
        policy = network_policy(ref.namespace, parameters.event, hard=parameters.mode == "hard")
        policy_ref = ObjectRef.of(policy, "NetworkPolicy")
        before = {QUARANTINE: own.get(QUARANTINE), **{key: own.get(key) for key in dropped}}
        after = {QUARANTINE: parameters.event, **dict.fromkeys(dropped)}
        marked: Object = {"labels": after}
        if workload:
            marked["annotations"] = {QUARANTINED_FROM: f"{workload.ref.kind}/{workload.ref.name}"}
        serves = is_ready(pod)
        budgets = budgets_of(cluster, ref.namespace, own, timeout_seconds=timeout_seconds)
        ready = workload.ready if workload else None
        how = "nothing but DNS" if parameters.mode == "hard" else "no traffic to it"
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Isolate {ref} ({how})" + ("; its ReplicaSet makes a new one in its place." if dropped else "."),
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
                "detached": bool(dropped),
                # What was replaced is not put back into service: two pods would be one too many, and Kubernetes
                # would take the younger, healthy one away. It is removed instead.
                "undo": [
                    operations.delete(policy_ref),
                    operations.delete(ref) if dropped else operations.patch(ref, labelled_again(before)),
                ],
            },
            risk=Risk.LOW if dropped or not serves else Risk.MEDIUM,
            risk_reason="A new pod takes its place." if dropped else "One replica less serves.",
            reversible=True,
            undo_summary=(
                f"{ref} was removed (a new pod had taken its place)." if dropped else f"{ref} gets traffic again."
            ),
            blast_radius=BlastRadius(
                pods=1,
                ready_replicas=ready,
                desired_replicas=workload.desired if workload else None,
                remaining_ready=None if ready is None else max(0, ready - int(serves)),
                disruption_budget=in_words(budgets),
                disruptions_allowed=allowed(budgets),
                managed_by=managed_by(workload.obj) if workload else "",
            ),
            parameters=parameters.model_dump(by_alias=True),
        )


def labelled_again(labels_before: Mapping[str, str | None]) -> Object:
    """The patch that takes our marks off a pod and gives it back what it lost."""
    return {"metadata": {"labels": {**labels_before, QUARANTINE: None}, "annotations": {QUARANTINED_FROM: None}}}


def policy_name(event: str) -> str:
    """Of the NetworkPolicy made for an event."""
    return f"recist-quarantine-{event}"


def network_policy(namespace: str, event: str, *, hard: bool) -> Object:
    """Denies what enters the quarantined pods; ``hard``: also what leaves them, except DNS."""
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    spec: dict[str, Any] = {
        "podSelector": {"matchLabels": {QUARANTINE: event}},
        "policyTypes": ["Ingress", "Egress"] if hard else ["Ingress"],
        "ingress": [],
    }
    if hard:
        spec["egress"] = [{"ports": dns}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": policy_name(event),
            "namespace": namespace,
            "labels": {operations.EVENT_LABEL: event, "app.kubernetes.io/managed-by": "recist"},
        },
        "spec": spec,
    }


def _labels_to_drop(cluster: Cluster, pod: Object, timeout_seconds: float) -> list[str]:
    """The labels by which a ReplicaSet and the Services select the pod; none where it cannot be detached."""
    owner = controller_of(pod)
    if owner is None or owner.kind != "ReplicaSet":
        return []
    replica_set = cluster.get(owner.kind, owner.namespace, owner.name, timeout_seconds=timeout_seconds)
    own = pod["metadata"].get("labels") or {}
    selected_by: set[str] = set((replica_set["spec"]["selector"].get("matchLabels") or {}).keys())
    services = cluster.list("Service", owner.namespace, timeout_seconds=timeout_seconds).items
    for service in services:
        if labels.service_selects(service, own):
            selected_by |= service["spec"]["selector"].keys()
    return sorted(selected_by & own.keys())
