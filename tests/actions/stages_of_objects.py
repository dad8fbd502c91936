"""Stages of actions on objects that are no workloads: what was edited, made or deleted shortly before."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from healing.actions import known_states
from healing.models import KnownState
from healing.ports import ObjectRef
from tests.actions.live import Namespace
from tests.actions.stage import Stage


def seen(ns: Namespace, ref: ObjectRef) -> int:
    """Remember it as it is; the row's number."""
    known_states.remember("default", ns.get(ref.kind, ref.name), timezone.now(), ref.kind)
    return KnownState.objects.get(uid=ref.uid).pk


def _exists(ns: Namespace, ref: ObjectRef) -> bool:
    return any(found["metadata"]["name"] == ref.name for found in ns.list(ref.kind))


def policy(ns: Namespace, name: str, spec: dict[str, Any]) -> ObjectRef:
    return ns.create("NetworkPolicy", {"apiVersion": "networking.k8s.io/v1", "metadata": {"name": name}, "spec": spec})


def restore_object(ns: Namespace, name: str) -> Stage:
    allowed = {"podSelector": {"matchLabels": {"app": name}}, "ingress": [{}], "policyTypes": ["Ingress"]}
    ref = policy(ns, name, allowed)
    number = seen(ns, ref)
    ns.cluster.patch(ref.kind, ns.name, name, {"spec": {"ingress": None}})

    def rules() -> Any:
        return ns.get("NetworkPolicy", name)["spec"].get("ingress")

    return Stage(
        "restoreObject",
        ref,
        lambda: rules() == [{}],
        lambda: not rules(),
        lambda: (
            ns.cluster.patch(ref.kind, ns.name, name, {"spec": {"ingress": [{"from": [{"podSelector": {}}]}]}})
            and ns.cluster.patch(ref.kind, ns.name, name, {"spec": {"policyTypes": ["Ingress", "Egress"]}})
        ),
        {"state": number},
    )


def restore_applied(ns: Namespace, name: str) -> Stage:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": name}}}
    applied = json.dumps({"spec": spec})
    body = {
        "apiVersion": "policy/v1",
        "metadata": {"name": name, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}},
        "spec": {**spec, "minAvailable": 5},
    }
    ref = ns.create("PodDisruptionBudget", body)

    def least() -> Any:
        return ns.get("PodDisruptionBudget", name)["spec"]["minAvailable"]

    return Stage(
        "restoreObject",
        ref,
        lambda: least() == 1,
        lambda: least() == 5,
        lambda: ns.cluster.delete(ref.kind, ns.name, name),
        {"lastApplied": True},
    )


def take_away(ns: Namespace, name: str) -> Stage:
    ref = policy(ns, name, {"podSelector": {}, "policyTypes": ["Ingress"]})
    return Stage(
        "restoreObject",
        ref,
        lambda: not _exists(ns, ref),
        lambda: _exists(ns, ref),
        lambda: ns.cluster.delete(ref.kind, ns.name, name),
        {"remove": True, "event": f"he-{name}"},
        method="DELETE",
    )


def recreate_missing(ns: Namespace, name: str) -> Stage:
    ref = ns.config_map(name, {"REGION": "eu"})
    number = seen(ns, ref)
    ns.cluster.delete("ConfigMap", ns.name, name)

    def data() -> Any:
        return ns.get("ConfigMap", name)["data"] if _exists(ns, ref) else None

    return Stage(
        "recreateMissing",
        ObjectRef("ConfigMap", ns.name, name),
        lambda: data() == {"REGION": "eu"},
        lambda: data() is None,
        lambda: ns.config_map(name, {"REGION": "us"}) and None,
        {"state": number, "event": f"he-{name}"},
        method="POST",
    )
