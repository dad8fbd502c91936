"""Stages of actions on objects that are no workloads: what was edited, made or deleted shortly before."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from healing.actions import known_states
from healing.actions.cordon import CORDONED_BY
from healing.actions.drain import in_words
from healing.models import KnownState
from healing.ports import ObjectRef
from tests.actions.live import Namespace, until
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


def raise_quota(ns: Namespace, name: str) -> Stage:
    ref = ns.create(
        "ResourceQuota", {"apiVersion": "v1", "metadata": {"name": name}, "spec": {"hard": {"pods": "500"}}}
    )

    def most() -> Any:
        return ns.get("ResourceQuota", name)["spec"]["hard"]["pods"]

    return Stage(
        "raiseQuota",
        ref,
        lambda: most() == "750",
        lambda: most() == "500",
        lambda: ns.cluster.patch(ref.kind, ns.name, name, {"spec": {"hard": {"pods": "900"}}}) and None,
        {"hard": {"pods": "750"}},
    )


def delete_stuck_pod(ns: Namespace, name: str) -> Stage:
    ns.stateful_set(name, image="registry.local/web:does-not-exist")
    until(lambda: ns.waits_with("ErrImagePull", name) or ns.waits_with("ImagePullBackOff", name), "a failing pod")
    pod = ObjectRef.of(ns.pods(name)[0], "Pod")

    def is_gone() -> bool:
        return all(found["metadata"]["uid"] != pod.uid for found in ns.pods_of_all())

    return Stage(
        "deleteStuckPod",
        pod,
        is_gone,
        None,
        lambda: ns.cluster.delete("Pod", ns.name, pod.name, grace_seconds=0),
        method="DELETE",
    )


def drain(ns: Namespace, name: str) -> Stage:
    ns.rolled_out(ns.deployment(name))
    pod = ns.pods(name)[0]
    node = ObjectRef("Node", "", pod["spec"]["nodeName"])

    def is_cordoned() -> bool:
        return bool(ns.cluster.get("Node", "", node.name)["spec"].get("unschedulable"))

    def cordon(names: list[str], *, on: bool) -> None:
        for other in names:
            body = {"spec": {"unschedulable": on or None}, "metadata": {"annotations": {"recist.io/cordoned-by": None}}}
            ns.cluster.patch("Node", "", other, body)

    names = [n["metadata"]["name"] for n in ns.cluster.list("Node").items]
    return Stage(
        "drain",
        node,
        lambda: is_cordoned() and all(p["metadata"]["uid"] != pod["metadata"]["uid"] for p in ns.pods_of_all()),
        lambda: not is_cordoned(),
        lambda: cordon([other for other in names if other != node.name], on=True),
        {"event": f"he-{name}", "pods": [in_words(pod)]},
        writes=2,
        method="POST",
        clean_up=lambda: cordon(names, on=False),
    )


def fix_service_port(ns: Namespace, name: str) -> Stage:
    ns.deployment(name)
    until(lambda: ns.pods(name), "pods")
    ref = ns.service(name, {"app": name})

    def port() -> Any:
        return ns.get("Service", name)["spec"]["ports"][0]["targetPort"]

    return Stage(
        "fixServicePort",
        ref,
        lambda: port() == 80,
        lambda: port() == "http",
        lambda: ns.cluster.delete("Service", ns.name, name),
        {"targetPorts": {"80": "80"}},
    )


def fix_probe(ns: Namespace, name: str) -> Stage:
    ref = ns.deployment(name, readinessProbe={"httpGet": {"path": "/", "port": 9999}, "periodSeconds": 1})
    until(lambda: ns.list("ReplicaSet", label_selector=f"app={name}"), "a ReplicaSet")

    def port() -> Any:
        container = ns.get("Deployment", name)["spec"]["template"]["spec"]["containers"][0]
        return container["readinessProbe"]["httpGet"]["port"]

    return Stage(
        "fixProbe",
        ref,
        lambda: port() == 80,
        lambda: port() == 9999,
        lambda: ns.patch_container(ref, image="registry.local/web:9.0"),
        {"container": "web", "probe": "readinessProbe", "port": 80},
    )


def fix_scheduling(ns: Namespace, name: str) -> Stage:
    ref = ns.deployment(name)
    until(lambda: len(ns.list("ReplicaSet", label_selector=f"app={name}")) == 1, "revision 1")
    ns.cluster.patch(ref.kind, ns.name, name, {"spec": {"template": {"spec": {"nodeSelector": {"disk": "nvme9"}}}}})
    until(lambda: len(ns.list("ReplicaSet", label_selector=f"app={name}")) == 2, "revision 2")

    def selector() -> Any:
        return ns.get("Deployment", name)["spec"]["template"]["spec"].get("nodeSelector")

    return Stage(
        "fixScheduling",
        ref,
        lambda: not selector(),
        lambda: selector() == {"disk": "nvme9"},
        lambda: ns.patch_container(ref, image="registry.local/web:9.0"),
        {"fromRevision": 1},
    )


def _node_marked(ns: Namespace, name: str) -> tuple[ObjectRef, Callable[[], bool], Callable[[Any], None]]:
    """A node, whether it is cordoned, and how to cordon it as somebody (None: as nobody)."""
    node = ObjectRef.of(ns.cluster.list("Node").items[0], "Node")

    def is_cordoned() -> bool:
        return bool(ns.cluster.get("Node", "", node.name)["spec"].get("unschedulable"))

    def mark(by: Any) -> None:
        body = {"spec": {"unschedulable": bool(by) or None}, "metadata": {"annotations": {CORDONED_BY: by}}}
        ns.cluster.patch("Node", "", node.name, body)

    mark(None)
    return node, is_cordoned, mark


def cordon(ns: Namespace, name: str) -> Stage:
    node, is_cordoned, mark = _node_marked(ns, name)
    return Stage(
        "cordon",
        node,
        is_cordoned,
        lambda: not is_cordoned(),
        lambda: mark("somebody-else"),
        {"event": f"he-{name}"},
        clean_up=lambda: mark(None),
    )


def uncordon(ns: Namespace, name: str) -> Stage:
    node, is_cordoned, mark = _node_marked(ns, name)
    mark(f"he-{name}")
    return Stage(
        "uncordon",
        node,
        lambda: not is_cordoned(),
        is_cordoned,
        lambda: mark("he-another"),
        {"event": f"he-{name}"},
        clean_up=lambda: mark(None),
    )


def recreate_account(ns: Namespace, name: str) -> Stage:
    body = {"apiVersion": "v1", "metadata": {"name": name}, "automountServiceAccountToken": False}
    ref = ns.create("ServiceAccount", body)
    number = seen(ns, ref)
    ns.cluster.delete("ServiceAccount", ns.name, name)
    return Stage(
        "recreateMissing",
        ObjectRef("ServiceAccount", ns.name, name),
        lambda: _exists(ns, ref) and ns.get("ServiceAccount", name)["automountServiceAccountToken"] is False,
        lambda: not _exists(ns, ref),
        lambda: ns.create("ServiceAccount", body) and None,
        {"state": number, "event": f"he-{name}"},
        method="POST",
    )


def restore_scaler(ns: Namespace, name: str) -> Stage:
    """Somebody edited an autoscaler: its bounds go back."""
    deployment = ns.deployment(name)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment.name}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 6}
    ref = ns.create(
        "HorizontalPodAutoscaler", {"apiVersion": "autoscaling/v2", "metadata": {"name": name}, "spec": spec}
    )
    number = seen(ns, ref)
    ns.cluster.patch(ref.kind, ns.name, name, {"spec": {"minReplicas": 1, "maxReplicas": 1}})

    def bounds() -> tuple[int, int]:
        found = ns.get("HorizontalPodAutoscaler", name)["spec"]
        return found.get("minReplicas", 1), found["maxReplicas"]

    return Stage(
        "restoreObject",
        ref,
        lambda: bounds() == (2, 6),
        lambda: bounds() == (1, 1),
        lambda: ns.cluster.delete(ref.kind, ns.name, name),
        {"state": number},
    )


def rollback_in_place(kind: str) -> Callable[[Namespace, str], Stage]:
    """A StatefulSet or DaemonSet, whose former templates are ControllerRevisions."""

    def make(ns: Namespace, name: str) -> Stage:
        ref = ns.stateful_set(name, kind=kind)

        def revisions() -> int:
            return len([r for r in ns.list("ControllerRevision") if r["metadata"]["name"].startswith(f"{name}-")])

        until(lambda: revisions() == 1, "revision 1")
        ns.patch_container(ref, image="registry.local/web:2.0")
        until(lambda: revisions() == 2, "revision 2")

        def image() -> str:
            return str(ns.get(kind, name)["spec"]["template"]["spec"]["containers"][0]["image"])

        return Stage(
            "rollback",
            ref,
            lambda: image() == "registry.local/web:1.0",
            lambda: image() == "registry.local/web:2.0",
            lambda: ns.cluster.delete(kind, ns.name, name),
        )

    return make
