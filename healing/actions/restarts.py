"""What a restart is held to: pods that go have to come back, and not all of them are alike.

Everything is read from the cluster as it is now. What we may not look at is taken to be in order: the limit speaks only
of what was seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from healing.actions import capacity, revisions
from healing.actions.base import CannotPlan, Plan
from healing.actions.limits import Kind, Refusal
from healing.actions.reading import Workload, container_statuses, list_if_allowed, unfit, workload_of_pod
from healing.policies.spec import ActionName
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import Forbidden, NotFound

#: These take all pods of a workload away, one after another.
RESTARTS = frozenset({ActionName.RESTART, ActionName.RESTART_DEPENDENCY})
#: A container waits with these where its image cannot be had.
_PULL_FAILS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CANNOT_BE_CREATED = frozenset({"CreateContainerConfigError", "CreateContainerError"})


def refusals(plan: Plan, cluster: Cluster, *, timeout_seconds: float) -> list[Refusal]:
    """A fresh start is worth nothing where pods do not come back, and much less where they are not all alike.

    For plans that change nothing else. Raises `healing.ports.errors`."""
    if plan.action not in RESTARTS | {ActionName.EVICT}:
        return []
    workload = _workload_of(plan, cluster, timeout_seconds)
    if workload is None:
        return []
    radius, is_one_pod = plan.blast_radius, plan.action is ActionName.EVICT
    ready, remaining, desired = radius.ready_replicas or 0, radius.remaining_ready, workload.desired
    found = []
    takes_away = not is_one_pod or remaining != radius.ready_replicas
    problems = takes_away and why_not_again(cluster, workload, freed_first=is_one_pod, timeout_seconds=timeout_seconds)
    if problems:
        message = f"Pods of {workload.ref} that go would not come back: {'; '.join(problems[:3])}."
        found.append(Refusal("restartable", Kind.FORBID, message, "put that right first"))
    majority = desired // 2 + 1
    if workload.ref.kind == "StatefulSet" and desired > 2 and remaining and remaining < min(ready, majority):
        message = f"{remaining} of {desired} replicas of {workload.ref} would remain; a majority is {majority}."
        found.append(Refusal("quorum", Kind.FORBID, message, "wait until more replicas are ready"))
    if is_one_pod or found:
        return found
    if rollout := rollout_under_way(workload):
        message = f"A rollout of {workload.ref} is under way ({rollout}): a restart would begin it anew."
        found.append(Refusal("rollout", Kind.ASK, message, "wait until it has ended, take it back, or approve it"))
    if ready and (data := keeps_data(workload)):
        message = f"{workload.ref} {data}: whether it is started anew is a person's decision."
        found.append(Refusal("keepsData", Kind.ASK, message, "approve it"))
    return found


def _workload_of(plan: Plan, cluster: Cluster, timeout_seconds: float) -> Workload | None:
    """What the plan restarts, or replaces a pod of; None: it has gone, or is no workload."""
    target = plan.target
    try:
        if target.kind == "Pod":
            pod = cluster.get("Pod", target.namespace, target.name, timeout_seconds=timeout_seconds)
            return workload_of_pod(cluster, pod, timeout_seconds=timeout_seconds)
        workload = Workload.read(cluster, target, timeout_seconds=timeout_seconds)
    except (CannotPlan, NotFound):
        return None
    return workload if "spec" in workload.obj else None


def keeps_data(workload: Workload) -> str:
    """What makes its pods more than replaceable, in words; empty: any pod is as good as the other."""
    templates = [t["metadata"]["name"] for t in workload.obj["spec"].get("volumeClaimTemplates") or ()]
    if names := [*templates, *_claims(workload.template["spec"])]:
        return f"keeps data ({', '.join(names)})"
    return "is a StatefulSet, whose pods are not interchangeable" if workload.ref.kind == "StatefulSet" else ""


def rollout_under_way(workload: Workload) -> str:
    """How far a rollout is that has not come to its end, in words; empty: none is under way."""
    strategy = workload.obj["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return ""
    desired = workload.desired
    if not workload.is_observed:
        return "its newest template has not been looked at yet"
    if workload.updated < desired:
        return f"{workload.updated} of {desired} replicas are of its newest template"
    if workload.ref.kind == "Deployment" and workload.total > workload.updated:
        return f"{workload.total - workload.updated} replica(s) of its former template are still there"
    return ""


def why_not_again(
    cluster: Cluster, workload: Workload, *, freed_first: bool = False, timeout_seconds: float
) -> list[str]:
    """Why a pod of this workload that goes would not come back; empty: nothing is known to speak against it.
    ``freed_first``: it goes before another is made, even where a rollout would do it the other way round.

    Raises `healing.ports.errors` where the cluster does not answer."""
    pods = workload.pods(cluster, timeout_seconds=timeout_seconds)
    found = [
        *_missing(cluster, workload, timeout_seconds),
        *_refused(workload, pods),
        *_no_quota(
            cluster, workload, freed_first=freed_first or not _surges(workload), timeout_seconds=timeout_seconds
        ),
        *_no_image(cluster, workload, timeout_seconds),
        *_volume_is_held(cluster, pods, timeout_seconds),
        *_no_place(pods),
    ]
    return list(dict.fromkeys(found))


def _claims(pod_spec: Mapping[str, Any]) -> list[str]:
    volumes = pod_spec.get("volumes") or ()
    return [str(v["persistentVolumeClaim"]["claimName"]) for v in volumes if v.get("persistentVolumeClaim")]


def _missing(cluster: Cluster, workload: Workload, timeout_seconds: float) -> Iterator[str]:
    namespace, template = workload.ref.namespace, workload.template
    yield from revisions.missing_references(cluster, namespace, template, timeout_seconds=timeout_seconds)
    others = [ObjectRef("PersistentVolumeClaim", namespace, name) for name in _claims(template["spec"])]
    if account := template["spec"].get("serviceAccountName"):
        others.append(ObjectRef("ServiceAccount", namespace, str(account)))
    for ref in others:
        try:
            obj = cluster.get(ref.kind, namespace, ref.name, timeout_seconds=timeout_seconds)
        except NotFound:
            yield f"{ref} does not exist"
        except Forbidden:
            continue
        else:
            if (obj.get("status") or {}).get("phase") == "Lost":
                yield f"{ref} has lost its volume"


def _refused(workload: Workload, pods: list[Object]) -> Iterator[str]:
    """What the API server (admission, Pod Security, a webhook) or a kubelet says of the newest pods of it."""
    for item in (workload.obj.get("status") or {}).get("conditions") or ():
        if item.get("type") == "ReplicaFailure" and item.get("status") == "True":
            yield f"new pods of it are refused ({str(item.get('message') or item.get('reason'))[:200]})"
    for pod in pods:
        for status in container_statuses(pod):
            waiting = (status.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in _CANNOT_BE_CREATED:
                yield f"its pods cannot be started now ({str(waiting.get('message') or waiting['reason'])[:200]})"


def _no_quota(cluster: Cluster, workload: Workload, *, freed_first: bool, timeout_seconds: float) -> Iterator[str]:
    """Room for one pod more where new ones come before others go; else for one that takes another's place."""
    needs, namespace = capacity.pod_needs(workload.template["spec"]), workload.ref.namespace
    try:
        capacity.check_quota(
            cluster, namespace, needs, pods=1, freed_first=freed_first, timeout_seconds=timeout_seconds
        )
    except CannotPlan as error:
        yield str(error).rstrip(".")


