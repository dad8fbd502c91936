"""Every action on a target that it fits, and what shows that it was done or undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from healing.actions import operations, registry
from healing.actions.isolate import policy_name
from healing.ports import ObjectRef
from tests.actions import stages_of_objects, stages_of_volumes
from tests.actions.live import Namespace, until
from tests.actions.stage import Stage

AT = "2026-11-23T10:00:00Z"


def _deployment(ns: Namespace, name: str, **more: Any) -> ObjectRef:
    ref = ns.deployment(name, **more)
    until(lambda: _revision(ns, ref) == 1, f"the ReplicaSet of {name}")
    return ref


def _revision(ns: Namespace, ref: ObjectRef) -> int:
    annotations = ns.get("Deployment", ref.name)["metadata"].get("annotations") or {}
    return int(annotations.get("deployment.kubernetes.io/revision", 0))


def _template(ns: Namespace, name: str) -> dict[str, Any]:
    template: dict[str, Any] = ns.get("Deployment", name)["spec"]["template"]
    return template


def _container(ns: Namespace, name: str) -> dict[str, Any]:
    container: dict[str, Any] = _template(ns, name)["spec"]["containers"][0]
    return container


def _new_image(ns: Namespace, ref: ObjectRef, image: str) -> Callable[[], None]:
    return lambda: ns.patch_container(ref, image=image)


def restart(ns: Namespace, name: str) -> Stage:
    ref = _deployment(ns, name)
    stamp = "kubectl.kubernetes.io/restartedAt"
    return Stage(
        "restart",
        ref,
        lambda: (_template(ns, name)["metadata"].get("annotations") or {}).get(stamp) == AT,
        None,
        lambda: ns.cluster.delete("Deployment", ns.name, name),
        {"at": AT},
    )


def restart_dependency(ns: Namespace, name: str) -> Stage:
    stage = restart(ns, name)
    return Stage("restartDependency", stage.target, stage.is_done, None, stage.spoil, stage.parameters)


def rollback(ns: Namespace, name: str) -> Stage:
    ref = _deployment(ns, name, image="registry.local/web:1.0")
    ns.patch_container(ref, image="registry.local/web:2.0")
    until(lambda: _revision(ns, ref) == 2, "revision 2")
    return Stage(
        "rollback",
        ref,
        lambda: _container(ns, name)["image"] == "registry.local/web:1.0",
        lambda: _container(ns, name)["image"] == "registry.local/web:2.0",
        lambda: ns.cluster.delete("Deployment", ns.name, name),
        {"toRevision": 1},
    )


def scale(ns: Namespace, name: str) -> Stage:
    ref = _deployment(ns, name)

    def replicas() -> int:
        return int(ns.get("Deployment", name)["spec"]["replicas"])

    return Stage(
        "scale",
        ref,
        lambda: replicas() == 3,
        lambda: replicas() == 2,
        lambda: _merge(ns, ref, {"spec": {"replicas": 3}}),
        {"replicas": 3},
    )


def update_resources(ns: Namespace, name: str) -> Stage:
    ref = _deployment(ns, name, resources={"limits": {"memory": "64Mi"}})

    def limit() -> str:
        return str(_container(ns, name)["resources"]["limits"]["memory"])

    return Stage(
        "updateResources",
        ref,
        lambda: limit() == "96Mi",
        lambda: limit() == "64Mi",
        lambda: ns.patch_container(ref, resources={"limits": {"memory": "16Mi"}}),
        {"container": "web", "limits": {"memory": "96Mi"}},
    )


def update_config_references(ns: Namespace, name: str) -> Stage:
    ref = _deployment(ns, name, env=[{"name": "MODE", "value": "good"}])
    ns.patch_container(ref, env=[{"name": "MODE", "value": "bad"}])
    until(lambda: _revision(ns, ref) == 2, "revision 2")

    def mode() -> str:
        return str(_container(ns, name)["env"][0]["value"])

    return Stage(
        "updateConfig",
        ref,
        lambda: mode() == "good",
        lambda: mode() == "bad",
        _new_image(ns, ref, "registry.local/web:9.0"),
        {"fromRevision": 1},
    )


def update_config_keys(ns: Namespace, name: str) -> Stage:
    ns.config_map(f"{name}-v1", {"REGION": "eu", "MODE": "a"})
    ref = ns.config_map(f"{name}-v2", {"MODE": "b"})

    def data() -> dict[str, str]:
        return dict(ns.get("ConfigMap", ref.name)["data"])

    return Stage(
        "updateConfig",
        ref,
        lambda: data() == {"MODE": "b", "REGION": "eu"},
        lambda: data() == {"MODE": "b"},
        lambda: _merge(ns, ref, {"data": {"REGION": "us"}}),
        {"keys": ["REGION"]},
    )


def fix_service_selector(ns: Namespace, name: str) -> Stage:
    _deployment(ns, name)
    until(lambda: ns.pods(name), "pods")
    ref = ns.service(name, {"app": f"{name}-typo"})

    def selector() -> dict[str, str]:
        return dict(ns.get("Service", name)["spec"]["selector"])

    return Stage(
        "fixServiceSelector",
        ref,
        lambda: selector() == {"app": name},
        lambda: selector() == {"app": f"{name}-typo"},
        lambda: _merge(ns, ref, {"spec": {"selector": {"app": "x", "tier": "y"}}}),
        {"selector": {"app": name}},
    )


def _first_pod(ns: Namespace, name: str) -> ObjectRef:
    _deployment(ns, name)
    return ObjectRef.of(until(lambda: ns.pods(name), "pods")[0], "Pod")


def _is_gone(ns: Namespace, pod: ObjectRef) -> bool:
    return all(found["metadata"]["uid"] != pod.uid for found in ns.pods_of_all())


def evict(ns: Namespace, name: str) -> Stage:
    pod = _first_pod(ns, name)
    return Stage(
        "evict",
        pod,
        lambda: _is_gone(ns, pod),
        None,
        lambda: ns.cluster.delete("Pod", ns.name, pod.name, grace_seconds=0),
        method="POST",
    )


def isolate(ns: Namespace, name: str) -> Stage:
    pod, event = _first_pod(ns, name), f"he-{name}"

    def is_isolated() -> bool:
        labels = ns.get("Pod", pod.name)["metadata"]["labels"]
        policies = {p["metadata"]["name"] for p in ns.list("NetworkPolicy")}
        return labels.get("recist.io/quarantine") == event and policy_name(event, pod.name) in policies

    def is_as_before() -> bool:
        policies = {p["metadata"]["name"] for p in ns.list("NetworkPolicy")}
        return _is_gone(ns, pod) and policy_name(event, pod.name) not in policies

    return Stage(
        "isolate",
        pod,
        is_isolated,
        is_as_before,
        lambda: ns.cluster.delete("Pod", ns.name, pod.name, grace_seconds=0),
        {"event": event, "mode": "soft", "detach": True},
        writes=2,
        method="POST",
    )


def pause_rollout(ns: Namespace, name: str) -> Stage:
    ref = _deployment(ns, name)

    def is_paused() -> bool:
        return bool(ns.get("Deployment", name)["spec"].get("paused"))

    return Stage(
        "pauseRollout",
        ref,
        is_paused,
        lambda: not is_paused(),
        lambda: _merge(ns, ref, {"spec": {"paused": True}}),
        {"event": "he-x"},
    )


def resume_rollout(ns: Namespace, name: str) -> Stage:
    ref = _deployment(ns, name)
    pause = {"spec": {"paused": True}, "metadata": {"annotations": {"recist.io/paused-by": "he-x"}}}
    _merge(ns, ref, pause)

    def is_paused() -> bool:
        return bool(ns.get("Deployment", name)["spec"].get("paused"))

    return Stage(
        "resumeRollout",
        ref,
        lambda: not is_paused(),
        is_paused,
        lambda: _merge(ns, ref, {"metadata": {"annotations": {"recist.io/paused-by": "he-other"}}}),
        {"event": "he-x"},
    )


def release(ns: Namespace, name: str) -> Stage:
    """Of a pod that was detached: a new one has taken its place, so it goes, and its NetworkPolicy with it."""
    pod, event = _first_pod(ns, name), f"he-{name}"
    isolation = registry.make_plan(ns.cluster, "isolate", pod, {"event": event}, timeout_seconds=5)
    for operation in isolation.operations:
        operations.send(ns.cluster, operation, timeout_seconds=5)
    until(lambda: "ownerReferences" not in ns.get("Pod", pod.name)["metadata"], "a detached pod")

    def is_done() -> bool:
        policies = {p["metadata"]["name"] for p in ns.list("NetworkPolicy")}
        return _is_gone(ns, pod) and policy_name(event, pod.name) not in policies

    return Stage(
        "release",
        pod,
        is_done,
        None,
        lambda: _merge(ns, pod, {"metadata": {"labels": {"recist.io/quarantine": "he-another"}}}),
        {"event": event, "labels": isolation.pre_state["labels"]},
        writes=2,
        method="DELETE",
    )


def _merge(ns: Namespace, ref: ObjectRef, body: dict[str, Any]) -> None:
    ns.cluster.patch(ref.kind, ref.namespace, ref.name, body)


STAGES: dict[str, Callable[[Namespace, str], Stage]] = {
    "restore-object": stages_of_objects.restore_object,
    "restore-object-applied": stages_of_objects.restore_applied,
    "restore-object-new": stages_of_objects.take_away,
    "recreate-missing": stages_of_objects.recreate_missing,
    "raise-quota": stages_of_objects.raise_quota,
    "expand-volume": stages_of_volumes.expand_volume,
    "rebind-volume": stages_of_volumes.rebind_to_volume,
    "rebind-volume-class": stages_of_volumes.rebind_to_class,
    "delete-stuck-pod": stages_of_objects.delete_stuck_pod,
    "drain": stages_of_objects.drain,
    "fix-service-port": stages_of_objects.fix_service_port,
    "fix-probe": stages_of_objects.fix_probe,
    "fix-scheduling": stages_of_objects.fix_scheduling,
    "restart": restart,
    "restart-dependency": restart_dependency,
    "rollback": rollback,
    "scale": scale,
    "update-resources": update_resources,
    "config-references": update_config_references,
    "config-keys": update_config_keys,
    "fix-service-selector": fix_service_selector,
    "evict": evict,
    "isolate": isolate,
    "pause-rollout": pause_rollout,
    "resume-rollout": resume_rollout,
    "release": release,
    "cordon": stages_of_objects.cordon,
    "uncordon": stages_of_objects.uncordon,
    "recreate-missing-account": stages_of_objects.recreate_account,
    "restore-object-scaler": stages_of_objects.restore_scaler,
    "rollback-stateful-set": stages_of_objects.rollback_in_place("StatefulSet"),
    "rollback-daemon-set": stages_of_objects.rollback_in_place("DaemonSet"),
}