def _surges(workload: Workload) -> bool:
    """Whether a rollout of it makes a pod before it takes one away."""
    if workload.ref.kind != "Deployment":
        return False
    strategy = workload.obj["spec"].get("strategy") or {}
    surge = (strategy.get("rollingUpdate") or {}).get("maxSurge", "25%")
    return strategy.get("type") != "Recreate" and str(surge) not in ("0", "0%")


def _no_image(cluster: Cluster, workload: Workload, timeout_seconds: float) -> Iterator[str]:
    """Images of it that some pod waits for in vain right now; and where they are pulled at every start, a registry
    that does not answer."""
    spec = workload.template["spec"]
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    wanted = {str(c.get("image")) for c in containers}
    pulled = {_registry(str(c.get("image"))) for c in containers if c.get("imagePullPolicy") == "Always"}
    for pod in list_if_allowed(cluster, "Pod", workload.ref.namespace, timeout_seconds=timeout_seconds) or ():
        for status in container_statuses(pod):
            waiting = (status.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") not in _PULL_FAILS:
                continue
            image = _image_of(pod, str(status.get("name")))
            if image in wanted:
                yield f"image {image} cannot be pulled ({waiting['reason']})"
            elif _registry(image) in pulled and _is_unreachable(str(waiting.get("message", ""))):
                yield f"registry {_registry(image)} does not answer, and an image of it is pulled at every start"


def _image_of(pod: Object, container: str) -> str:
    containers = [*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ())]
    return next((str(c.get("image")) for c in containers if c.get("name") == container), "")


def _registry(image: str) -> str:
    first = image.split("/", 1)[0]
    return first if "/" in image and ("." in first or ":" in first or first == "localhost") else "docker.io"


def _is_unreachable(message: str) -> bool:
    words = ("i/o timeout", "connection refused", "no such host", "deadline exceeded", "TLS handshake timeout", "EOF")
    return any(word in message for word in words)


def _volume_is_held(cluster: Cluster, pods: list[Object], timeout_seconds: float) -> Iterator[str]:
    """Volumes that only nodes can use which take no pods now: a pod that leaves one of these waits for that node."""
    names = {claim: pod["metadata"]["name"] for pod in pods for claim in _claims(pod["spec"])}
    if not names:
        return
    nodes = list_if_allowed(cluster, "Node", "", timeout_seconds=timeout_seconds)
    for claim, pod_name in sorted(names.items()) if nodes else ():
        try:
            bound = cluster.get(
                "PersistentVolumeClaim", pods[0]["metadata"]["namespace"], claim, timeout_seconds=timeout_seconds
            )
            volume_name = str(bound["spec"].get("volumeName") or "")
            volume = volume_name and cluster.get("PersistentVolume", "", volume_name, timeout_seconds=timeout_seconds)
        except (NotFound, Forbidden):
            continue
        terms = (
            (((volume or {}).get("spec") or {}).get("nodeAffinity") or {}).get("required", {}).get("nodeSelectorTerms")
        )
        if not terms:
            continue
        fitting = [node for node in nodes or () if any(_fits(term, node) for term in terms)]
        if not any(_takes_pods(node) for node in fitting):
            where = ", ".join(node["metadata"]["name"] for node in fitting) or "no node there is"
            yield f"the volume of {pod_name} is on {where}, which takes no pods now"


def _no_place(pods: list[Object]) -> Iterator[str]:
    """A pod of it waits for a place already: whoever goes would wait beside it."""
    for pod in pods:
        for item in (pod.get("status") or {}).get("conditions") or ():
            if item.get("type") == "PodScheduled" and item.get("reason") == "Unschedulable":
                message = str(item.get("message") or "no node takes it").rstrip(".")[:200]
                yield f"{pod['metadata']['name']} of it waits for a place already ({message})"
                return


def _takes_pods(node: Object) -> bool:
    """Of a node that the pod has run on: what lasting taints it has, the pod tolerates."""
    return not unfit(node) and not node["spec"].get("unschedulable")


def _fits(term: Mapping[str, Any], node: Object) -> bool:
    meta = node["metadata"]
    values = {**(meta.get("labels") or {}), "metadata.name": meta["name"]}
    rules = [*(term.get("matchExpressions") or ()), *(term.get("matchFields") or ())]
    return all(_holds(rule, values) for rule in rules)


def _holds(rule: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    key, wanted = str(rule["key"]), [str(value) for value in rule.get("values") or ()]
    match rule.get("operator"):
        case "In":
            return values.get(key) in wanted
        case "NotIn":
            return values.get(key) not in wanted
        case "DoesNotExist":
            return key not in values
        case _:  # Exists; volumes are not bound by Gt and Lt
            return key in values
